"""Clips to measure by: some of their frames are given to a method, the others are the truth."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from vfimamba_cli.video.still import read_still

Picture = NDArray[np.uint8]
"""(H, W, 3), R, G, B."""


class Clip(Protocol):
    """Frames of one size, numbered; the protocol says which number is what."""

    @property
    def name(self) -> str:
        """Another for each clip of a set; parts are joined by slashes, as in a path."""

    @property
    def file_count(self) -> int:
        """How many files of its own it should have."""

    def read(self, number: int) -> Picture:
        """That frame. Several threads may read at once.

        Raises:
            InputError: it cannot be decoded.
        """

    def missing(self) -> list[Path]:
        """Files of the clip that do not exist."""


@dataclass(frozen=True, slots=True)
class StillClip:
    """A clip whose frames are image files, read when they are asked for."""

    name: str
    files: Mapping[int, Path]

    @property
    def file_count(self) -> int:
        """See `Clip`."""
        return len(self.files)

    def read(self, number: int) -> Picture:
        """See `Clip`."""
        return read_still(self.files[number])

    def missing(self) -> list[Path]:
        """See `Clip`."""
        return [path for path in self.files.values() if not path.is_file()]


@dataclass(frozen=True, slots=True)
class DecodedClip:
    """A clip that was decoded already, out of a video.

    Attributes:
        frames: (T, H, W, 3), numbered from 0.
    """

    name: str
    frames: NDArray[np.uint8]

    @property
    def file_count(self) -> int:
        """See `Clip`: its frames lie in one with those of others."""
        return 0

    def read(self, number: int) -> Picture:
        """See `Clip`."""
        return self.frames[number]

    def missing(self) -> list[Path]:
        """See `Clip`."""
        return []


@dataclass(frozen=True, slots=True, kw_only=True)
class MeasuredSet:
    """A set of clips on disk.

    Attributes:
        title: as papers write it.
        folder: below VFIMAMBA_DATA.
        clips: the clips in a folder, in their order, whether or not all their files exist. Raises
            `InputError` where the folder does not have the set's layout.
        count: of its clips; None where any number will do.
        expected: where to get it, and what the folder must look like.
    """

    title: str
    folder: str
    clips: Callable[[Path], Iterable[Clip]]
    count: int | None
    expected: str


def triplet_clip(name: str, first: Path, middle: Path, second: Path) -> StillClip:
    """Frames 0, 1 and 2."""
    return StillClip(name, {0: first, 1: middle, 2: second})
