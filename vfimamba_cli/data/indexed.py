"""A folder of videos that no memory holds: looked through once, and read again as it is drawn.

T frames, H x W pixels, h x w thumbnail pixels.
"""

import math
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.data.clips import (
    SMALLEST_SIDE,
    change_within,
    estimate_speed,
    make_thumbnails,
    name_shot,
)
from vfimamba_cli.data.shots import Pixels, green_frame
from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import Frame
from vfimamba_cli.video.cuts import changes
from vfimamba_cli.video.timed import read_at, timed_pictures


@dataclass(frozen=True, slots=True)
class IndexedClip:
    """One shot of a video, without its pixels. The same samples are drawn from it as from a
    `Clip`, which has them.

    Attributes:
        name: file name, with the number of the shot where the file holds several.
        path: of the video.
        times: (T,) stamps of the frames.
        size: height and width, in pixels.
        thumbnails, speed: see `Clip`.
    """

    name: str
    path: Path
    times: tuple[int, ...]
    size: tuple[int, int]
    thumbnails: NDArray[np.int16]
    speed: float
    is_stored = True

    @property
    def length(self) -> int:
        """In frames."""
        return len(self.times)

    @property
    def nbytes(self) -> int:
        """Of all frames, decoded."""
        return self.length * math.prod(self.size) * 3

    def change(self, first: int, second: int, top: int, left: int, side: int) -> float:
        """Mean absolute difference of two frames in a square of `side` pixels, in 8-bit levels."""
        return change_within(self.thumbnails, first, second, (top, left, side))

    def square(self, frames: Sequence[int], top: int, left: int, side: int) -> Tensor:
        """(len(frames), 3, side, side) uint8, on the host."""
        pixels = read_at(self.path, [self.times[i] for i in frames])
        part = pixels[:, top : top + side, left : left + side]
        return torch.from_numpy(np.ascontiguousarray(part.transpose(0, 3, 1, 2)))


@dataclass(slots=True)
class Look:
    """What one look at a video finds, picture by picture.

    Attributes:
        size: height and width of the pictures.
        shots: times and thumbnails (1, h, w) of each shot's frames.
    """

    path: Path
    size: tuple[int, int] = (0, 0)
    shots: list[list[tuple[int, Tensor]]] = field(default_factory=list)

    def frames(self, given: deque[tuple[int, Tensor]]) -> Iterator[Frame]:
        """The pictures as `video.cuts` looks at them, which may look ahead; `given` takes what
        is kept of each.
        """
        for time, picture in timed_pictures(self.path):
            self.check_size(picture)
            planes = torch.from_numpy(picture).permute(2, 0, 1)[None]
            given.append((time, make_thumbnails(planes)))
            yield green_frame(picture)

    def check_size(self, picture: Pixels) -> None:
        """All pictures are of one size, and not too small."""
        height, width = picture.shape[:2]
        if min(height, width) < SMALLEST_SIDE:
            raise InputError(
                f"Smaller than {SMALLEST_SIDE} pixels: {width} x {height}: {self.path}"
            )
        if self.size not in ((0, 0), (height, width)):
            raise InputError(f"The picture size changes inside the clip: {self.path}")
        self.size = height, width

    def finish(self) -> list[IndexedClip]:
        """Look at all of it; cuts and repeated frames are as in `split_shots`."""
        given: deque[tuple[int, Tensor]] = deque()
        for _, change in changes(self.frames(given)):
            kept = given.popleft()
            if change == "cut":
                self.shots.append([])
            if change != "none":
                self.shots[-1].append(kept)
        if not self.shots:
            raise InputError(f"No picture in the video stream: {self.path}")
        return [self.clip(number) for number in range(len(self.shots))]

    def clip(self, number: int) -> IndexedClip:
        """Shot `number` from 0."""
        times, small = zip(*self.shots[number], strict=True)
        thumbnails = torch.cat(small)
        return IndexedClip(
            name=name_shot(self.path.name, number, len(self.shots)),
            path=self.path,
            times=times,
            size=self.size,
            thumbnails=thumbnails.round().to(torch.int16).numpy(),
            speed=estimate_speed(thumbnails),
        )


def try_index(path: Path) -> list[IndexedClip] | str:
    """The shots of a video, or why there are none."""
    try:
        return Look(path).finish()
    except InputError as error:
        return str(error)
