"""Runs protocols: every clip once, by every method."""

import os
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import torch
from tqdm import tqdm

from vfimamba_cli.bench.ledger import Ledger
from vfimamba_cli.bench.loading import load_clips
from vfimamba_cli.bench.method import Method
from vfimamba_cli.bench.perceptual import Lpips
from vfimamba_cli.bench.protocol import DATASETS, PROTOCOLS, Protocol
from vfimamba_cli.bench.score import Pending, Score, arranged, begin_score
from vfimamba_cli.data.datasets import MEASURED_SETS
from vfimamba_cli.data.measured import Clip, MeasuredSet
from vfimamba_cli.errors import InputError, OptionError

SEED = 0
"""Set before each clip, for methods that draw numbers: whatever was measured before, and where."""

Key = tuple[str, str, str]
"""Of a score: protocol, method and clip."""

ScoreClips = Callable[[Iterable[Clip], Sequence[Protocol]], Generator[list[Score]]]


@dataclass(frozen=True, slots=True)
class Group:
    """Protocols on the same clips.

    Attributes:
        measured: the set.
        protocols: that go through it together.
        clips: to go through.
        total: how many these are; None where only going through them tells.
    """

    measured: MeasuredSet
    protocols: tuple[Protocol, ...]
    clips: Iterable[Clip]
    total: int | None


def protocols_of(name: str) -> tuple[Protocol, ...]:
    """Those that `--dataset NAME` means: of a dataset, or a single one.

    Raises:
        OptionError: there is no such name.
    """
    if name in DATASETS:
        return tuple(PROTOCOLS[protocol] for protocol in DATASETS[name])
    if name in PROTOCOLS:
        return (PROTOCOLS[name],)
    raise OptionError(
        f"No such dataset: {name}",
        hint=f"Choose {', '.join(DATASETS)}, or one protocol of them: {', '.join(PROTOCOLS)}",
    )


def find_groups(
    protocols: Sequence[Protocol], *, data: Path | None, limit: int | None
) -> list[Group]:
    """The protocols by the clips they need, these found on disk.

    Args:
        protocols: all of one dataset.
        data: folder of the dataset; by default that of its name in VFIMAMBA_DATA.
        limit: take the first clips of each set only, and let their set be incomplete.

    Raises:
        InputError: the clips are not there, or not all of them.
    """
    groups = []
    for key in dict.fromkeys(protocol.clips for protocol in protocols):
        measured = MEASURED_SETS[key]
        clips = measured.clips(find_folder(measured, data))
        total = None
        if isinstance(clips, Sequence):
            clips = clips[:limit]
            check_complete(clips, measured, limit)
            total = len(clips)
        members = tuple(protocol for protocol in protocols if protocol.clips == key)
        groups.append(Group(measured, members, islice(clips, limit), total))
    return groups


def find_folder(measured: MeasuredSet, data: Path | None) -> Path:
    """Where the set should be; it need not be there, but for a folder of that name.

    Raises:
        InputError: nothing says where, or there is no such folder.
    """
    if not measured.expected:
        return Path()
    if data is None and (root := os.environ.get("VFIMAMBA_DATA")):
        data = Path(root) / measured.folder
    if data is None:
        raise InputError(
            f"No {measured.title} clips: give --data DIR or set VFIMAMBA_DATA",
            hint=measured.expected,
        )
    if not data.is_dir():
        raise InputError(
            f"No {measured.title} clips: no such folder: {data}",
            hint=measured.expected,
        )
    return data


def check_complete(clips: Sequence[Clip], measured: MeasuredSet, limit: int | None) -> None:
    """Raises InputError if files are missing, or clips, unless a limit takes a part anyway."""
    missing = [(clip, path) for clip in clips for path in clip.missing()]
    if missing:
        clip, path = missing[0]
        raise InputError(
            f"{len(missing)} files of {measured.title} are missing, the first of {clip.name}: "
            f"{path}",
            hint="`--verify` lists what is there; `--limit N` takes the first N clips",
        )
    if limit is None and measured.count is not None and len(clips) != measured.count:
        raise InputError(
            f"{measured.title} has {measured.count} clips, here are {len(clips)}",
            hint="A mean over others is not the published one; `--limit N` takes the first N clips",
        )


def run_protocols(
    groups: Iterable[Group], score_them: ScoreClips, methods: Sequence[str], ledger: Ledger
) -> tuple[Score, ...]:
    """Measure every clip that the ledger does not have yet, and add its scores there.

    Args:
        groups: clips, and what is measured on them.
        score_them: gives the scores of each clip, of these in any order.
        methods: names of those that it measures.
        ledger: keeps them.

    Returns:
        All scores, in the order of the clips.

    Raises:
        VfimambaError: a clip cannot be read, a method fails, or scores cannot be written; those
            of earlier clips are kept.
    """
    keys: list[Key] = []
    for group in groups:
        names = ", ".join(protocol.name for protocol in group.protocols)
        with tqdm(total=group.total, desc=names, unit="clip", disable=None) as bar:
            waiting = remaining(group, methods, ledger, keys=keys, skipped=bar.update)
            with closing(score_them(waiting, group.protocols)) as found:
                for scores in found:
                    ledger.add(scores)
                    bar.update()
    return tuple(ledger.scores[key] for key in keys)


def remaining(
    group: Group,
    methods: Sequence[str],
    ledger: Ledger,
    *,
    keys: list[Key],
    skipped: Callable[[], object],
) -> Iterator[Clip]:
    """The clips that some score is missing for; `skipped` is called for each other one.

    The keys of all scores, missing or not, are added to `keys`.
    """
    for clip in group.clips:
        own = [(p.name, method, clip.name) for p in group.protocols for method in methods]
        keys += own
        if all(key in ledger.scores for key in own):
            skipped()
        else:
            yield clip


def score_clips(
    clips: Iterable[Clip],
    protocols: Sequence[Protocol],
    methods: Sequence[Method],
    *,
    device: torch.device,
    share: int = 1,
    lpips: Lpips | None = None,
) -> Generator[list[Score]]:
    """The scores of each clip: all methods by all protocols.

    Args:
        clips: to read.
        protocols: that all of them are measured by.
        methods: to measure.
        device: to work on.
        share: how many processes do the same with other clips.
        lpips: measured as well, if there is one.

    Raises:
        VfimambaError: a clip cannot be read, or a method fails.
    """
    with load_clips(clips, protocols, device, share=share) as loaded:
        for clip in loaded:
            torch.manual_seed(SEED)
            begun: list[Pending] = []
            for protocol in protocols:
                frames = arranged(clip, protocol)
                begun += [begin_score(method, protocol, clip, frames, lpips) for method in methods]
            yield [pending.score() for pending in begun]
