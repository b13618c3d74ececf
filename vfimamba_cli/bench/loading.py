"""Clips on their way from files to the device, ahead of the computing.

H x W pixels.
"""

import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.bench.motion import motion_percent
from vfimamba_cli.bench.protocol import Pair, Protocol
from vfimamba_cli.data.measured import Clip
from vfimamba_cli.errors import InputError
from vfimamba_cli.video.prefetch import prefetch

Picture = NDArray[np.uint8]

MOST_AHEAD = 32
"""Clips in reading at once, however many threads there are."""


@dataclass(frozen=True, slots=True)
class LoadedClip:
    """The frames that some protocols need of a clip.

    Attributes:
        name: of the clip.
        frames: (H, W, 3) uint8 by number, on the device.
        motion: see `motion_percent`, by the numbers of the two given frames; estimated while the
            clip is measured already.
    """

    name: str
    frames: dict[int, Tensor]
    motion: dict[tuple[int, int], Future[float]]

    def motion_of(self, protocol: Protocol) -> float:
        """Mean over the protocol's pairs."""
        values = [self.motion[pair.first, pair.second].result() for pair in protocol.pairs]
        return sum(values) / len(values)


@dataclass(frozen=True, slots=True)
class BegunClip:
    """A clip that is being read already.

    Attributes:
        clip: itself.
        frames: by number; each is kept for the first who asks for it.
    """

    clip: Clip
    frames: dict[int, Future[Picture]]

    @property
    def name(self) -> str:
        """See `Clip`."""
        return self.clip.name

    @property
    def file_count(self) -> int:
        """See `Clip`."""
        return self.clip.file_count

    def read(self, number: int) -> Picture:
        """See `Clip`."""
        begun = self.frames.pop(number, None)
        return self.clip.read(number) if begun is None else begun.result()

    def missing(self) -> list[Path]:
        """See `Clip`."""
        return self.clip.missing()


@dataclass(frozen=True, slots=True)
class _Reading:
    name: str
    frames: dict[int, Future[Picture]]


def needed(protocols: Sequence[Protocol]) -> list[int]:
    """Numbers of the frames that the protocols take."""
    return sorted({number for protocol in protocols for number in protocol.numbers})


def begin_first(clips: Iterable[Clip], protocols: Sequence[Protocol]) -> Iterator[Clip]:
    """The same clips; reading what `protocols` need of the first begins at once."""
    rest = iter(clips)
    first = next(rest, None)
    if first is None:
        return rest
    pool = ThreadPoolExecutor(os.cpu_count() or 1)
    frames = {number: pool.submit(first.read, number) for number in needed(protocols)}
    pool.shutdown(wait=False)
    return chain([BegunClip(first, frames)], rest)


@contextmanager
def load_clips(
    clips: Iterable[Clip],
    protocols: Sequence[Protocol],
    device: torch.device,
    *,
    share: int = 1,
) -> Iterator[Iterator[LoadedClip]]:
    """Give the clips with what `protocols` need of them, in order, decoded by all cores ahead.

    Decoding begins at once.

    Args:
        clips: to read.
        protocols: say which frames.
        device: where the frames go.
        share: how many processes the cores are shared by.

    Raises:
        InputError: from the iterator, a frame cannot be read, or not all are of one size.
    """
    numbers = needed(protocols)
    pairs = list(dict.fromkeys(pair for protocol in protocols for pair in protocol.pairs))
    workers = max(1, (os.cpu_count() or 1) // share)
    ahead = min(MOST_AHEAD, max(2, workers // len(numbers)))
    pool = ThreadPoolExecutor(workers)
    try:
        readings = _read_ahead(clips, numbers, pool, ahead)
        loaded = (_load(reading, pairs, device, pool) for reading in readings)
        with closing(prefetch(loaded, depth=1)) as ahead_of_use:
            yield ahead_of_use
    finally:
        pool.shutdown(cancel_futures=True)


def _read_ahead(
    clips: Iterable[Clip], numbers: Sequence[int], pool: ThreadPoolExecutor, ahead: int
) -> Iterator[_Reading]:
    """All clips; reading begins before the first is asked for."""

    def begin(clip: Clip) -> _Reading:
        return _Reading(clip.name, {number: pool.submit(clip.read, number) for number in numbers})

    begun = map(begin, clips)
    waiting = deque(islice(begun, ahead))
    return _in_turn(waiting, begun)


def _in_turn(waiting: deque[_Reading], begun: Iterator[_Reading]) -> Iterator[_Reading]:
    for reading in begun:
        waiting.append(reading)
        yield waiting.popleft()
    yield from waiting


def _load(
    reading: _Reading, pairs: Iterable[Pair], device: torch.device, pool: ThreadPoolExecutor
) -> LoadedClip:
    pictures = {number: future.result() for number, future in reading.frames.items()}
    if len(sizes := {picture.shape for picture in pictures.values()}) > 1:
        a, b = sorted(sizes)[:2]
        raise InputError(f"Frames of one clip are {a[1]}x{a[0]} and {b[1]}x{b[0]}: {reading.name}")
    motion = {
        (pair.first, pair.second): pool.submit(
            motion_percent, pictures[pair.first], pictures[pair.second]
        )
        for pair in pairs
    }
    frames = {number: torch.from_numpy(picture) for number, picture in pictures.items()}
    return LoadedClip(reading.name, to_device(frames, device), motion)


def to_device(frames: dict[int, Tensor], device: torch.device) -> dict[int, Tensor]:
    """The frames on `device`; on CUDA beside the computing, by a stream of their own."""
    if device.type != "cuda":
        return frames
    with torch.cuda.stream(torch.cuda.Stream(device)):
        up = {n: frame.to(device) for n, frame in frames.items()}
        torch.cuda.current_stream(device).synchronize()
    for frame in up.values():
        frame.record_stream(torch.cuda.default_stream(device))
    return up
