"""Batches of triplets, each sample decided by the seed, the step and its number alone.

No generator state lives from step to step or from sample to sample, so a run that stops and
resumes sees what it would have seen without stopping, and so do processes that share a batch,
however many they are, and threads that read ahead.
"""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from vfimamba_cli.data.augment import Augmentation, to_device
from vfimamba_cli.data.sampling import Draw, Shot, TripletSampler
from vfimamba_cli.data.synthetic import Scene, SyntheticScenes
from vfimamba_cli.data.triplet import TripletBatch
from vfimamba_cli.errors import InputError

READ_AHEAD = 4
"""Batches that threads are reading while the device works on one."""

ATTEMPTS = 20
"""Draws for a sample before a set is given up for damaged."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Mixture:
    """Sources of samples, and the share of each.

    Attributes:
        shares: add up to 1.
        crop: height and width of a sample, in pixels.
    """

    sources: tuple[TripletSampler | SyntheticScenes, ...]
    shares: tuple[float, ...]
    crop: int

    def source_at(self, place: float) -> TripletSampler | SyntheticScenes:
        """The source that `place` in [0, 1) falls to."""
        number = int(np.searchsorted(np.cumsum(self.shares), place, side="right"))
        return self.sources[min(number, len(self.sources) - 1)]

    @property
    def is_stored(self) -> bool:
        """Whether samples must be read from files."""
        samplers = (s for s in self.sources if isinstance(s, TripletSampler))
        return any(clip.is_stored for s in samplers for clip in s.clips)


@dataclass(frozen=True, slots=True, kw_only=True)
class CutSample:
    """A sample of a clip.

    Attributes:
        square: (P, 3, side, side) uint8 where it was read from a file; None in memory.
        rng: for what is drawn after the sample.
    """

    clip: Shot
    draw: Draw
    square: Tensor | None
    rng: np.random.Generator

    @property
    def t(self) -> float:
        """When the target was taken."""
        return self.draw.t

    @property
    def origin(self) -> str:
        """For messages."""
        return f"{self.clip.name} frames {self.draw.frames}"


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedSample:
    """A sample of moving layers."""

    source: SyntheticScenes
    scene: Scene
    rng: np.random.Generator

    @property
    def t(self) -> float:
        """When the target was taken."""
        return self.scene.t

    @property
    def origin(self) -> str:
        """For messages."""
        return self.source.name(self.scene)


class TripletBatches:
    """Assembles this process's part of each batch on `device`.

    Attributes:
        size: samples in a batch, of all processes together.
        rank, ranks: number of this process, and how many share a batch: sample i is made by
            process i modulo `ranks`, so that each has its share of every source.
        fingerprint: what a resumed run must find again, by the name of each thing.
        skipped: name -> problem of files that could not be read when a sample was drawn from them.
    """

    def __init__(
        self,
        mixtures: Sequence[Mixture],
        *,
        size: int,
        seed: int,
        device: torch.device,
        rank: int = 0,
        ranks: int = 1,
        workers: int = 1,
        fingerprint: Mapping[str, int | str] | None = None,
        announce: Callable[[str], None] | None = None,
    ) -> None:
        self.mixtures, self.size, self.seed, self.device = mixtures, size, seed, device
        self.stored = [mixture.is_stored for mixture in mixtures]
        self.rank, self.ranks = rank, ranks
        self.fingerprint, self.announce = dict(fingerprint or {}), announce or (lambda _: None)
        self.skipped: dict[str, str] = {}
        self.ahead: dict[tuple[int, int], list[Future[CutSample | MovedSample]]] = {}
        self.pool = ThreadPoolExecutor(workers, "samples")

    def at(self, step: int, phase: int = 0) -> TripletBatch:
        """This process's part of the batch of optimizer step `step`, drawn as in `phase`."""
        mixture, samples = self.mixtures[phase], self.samples(step, phase)
        ordered: list[CutSample | MovedSample] = []
        parts = []
        for sample in samples:
            if isinstance(sample, CutSample):
                ordered.append(sample)
                parts.append(cut_triplet(sample, mixture.crop, self.device))
        for source in mixture.sources:
            moved = [s for s in samples if isinstance(s, MovedSample) and s.source is source]
            if moved and isinstance(source, SyntheticScenes):
                ordered += moved
                parts.append(source.make([sample.scene for sample in moved], self.device))
        augmentation = Augmentation.draw([sample.rng for sample in ordered])
        first, target, second = augmentation.apply(torch.cat(parts)).unbind(1)
        times = np.array([sample.t for sample in ordered], np.float32)
        return TripletBatch(
            frames=torch.stack((first, second)),
            target=target.contiguous(),
            t=to_device(times, self.device),
            origins=tuple(sample.origin for sample in ordered),
        )

    def samples(self, step: int, phase: int) -> list[CutSample | MovedSample]:
        """This process's samples; those of the next steps are begun, where files must be read."""
        if not self.stored[phase]:
            return [self.sample(step, phase, number) for number in self.numbers(self.rank)]
        wanted = [(step + i, phase) for i in range(READ_AHEAD)]
        self.ahead = {key: begun for key, begun in self.ahead.items() if key in wanted}
        for key in wanted:
            if key not in self.ahead:
                numbers = self.numbers(self.rank)
                self.ahead[key] = [self.pool.submit(self.sample, *key, n) for n in numbers]
        return [begun.result() for begun in self.ahead.pop((step, phase))]

    def close(self) -> None:
        """Begin no more reading."""
        self.pool.shutdown(cancel_futures=True)

    def numbers(self, rank: int) -> range:
        """Of the samples that process `rank` makes."""
        return range(rank, self.size, self.ranks)

    def origins(self, step: int, phase: int, rank: int) -> tuple[str, ...]:
        """Where another process's samples of a batch come from."""
        return tuple(self.sample(step, phase, number).origin for number in self.numbers(rank))

    def sample(self, step: int, phase: int, number: int) -> CutSample | MovedSample:
        """Sample `number` of the batch; drawn anew where a file cannot be read.

        Raises:
            InputError: one draw after the other cannot be read.
        """
        start = np.random.default_rng((self.seed, step)).random()
        source = self.mixtures[phase].source_at((number + start) / self.size % 1)
        for attempt in range(ATTEMPTS):
            rng = np.random.default_rng((self.seed, step, number, attempt))
            if isinstance(source, SyntheticScenes):
                return MovedSample(source=source, scene=source.draw(rng), rng=rng)
            draw = source.draw(rng)
            clip = source.clips[draw.clip]
            try:
                square = read_square(clip, draw)
            except InputError as error:
                self.skip(clip.name, str(error))
                continue
            return CutSample(clip=clip, draw=draw, square=square, rng=rng)
        raise InputError(
            f"{ATTEMPTS} samples in a row cannot be read, the last one: {self.skipped[clip.name]}",
            hint="The set seems to be damaged or not complete",
        )

    def skip(self, name: str, problem: str) -> None:
        """Note a file that cannot be read, and say so once."""
        if name not in self.skipped:
            self.skipped[name] = problem
            self.announce(f"skipped, {len(self.skipped)} so far: {problem}")


def read_square(clip: Shot, draw: Draw) -> Tensor | None:
    """(P, 3, side, side) uint8 from files, on the host; None where the clip lies in memory."""
    if not clip.is_stored:
        return None
    return clip.square(draw.frames, draw.top, draw.left, draw.side)


def cut_triplet(sample: CutSample, crop: int, device: torch.device) -> Tensor:
    """(1, P, 3, crop, crop) in [0, 1]: first frame, target, second frame."""
    draw, square = sample.draw, sample.square
    if square is None:
        square = sample.clip.square(draw.frames, draw.top, draw.left, draw.side)
    if square.device != device:  # here, for a thread of its own would pin it for another GPU
        square = square.pin_memory()
    pictures = square.to(device, non_blocking=True) / 255
    if draw.side != crop:
        pictures = F.interpolate(pictures, size=crop, mode="bilinear", antialias=True)
    return pictures[None]
