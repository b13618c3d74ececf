"""Drawings that are held for several frames, as animation does.

H x W luma samples.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from fractions import Fraction

import numpy as np

from vfimamba_cli.frame import Frame
from vfimamba_cli.video.cuts import Change

Span = tuple[Fraction, Fraction]

BLOCK = 16
"""Frames are compared in squares of this many luma samples: a mouth that moves is a change."""

SAME_SQUARE = 5.0
SAME_FRAME = 0.8
"""Mean difference in 8-bit codes up to which a square, and all of a frame, are the same again.
Encoders leave about half of that in frames that repeat another."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """A picture, and when the source shows it.

    Attributes:
        frame: the first source frame that shows it.
        change: since the frame before.
        spans: of all source frames that show it, one after the other.
    """

    frame: Frame
    change: Change
    spans: tuple[Span, ...]


def singly(frames: Iterable[tuple[Frame, Change]]) -> Iterator[Shown]:
    """Every frame for itself."""
    for frame, change in frames:
        yield Shown(frame=frame, change=change, spans=((frame.pts_seconds, frame.end_seconds),))


def held(frames: Iterable[tuple[Frame, Change]], *, limit: int) -> Iterator[Shown]:
    """Runs of repeats, of up to `limit` frames, as one picture each.

    A longer run is a scene in which nothing moves; its frames come singly. At most `limit` frames
    wait until it is known which of both a run is.
    """
    run: list[Shown] = []
    length = 0
    for shown in singly(frames):
        before = run[-1] if run else None
        repeats = (
            before is not None
            and shown.change != "cut"
            and (shown.change == "none" or is_repeat(before.frame, shown.frame))
        )
        if not repeats:
            yield from _together(run, length, limit)
            run, length = [], 0
        length += 1
        run.append(shown)
        if length > limit:
            yield from run[:-1]
            run = run[-1:]
    yield from _together(run, length, limit)


def _together(run: list[Shown], length: int, limit: int) -> Iterator[Shown]:
    if length > limit:
        yield from run
    elif run:
        yield replace(run[0], spans=tuple(shown.spans[0] for shown in run))


def is_repeat(first: Frame, second: Frame) -> bool:
    """Whether both show the same, apart from what encoding makes of it."""
    a, b = first.planes[0], second.planes[0]
    scale = 1 << (first.color.bit_depth - 8)
    height, width = (side // BLOCK * BLOCK or side for side in a.shape)
    difference = np.maximum(a, b) - np.minimum(a, b)  # (H, W)
    if difference.mean(dtype=np.float32) > SAME_FRAME * scale:
        return False
    rows, columns = min(BLOCK, height), min(BLOCK, width)
    squares = difference[:height, :width].reshape(height // rows, rows, width // columns, columns)
    return bool(squares.mean(axis=(1, 3), dtype=np.float32).max() <= SAME_SQUARE * scale)
