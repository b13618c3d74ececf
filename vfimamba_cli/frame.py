"""What travels from decoder to encoder: a picture, when it is shown, and what its codes mean."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.unsignedinteger[Any]]
Planes = tuple[Plane, ...]
"""In this order: Y', Cb, Cr; or G, B, R; or Y' alone; each with alpha as the last one, or not."""

Matrix = Literal["bt601", "bt709", "bt2020", "fcc", "smpte240m", "ycgco", "rgb"]
Subsampling = Literal["444", "440", "422", "420", "411", "410", "400"]
ChromaLocation = Literal["left", "center", "topleft"]

UNSPECIFIED = 2
"""The code for "not said" of matrix, primaries and transfer (ITU-T H.273)."""

HALVINGS: dict[Subsampling, tuple[int, int]] = {
    "444": (0, 0),
    "440": (1, 0),
    "422": (0, 1),
    "420": (1, 1),
    "411": (0, 2),
    "410": (2, 2),
}
"""How often the height and the width of the chroma planes are halved; `400` has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorTags:
    """The color tags exactly as found in the stream, so that they can be written back.

    Attributes:
        matrix, primaries, transfer: code points of ITU-T H.273; 2 is unspecified.
        range: 0 unspecified, 1 limited, 2 full.
    """

    matrix: int = UNSPECIFIED
    primaries: int = UNSPECIFIED
    transfer: int = UNSPECIFIED
    range: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ColorSpec:
    """What the codes in the planes mean, with nothing left open.

    Attributes:
        matrix: how R'G'B' became Y'CbCr; `rgb` where it did not, and planes are G, B, R.
        full_range: codes use the whole range instead of the studio range. Alpha always does.
        bit_depth: bits per code; planes are uint8 up to 8 bits and uint16 above.
        subsampling: of the chroma planes; `420` halves both axes, `422` the width; grey is `400`.
        chroma_location: where a chroma sample sits among its luma samples: `left` between two
            rows on the left column (MPEG-2, H.264 default), `center` between all four (JPEG),
            `topleft` on the upper left one.
        alpha: whether there is one more plane, of the picture's size: 0 is transparent. Colors
            are as if there were none (straight, not premultiplied).
        tags: as found in the stream.
    """

    matrix: Matrix
    full_range: bool = False
    bit_depth: int = 8
    subsampling: Subsampling = "420"
    chroma_location: ChromaLocation = "left"
    alpha: bool = False
    tags: ColorTags = ColorTags()

    def __post_init__(self) -> None:
        for field, allowed in (
            ("matrix", Matrix),
            ("subsampling", Subsampling),
            ("chroma_location", ChromaLocation),
        ):
            if getattr(self, field) not in get_args(allowed):
                raise ValueError(
                    f"{field} must be one of {', '.join(get_args(allowed))}, "
                    f"got {getattr(self, field)!r}"
                )
        if not 8 <= self.bit_depth <= 16:
            raise ValueError(f"bit_depth must be 8 to 16, got {self.bit_depth}")
        if self.matrix == "rgb" and self.subsampling != "444":
            raise ValueError(f"subsampling must be 444 for rgb, got {self.subsampling!r}")

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """Of the planes."""
        return np.dtype(np.uint8 if self.bit_depth == 8 else np.uint16)

    def chroma_shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the chroma planes of a picture; odd sizes round up."""
        down, across = HALVINGS[self.subsampling]
        return -(-height >> down), -(-width >> across)

    def plane_shapes(self, height: int, width: int) -> list[tuple[int, int]]:
        """Height and width of all planes of a picture, in their order."""
        chroma = [] if self.subsampling == "400" else [self.chroma_shape(height, width)] * 2
        return [(height, width), *chroma, *([(height, width)] if self.alpha else [])]


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture as decoded, and the span of time it is shown for.

    Attributes:
        planes: of `color.plane_shapes(H, W)`, in `color.dtype`. Not to be written to: they may
            be the decoder's own memory.
        pts_seconds: when it appears.
        duration_seconds: how long it stays; positive.
        color: what the codes mean.
    """

    planes: Planes
    pts_seconds: Fraction
    duration_seconds: Fraction
    color: ColorSpec

    def __post_init__(self) -> None:
        expected = self.color.plane_shapes(*self.planes[0].shape)
        found = [plane.shape for plane in self.planes]
        if found != expected:
            raise ValueError(f"planes must be {expected}, got {found}")
        for plane in self.planes:
            if plane.dtype != self.color.dtype:
                raise ValueError(
                    f"{self.color.bit_depth} bits need {self.color.dtype}: {plane.dtype}"
                )
        if self.duration_seconds <= 0:
            raise ValueError(f"duration_seconds must be positive, got {self.duration_seconds}")

    @property
    def end_seconds(self) -> Fraction:
        """When the next picture takes its place."""
        return self.pts_seconds + self.duration_seconds

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = self.planes[0].shape
        return height, width

    def at(self, pts_seconds: Fraction, duration_seconds: Fraction) -> Self:
        """The same planes, shown at another time."""
        return replace(self, pts_seconds=pts_seconds, duration_seconds=duration_seconds)

    def with_planes(
        self,
        planes: Planes,
        pts_seconds: Fraction,
        duration_seconds: Fraction,
        *,
        color: ColorSpec | None = None,
    ) -> Self:
        """Another picture, of the same color unless said otherwise, shown at a time of its own."""
        return replace(
            self,
            planes=planes,
            pts_seconds=pts_seconds,
            duration_seconds=duration_seconds,
            color=color or self.color,
        )
