"""Several GPUs share the clips of a run: a process for each of them, one that deals and collects.

Processes, not threads. While a CUDA graph is recorded no other thread may make the calls that
every frame makes, all launches would wait for one Python lock, and anybody's function would have
to bear being called by several threads. A process that sees a single GPU, as its only one, is
what a run on one GPU is, down to the names of devices. It is spawned: CUDA does not survive a
fork. Clips go to the processes in turn, so that shares are even however few clips there are, and
each process decodes its own.
"""

import multiprocessing
import os
import signal
import traceback
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from threading import Lock

import torch

from vfimamba_cli.bench.protocol import Protocol
from vfimamba_cli.bench.quality import ScoreClips
from vfimamba_cli.bench.score import Score
from vfimamba_cli.data.measured import Clip
from vfimamba_cli.errors import VfimambaError
from vfimamba_cli.ops.device import choose_device

VISIBLE = "CUDA_VISIBLE_DEVICES"
ASKING = "the next clip, please"

MakeScorer = Callable[[torch.device, int], ScoreClips]


@dataclass(frozen=True, slots=True)
class Place:
    """Where one of the processes works.

    Attributes:
        device: as the process calls it.
        environment: variables of the process, set before it looks for devices.
        gpu: which one this process knows it as; None for a CPU.
    """

    device: str
    environment: dict[str, str] = field(default_factory=dict)
    gpu: int | None = None

    def __str__(self) -> str:
        return " ".join([self.device, *(f"{name}={v}" for name, v in self.environment.items())])


def find_places(name: str) -> tuple[Place, ...]:
    """Those that `--device NAME` shares the clips among; none where a single device works alone.

    `auto` takes all GPUs of the first one's kind: others might round otherwise, and their scores
    would depend on who measured which clip.
    """
    if name != "auto" or not torch.cuda.is_available():
        return ()
    kinds = [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    listed = os.environ.get(VISIBLE)
    numbers = listed.split(",") if listed else [str(i) for i in range(len(kinds))]
    alike = tuple(
        Place("cuda", {VISIBLE: number}, gpu)
        for gpu, (number, kind) in enumerate(zip(numbers, kinds, strict=False))
        if kind == kinds[0]
    )
    return alike if len(alike) > 1 else ()


@dataclass(frozen=True, eq=False)
class Worker:
    """One of the processes, as the one that deals sees it."""

    place: Place
    process: BaseProcess
    pipe: Connection

    def say(self, message: object) -> None:
        """Send; to one that has ended this does nothing: `hear` says why it has."""
        with suppress(BrokenPipeError, ConnectionResetError):
            self.pipe.send(message)

    def hear(self) -> object:
        """What it sent.

        Raises:
            VfimambaError, RuntimeError: it has failed, as this says.
        """
        try:
            message = self.pipe.recv()
        except (EOFError, ConnectionResetError) as error:
            self.process.join()
            raise VfimambaError(
                f"The process for {self.place} was ended, exit code {self.process.exitcode}",
                hint="With --json, the same command goes on from the clips that are finished",
            ) from error
        if isinstance(message, Exception):
            raise message
        return message


@dataclass(frozen=True)
class Crew:
    """The processes together."""

    workers: Sequence[Worker]

    def score_clips(
        self, clips: Iterable[Clip], protocols: Sequence[Protocol]
    ) -> Generator[list[Score]]:
        """As `quality.score_clips`, in the order in which clips get finished.

        Raises:
            VfimambaError: as there, or a process was ended from outside.
            RuntimeError: a method failed; its traceback is the message.
        """
        for worker in self.workers:
            worker.say(protocols)
        rest = iter(clips)
        clip = next(rest, None)
        dealt = scored = 0
        asking: set[Worker] = set()
        working = len(self.workers)
        while working or scored < dealt:
            for worker in self.heard():
                if (message := worker.hear()) == ASKING:
                    asking.add(worker)
                else:
                    scored += 1
                    yield message  # type: ignore[misc]  # it sends nothing else
            while (
                clip is not None and (worker := self.workers[dealt % len(self.workers)]) in asking
            ):
                asking.remove(worker)
                worker.say(clip)
                dealt += 1
                clip = next(rest, None)
            if clip is None:
                for worker in asking:
                    worker.say(None)
                working -= len(asking)
                asking.clear()

    def heard(self) -> Iterator[Worker]:
        """Those that have sent something; waits for the first."""
        ready = wait([worker.pipe for worker in self.workers])
        return (worker for worker in self.workers if worker.pipe in ready)


@contextmanager
def crew(places: Sequence[Place], make_scorer: MakeScorer) -> Iterator[Crew]:
    """A process for each place, until the block is left; at once when it fails.

    Args:
        places: where they work.
        make_scorer: called in each, with its device and how many share the cores; can be pickled.
    """
    workers: list[Worker] = []
    try:
        workers += (start(place, make_scorer, len(places)) for place in places)
        yield Crew(workers)
        for worker in workers:
            worker.say(None)
            worker.process.join()
    finally:
        for worker in workers:
            worker.process.kill()
            worker.process.join()
            worker.pipe.close()


def start(place: Place, make_scorer: MakeScorer, share: int) -> Worker:
    """Start a process that leaves Ctrl-C, which a terminal sends to all, to this one."""
    ours, theirs = multiprocessing.Pipe()
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=work, args=(theirs, place, make_scorer, share), daemon=True)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)  # which the new one inherits
    try:
        process.start()
    finally:
        signal.signal(signal.SIGINT, before)
    theirs.close()  # else its end would not be noticed
    return Worker(place, process, ours)


def work(pipe: Connection, place: Place, make_scorer: MakeScorer, share: int) -> None:
    """What each process does: measure the clips it asks for, set by set, and send the scores.

    Args:
        pipe: gives protocols, and then, each time they are asked for, their clips, up to None;
            None instead of protocols is the end.
        place: where it works.
        make_scorer: see `crew`.
        share: how many processes the cores are shared by.
    """
    lock = Lock()  # clips are asked for by the thread that decodes them

    def say(message: object) -> None:
        with lock:
            pipe.send(message)

    def clips() -> Iterator[Clip]:
        say(ASKING)
        while (clip := pipe.recv()) is not None:
            yield clip
            say(ASKING)

    try:
        os.environ.update(place.environment)
        torch.set_num_threads(max(1, torch.get_num_threads() // share))
        score_clips = make_scorer(choose_device(place.device), share)
        while (protocols := pipe.recv()) is not None:
            for scores in score_clips(clips(), protocols):
                say(scores)
    except (EOFError, BrokenPipeError, ConnectionResetError):
        return  # the one that deals is gone
    except VfimambaError as error:
        say(error)
    except BaseException:  # noqa: BLE001  everything crosses to the other process
        say(RuntimeError(f"on {place}:\n{traceback.format_exc()}"))
