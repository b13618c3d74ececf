"""What of a made picture is taken from the source: black bars, and what a mask covers.

H x W luma samples; h x w samples of any plane.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

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
    limit = _black_limit(first.color)
    edges = [_dark_edges(plane, limit) for plane in (*_lit_planes(first), *_lit_planes(second))]
    top, bottom, left, right = (min(sizes) for sizes in zip(*edges, strict=True))
    if not (top or bottom or left or right):
        return None
    return Bars(top=top, bottom=bottom, left=left, right=right)


def _lit_planes(frame: Frame) -> Planes:
    return frame.planes[:3] if frame.color.matrix == "rgb" else frame.planes[:1]


def _black_limit(color: ColorSpec) -> int:
    step = 1 << (color.bit_depth - 8)
    black = 0 if color.full_range or color.matrix == "rgb" else 16
    return (black + NEARLY_BLACK) * step


def _dark_edges(plane: Plane, limit: int) -> tuple[int, int, int, int]:
    """Lines of (h, w) from the top and the bottom, columns from the left and the right, that hold
    nothing brighter than `limit`.
    """
    sizes: list[int] = []
    for axis, outer in ((1, plane[[0, -1]]), (0, plane[:, [0, -1]].T)):
        if (outer.max(axis=1) > limit).all():  # nearly always, and at once
            sizes += [0, 0]
            continue
        lit = np.flatnonzero(plane.max(axis=axis) > limit)
        length = plane.shape[1 - axis]
        sizes += [int(lit[0]), length - 1 - int(lit[-1])] if len(lit) else [length, length]
    top, bottom, left, right = sizes
    return top, bottom, left, right


class Mask:
    """Where a picture stays as it is in the source.

    Args:
        weight: (H, W) in [0, 1]; 1 takes the source's sample, 0 the made one.
    """

    def __init__(self, weight: npt.NDArray[np.float32]) -> None:
        self.weight = weight
        self._scaled: dict[tuple[int, int], tuple[slice, slice, npt.NDArray[Any]]] = {}

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
            rows, columns, share = self._for(plane.shape)
            here, there = plane[rows, columns], original[rows, columns]
            if share.dtype == np.bool_:
                np.copyto(here, there, where=share)
            else:
                here[...] = np.rint(here + share * (there.astype(np.float32) - here))

    def _for(self, shape: tuple[int, ...]) -> tuple[slice, slice, npt.NDArray[Any]]:
        """Where a plane (h, w) is covered, and how much there: yes or no, if that is all.

        A sample is kept as much as any pixel that it stands for.
        """
        h, w = shape[:2]
        if (h, w) not in self._scaled:
            height, width = self.weight.shape
            weight = np.maximum.reduceat(self.weight, np.arange(h) * -(-height // h), axis=0)
            weight = np.maximum.reduceat(weight, np.arange(w) * -(-width // w), axis=1)
            rows, columns = (_extent(weight.max(axis=axis)) for axis in (1, 0))
            share = weight[rows, columns]
            plain = bool(((share == 0) | (share == 1)).all())
            self._scaled[h, w] = rows, columns, share.astype(np.bool_) if plain else share
        return self._scaled[h, w]


def _extent(weight: npt.NDArray[np.float32]) -> slice:
    """From the first to the last that is not 0."""
    places = np.flatnonzero(weight)
    return slice(int(places[0]), int(places[-1]) + 1) if len(places) else slice(0, 0)
