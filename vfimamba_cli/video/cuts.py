"""Is there a scene cut between two neighboring frames, or nothing at all?

Both frames are looked at as small pictures. What tells a cut from motion is that blocks of one
picture are found nowhere near their place in the other, whatever their brightness: motion, pans
and flashes keep the blocks, a cut does not.

H x W: the small picture; h x w: its blocks; S x S: the shifts tried.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction
from itertools import islice
from typing import Literal

import numpy as np
import numpy.typing as npt
from numpy.lib.stride_tricks import sliding_window_view

from vfimamba_cli.frame import Frame
from vfimamba_cli.video.cutlist import CutList

Picture = npt.NDArray[np.float32]
Change = Literal["none", "motion", "cut"]

LONG_SIDE = 64
"""Pixels of a small picture's long side."""

SAMPLES = 4
"""A small picture's pixel is the mean of this many lines by as many columns."""

BLOCK = 8
REACH = 6
"""Blocks are sought this many pixels in each direction: a tenth of the frame."""

NOISE = 1.0
"""Contrast, in 8-bit codes, below which a block says nothing."""

ALIKE = 0.95
"""Correlation of small pictures from which on there is no cut, and nothing more is computed."""

CUT = 0.68
"""Score from which on it is a cut. Measured: of 1421 pairs within shots one lies above it, at 0.69
in widely spaced frames; of 178 cuts between shots all do, the lowest at 0.74."""

FLASH = 4
"""Frames that a flash lasts at most."""

LIT, PALE, HALF, FAINT, LIT_ALIKE = 16.0, 200.0, 0.5, 12.0, 0.65
"""What light makes of a picture: that much brighter in 8-bit codes; half of it paler than this, or
all of less contrast, or detail that correlates like this with what was there."""

FAR = 2 * REACH
"""Pixels that a scene may move meanwhile."""

EMPTY = 2.0
"""Contrast, in 8-bit codes, of a screen that shows nothing."""

SHARED = 0.1
REPLACED = 48.0
"""To black, to white: hardly a brightness is shared, and they are this many 8-bit codes apart."""


def changes(frames: Iterable[Frame]) -> Iterator[tuple[Frame, Change]]:
    """Each frame with what happened since the one before it; a cut at the first.

    Where there seems to be a cut, up to `FLASH` more frames are read to see that it is no flash.
    """
    looked_at = Ahead((frame, small_luma(frame)) for frame in frames)
    before: Frame | None = None
    past: deque[Picture] = deque(maxlen=FLASH + 1)
    for frame, small in looked_at:
        if before is None:
            yield frame, "cut"
        elif np.array_equal(past[-1], small) and is_static(before, frame):
            yield frame, "none"  # the small pictures mostly say no
        else:
            is_cut = _is_other_scene(past[-1], small) and not _is_flash(past, small, looked_at)
            yield frame, "cut" if is_cut else "motion"
        before = frame
        past.append(small)


class Ahead:
    """Iterates `items`, and can look at those to come."""

    def __init__(self, items: Iterable[tuple[Frame, Picture]]) -> None:
        self._items = iter(items)
        self._waiting: deque[tuple[Frame, Picture]] = deque()

    def __iter__(self) -> Iterator[tuple[Frame, Picture]]:
        while self._waiting or self.pictures(1):
            yield self._waiting.popleft()

    def pictures(self, count: int) -> list[Picture]:
        """The next ones, as many as there are."""
        missing = count - len(self._waiting)
        self._waiting.extend(islice(self._items, max(0, missing)))
        return [small for _, small in islice(self._waiting, count)]


def _is_flash(past: Sequence[Picture], now: Picture, ahead: Ahead) -> bool:
    """Whether light makes `now` another picture than the one before it, `past[-1]`.

    Light comes and goes within `FLASH` frames, and leaves the scene as it was.
    """
    before = past[-1]
    if now.mean() > before.mean():  # it comes
        return _is_lit(before, now) and any(
            _is_same_scene(before, later) for later in ahead.pictures(FLASH)
        )
    return any(  # it goes
        _is_lit(earlier, before) and _is_same_scene(earlier, now) for earlier in list(past)[:-1]
    )


def _is_lit(scene: Picture, now: Picture) -> bool:
    """Whether `now` may be `scene` in brighter light: paler, or with the same detail."""
    if now.mean() - scene.mean() < LIT:
        return False
    pale = (now > PALE).mean() > HALF or now.std() < FAINT
    return bool(pale) or _same_detail(scene, now) > LIT_ALIKE


def _is_same_scene(earlier: Picture, later: Picture) -> bool:
    """Whether nothing but motion lies between pictures a few frames apart."""
    if min(earlier.std(), later.std()) < EMPTY:
        return bool(np.abs(earlier - later).mean() < REPLACED)
    known = 0.3 * max(_correlation(earlier, later), 0)
    known -= 0.5 * (1 - _shared_brightness(earlier, later))
    strange = min(_strangeness(*p, FAR) for p in ((earlier, later), (later, earlier)))
    return strange <= CUT + known


