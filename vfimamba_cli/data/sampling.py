"""Which triplets are drawn, and how often: integers and floats only, no pixels.

A draw is decided from clip lengths, sizes, speeds and thumbnails with one NumPy generator, so
that the same seed gives the same samples wherever the frames are kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.errors import InputError


class Shot(Protocol):
    """What a draw is decided from: a clip in memory, or one that is read when it is drawn."""

    @property
    def name(self) -> str:
        """For messages."""

    @property
    def is_stored(self) -> bool:
        """Whether its frames must be read from files."""

    @property
    def length(self) -> int:
        """In frames."""

    @property
    def nbytes(self) -> int:
        """Of all frames, decoded."""

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""

    @property
    def speed(self) -> float:
        """Typical motion in pixels per frame; 0 where nobody has measured it."""

    def change(self, first: int, second: int, top: int, left: int, side: int) -> float:
        """Mean absolute difference of two frames in a square of `side` pixels, in 8-bit levels.

        Infinite where nobody has measured it: then any place will do.
        """

    def square(self, frames: Sequence[int], top: int, left: int, side: int) -> Tensor:
        """(len(frames), 3, side, side) uint8, where the frames are kept."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TripletRules:
    """How triplets are chosen from clips.

    Attributes:
        crop: height and width of a sample, in pixels.
        size: range of the short side that a clip is reduced to before the crop is cut, in
            pixels, drawn uniformly; None goes by `smallest_zoom`.
        smallest_zoom: a clip is reduced by a random factor down to this, which sharpens it.
        interval: range of the gap between the two frames, drawn uniformly whatever moves; None
            goes by `displacement`.
        displacement: range of what moves between the two frames, in pixels of the crop; drawn
            log-uniformly and reached, as far as a clip allows, by the gap between the frames.
        largest_gap: most frames from the first to the second one, where `displacement` decides.
        midpoint_share: share of samples with t = 0.5; the others take any frame in between.
        lively: a sample's wanted change is uniform in [0, lively] 8-bit levels; the first of a
            few candidates that changes as much is taken, else the one that changes most.
        enlarged_share: share of samples from clips smaller than the crop, which must be
            enlarged and are blurred by it.
    """

    crop: int = 256
    size: tuple[int, int] | None = None
    smallest_zoom: float = 0.5
    interval: tuple[int, int] | None = None
    displacement: tuple[float, float] = (2.0, 80.0)
    largest_gap: int = 12
    midpoint_share: float = 0.5
    lively: float = 8.0
    enlarged_share: float = 0.07

    def __post_init__(self) -> None:
        if self.crop < 32 or self.crop % 16:
            raise ValueError(f"crop must be a multiple of 16 from 32 up, got {self.crop}")
        if self.largest_gap < 2:
            raise ValueError(f"largest_gap must be at least 2, got {self.largest_gap}")
        if self.interval and not 2 <= self.interval[0] <= self.interval[1]:
            raise ValueError(f"interval must rise from 2 or more, got {self.interval}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """One sample to cut from a clip.

    Attributes:
        clip: index into the clips.
        frames: first frame, target, second frame; decreasing where time runs backwards.
        top, left, side: a square of the clip's pixels, which becomes the crop.
    """

    clip: int
    frames: tuple[int, int, int]
    top: int
    left: int
    side: int

    @property
    def t(self) -> float:
        """When the target was taken, as a share of the way from first to second frame."""
        first, target, second = self.frames
        return (target - first) / (second - first)


@dataclass(frozen=True, slots=True)
class TripletSampler:
    """Draws triplets from `clips` by `rules`.

    Raises:
        InputError: if no clip has the three frames a triplet takes.
    """

    clips: Sequence[Shot]
    rules: TripletRules
    edges: NDArray[np.float64] = field(init=False)

    candidates = 4

    def __post_init__(self) -> None:
        if not any(clip.length >= 3 for clip in self.clips):
            raise InputError(
                f"None of the {len(self.clips)} clips has three frames or more",
                hint="A training sample is two frames and one between them",
            )
        object.__setattr__(self, "edges", np.cumsum(clip_shares(self.clips, self.rules)))

    def draw(self, rng: np.random.Generator) -> Draw:
        """One sample."""
        index = int(np.searchsorted(self.edges, rng.random() * self.edges[-1], side="right"))
        clip = self.clips[index]
        height, width = clip.size
        zoom = self.draw_zoom(rng, min(clip.size))
        gap, offset = self.draw_gap(rng, clip.length, clip.speed * zoom)
        side = min(round(self.rules.crop / zoom), height, width)
        wanted = rng.uniform(0, self.rules.lively)
        best, most = (0, 0, 0), -1.0
        for _ in range(self.candidates):
            start = int(rng.integers(clip.length - gap))
            top, left = int(rng.integers(height - side + 1)), int(rng.integers(width - side + 1))
            change = clip.change(start, start + gap, top, left, side)
            if change > most:
                best, most = (start, top, left), change
            if change >= wanted:
                break
        start, top, left = best
        frames = (start, start + offset, start + gap)
        if rng.random() < 0.5:  # time runs backwards; t follows from the frames
            frames = frames[::-1]
        return Draw(clip=index, frames=frames, top=top, left=left, side=side)

    def draw_zoom(self, rng: np.random.Generator, short_side: int) -> float:
        """Crop pixels per clip pixel; above 1 only where the clip is smaller than the crop."""
        least = self.rules.crop / short_side
        if self.rules.size:
            wanted = rng.uniform(*self.rules.size) / short_side
            return max(min(wanted, 1.0), least)
        low = max(self.rules.smallest_zoom, least)
        return low if low >= 1 else low ** rng.random()

    def draw_gap(self, rng: np.random.Generator, length: int, speed: float) -> tuple[int, int]:
        """Frames from the first to the second frame, and from the first to the target.

        Args:
            length: of the clip, in frames; 3 or more.
            speed: in pixels of the crop per frame.
        """
        if self.rules.interval:
            least, most = (min(gap, length - 1) for gap in self.rules.interval)
            gap = float(rng.integers(least, most + 1))
        else:
            low, high = self.rules.displacement
            moved = low * (high / low) ** rng.random()
            most = min(self.rules.largest_gap, length - 1)
            gap = moved / max(speed, low / self.rules.largest_gap)
        if rng.random() < self.rules.midpoint_share or most < 3:
            half = min(max(round(gap / 2), 1), most // 2)
            return 2 * half, half
        whole = min(max(round(gap), 3), most)
        return whole, int(rng.integers(1, whole))


def clip_shares(clips: Sequence[Shot], rules: TripletRules) -> NDArray[np.float64]:
    """Each clip's share of the samples.

    By the square root of the length, so that short clips, which often have large motion, are
    not starved, and by the fourth root of the speed. Clips that must be enlarged share
    `rules.enlarged_share`.
    """
    frames = np.array([clip.length for clip in clips])
    speeds = np.array([clip.speed for clip in clips]).clip(1, 16)
    shares = np.where(frames >= 3, frames**0.5 * speeds**0.25, 0.0)
    enlarged = np.array([min(clip.size) < rules.crop for clip in clips])
    parts = ((enlarged, rules.enlarged_share), (~enlarged, 1 - rules.enlarged_share))
    if all(shares[part].any() for part, _ in parts):
        for part, share in parts:
            shares[part] *= share / shares[part].sum()
    return np.asarray(shares / shares.sum())
