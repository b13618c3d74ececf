"""What of a made picture is taken from the source: black bars, and what a mask covers.

H x W luma samples; h x w samples of any plane.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

import av
import numpy as np
import numpy.typing as npt

from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import ColorSpec, Frame, Plane, Planes
from vfimamba_cli.video.pyav import open_for_reading

NEARLY_BLACK = 3
"""8-bit codes above black that encoders leave in bars."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """Lines and columns at the edges that are black, in luma samples."""

    top: int
    bottom: int
    left: int
    right: int

    def keep(self, made: Planes, source: Planes) -> None:
        """Put the bars of `source` over those of `made`."""
        height, width = source[0].shape
        for plane, original in zip(made, source, strict=True):
            h, w = plane.shape
            top, bottom = self.top * h // height, h - self.bottom * h // height
            left, right = self.left * w // width, w - self.right * w // width
            plane[:top], plane[bottom:] = original[:top], original[bottom:]
            plane[:, :left], plane[:, right:] = original[:, :left], original[:, right:]


def find_bars(first: Frame, second: Frame) -> Bars | None:
    """The bars that both frames have; None if there are none."""
    lit = [*_lit_planes(first), *_lit_planes(second)]
    limit = _black_limit(first.color)
    edges = {
        name: min(_dark_lines(plane, limit) for plane in turned)
        for name, turned in (
            ("top", lit),
            ("bottom", [plane[::-1] for plane in lit]),
            ("left", [plane.T for plane in lit]),
            ("right", [plane.T[::-1] for plane in lit]),
        )
    }
    return Bars(**edges) if any(edges.values()) else None


def _lit_planes(frame: Frame) -> Planes:
    return frame.planes[:3] if frame.color.matrix == "rgb" else frame.planes[:1]


def _black_limit(color: ColorSpec) -> int:
    step = 1 << (color.bit_depth - 8)
    black = 0 if color.full_range or color.matrix == "rgb" else 16
    return (black + NEARLY_BLACK) * step


def _dark_lines(plane: Plane, limit: int) -> int:
    """How many of the first lines of (h, w) hold nothing brighter than `limit`."""
    if plane[0].max() > limit:  # nearly always, and at once
        return 0
    lit = np.flatnonzero(plane.max(axis=1) > limit)
    return int(lit[0]) if len(lit) else len(plane)


class Mask:
    """Where a picture stays as it is in the source.

    Args:
        weight: (H, W) in [0, 1]; 1 takes the source's sample, 0 the made one.
    """

    def __init__(self, weight: npt.NDArray[np.float32]) -> None:
        self.weight = weight
        self._scaled: dict[tuple[int, int], npt.NDArray[np.float32]] = {}

    @classmethod
    def read(cls, path: Path, *, height: int, width: int) -> Self:
        """White of a picture keeps, black does not, grey mixes.

        Raises:
            InputError: if it cannot be read, or its size is not that of the video.
        """
        try:
            with open_for_reading(path) as container:
                picture = next(container.decode(video=0))
        except (av.FFmpegError, OSError, IndexError, StopIteration) as error:
            raise InputError(
                f"The mask cannot be read as a picture ({error}): {path}", hint="PNG will do"
            ) from error
        if (picture.height, picture.width) != (height, width):
            raise InputError(
                f"The mask is {picture.width}x{picture.height} and the video {width}x{height}: "
                f"{path}",
                hint="Make it as large as a frame of the video, before any rotation",
            )
        grey = picture.to_ndarray(format="gray")
        return cls((grey / np.float32(255)).astype(np.float32))

    def keep(self, made: Planes, source: Planes) -> None:
        """Put what the mask covers of `source` over `made`."""
        for plane, original in zip(made, source, strict=True):
            weight = self._for(plane.shape)
            rows, columns = (_extent(weight.max(axis=axis)) for axis in (1, 0))
            here, there, share = (x[rows, columns] for x in (plane, original, weight))
            mixed = here + share * (there.astype(np.float32) - here)
            here[...] = np.rint(mixed)

    def _for(self, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
        """The weight for a plane (h, w): a sample is kept as much as any that it stands for."""
        h, w = shape[:2]
        if (h, w) not in self._scaled:
            height, width = self.weight.shape
            rows = np.maximum.reduceat(self.weight, np.arange(h) * -(-height // h), axis=0)
            scaled = np.maximum.reduceat(rows, np.arange(w) * -(-width // w), axis=1)
            self._scaled[h, w] = scaled
        return self._scaled[h, w]


def _extent(weight: npt.NDArray[np.float32]) -> slice:
    """From the first to the last that is not 0."""
    places = np.flatnonzero(weight)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