def _same_detail(a: Picture, b: Picture) -> float:
    """How well the blocks of `a` correlate with the best places near by in `b`, in [0, 1]."""
    height, width = a.shape
    blocks = a.reshape(height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(1, 2)
    contrast = blocks.std(axis=(2, 3))
    blocks = (blocks - blocks.mean(axis=(2, 3), keepdims=True)) / (contrast[..., None, None] + 1)
    padded = np.pad(b, REACH, mode="edge")
    shifted = sliding_window_view(padded, a.shape)
    shifted = shifted.reshape(-1, height // BLOCK, BLOCK, width // BLOCK, BLOCK).swapaxes(2, 3)
    deviation = shifted.std(axis=(3, 4))
    shared = (shifted * blocks).mean(axis=(3, 4)) / (deviation + NOISE)
    return float((shared.max(axis=0) * contrast).sum() / contrast.sum())


def known_changes(
    frames: Iterable[Frame], cuts: CutList, *, beginning: Fraction
) -> Iterator[tuple[Frame, Change]]:
    """As `changes`, with the cuts of a list, whose times count from `beginning`, in seconds."""
    before: Frame | None = None
    for frame in frames:
        if before is None:
            yield frame, "cut"
        else:
            times = (before.pts_seconds, frame.pts_seconds, frame.end_seconds)
            is_listed = cuts.lies_between(*(time - beginning for time in times))
            same = not is_listed and is_static(before, frame)
            yield frame, "cut" if is_listed else "none" if same else "motion"
        before = frame


def is_static(first: Frame, second: Frame) -> bool:
    """Whether both frames are the same picture, bit for bit."""
    return all(np.array_equal(a, b) for a, b in zip(first.planes, second.planes, strict=True))


def is_cut(first: Frame, second: Frame) -> bool:
    """Whether `second` shows another scene than `first`."""
    return _is_other_scene(small_luma(first), small_luma(second))


def _is_other_scene(a: Picture, b: Picture) -> bool:
    alike = _correlation(a, b)
    if alike > ALIKE:
        return False
    new = 1 - _shared_brightness(a, b)
    replaced = new > 1 - SHARED and bool(np.abs(a - b).mean() > REPLACED)
    if replaced or min(a.std(), b.std()) < EMPTY:  # of nothing, nothing can be found again
        return replaced
    known = 0.3 * max(alike, 0) - 0.5 * new
    return _strangeness(a, b) > CUT + known and _strangeness(b, a) > CUT + known


def small_luma(frame: Frame) -> Picture:
    """(H, W) luma in 8-bit codes, both multiples of `BLOCK`; from a grid of samples, for speed."""
    luma = frame.planes[0]
    long_side = max(luma.shape)
    height, width = (
        max(BLOCK, round(LONG_SIDE * side / long_side / BLOCK) * BLOCK) for side in luma.shape
    )
    rows, columns = (
        np.arange(SAMPLES * count) * side // (SAMPLES * count)
        for count, side in zip((height, width), luma.shape, strict=True)
    )
    grid = luma[rows][:, columns].reshape(height, SAMPLES, width, SAMPLES)
    small: Picture = grid.mean(axis=(1, 3), dtype=np.float32)
    return small / np.float32(1 << (frame.color.bit_depth - 8))


def _strangeness(a: Picture, b: Picture, reach: int = REACH) -> float:
    """What of the contrast of `a`'s blocks is found nowhere near in `b`: 0 all of it is, 1 none.

    Blocks are compared apart from their mean brightness.
    """
    height, width = a.shape
    blocks = (height // BLOCK, BLOCK, width // BLOCK, BLOCK)
    shifted = sliding_window_view(np.pad(b, reach, mode="edge"), a.shape)
    difference = (shifted - a).reshape(*shifted.shape[:2], *blocks)  # (S, S, h, BLOCK, w, BLOCK)
    mean = difference.mean(axis=(3, 5))
    square = np.einsum("yxhiwj,yxhiwj->yxhw", difference, difference) / BLOCK**2
    unexplained = np.sqrt(np.maximum(square - mean**2, 0).min(axis=(0, 1)))
    contrast = a.reshape(blocks).std(axis=(1, 3))
    return float(np.minimum(unexplained, contrast).sum() / (contrast + NOISE).sum())


def _correlation(a: Picture, b: Picture) -> float:
    """Of two pictures, in [-1, 1]; 1 for two flat ones."""
    a, b = a - a.mean(), b - b.mean()
    power = float(np.sqrt((a * a).sum() * (b * b).sum()))
    return float((a * b).sum()) / power if power > NOISE * a.size else float(np.allclose(a, b))


def _shared_brightness(a: Picture, b: Picture) -> float:
    """Share of the pixels that the brightness histograms have in common."""
    histograms = (np.histogram(x, bins=32, range=(0, 256))[0] / x.size for x in (a, b))
    return float(np.minimum(*histograms).sum())
