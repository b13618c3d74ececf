"""What travels from decoder to encoder: a picture, when it is shown, and what its codes mean."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any, Literal, Self, get_args

import numpy as np
import numpy.typing as npt

Plane = npt.NDArray[np.unsignedinteger[Any]]
Matrix = Literal["bt601", "bt709", "bt2020"]
Subsampling = Literal["420", "422", "444"]
ChromaLocation = Literal["left", "center", "topleft"]

UNSPECIFIED = 2
"""The code for "not said" of matrix, primaries and transfer (ITU-T H.273)."""


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
        matrix: how R'G'B' became Y'CbCr.
        full_range: codes use the whole range instead of the studio range.
        bit_depth: bits per code; planes are uint8 up to 8 bits and uint16 above.
        subsampling: of the chroma planes; `420` halves both axes, `422` the width.
        chroma_location: where a chroma sample sits among its luma samples: `left` between two
            rows on the left column (MPEG-2, H.264 default), `center` between all four (JPEG),
            `topleft` on the upper left one.
        tags: as found in the stream.
    """

    matrix: Matrix
    full_range: bool = False
    bit_depth: int = 8
    subsampling: Subsampling = "420"
    chroma_location: ChromaLocation = "left"
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

    @property
    def dtype(self) -> np.dtype[np.unsignedinteger[Any]]:
        """Of the planes."""
        return np.dtype(np.uint8 if self.bit_depth == 8 else np.uint16)

    def chroma_shape(self, height: int, width: int) -> tuple[int, int]:
        """Height and width of the chroma planes of a picture; odd sizes round up."""
        if self.subsampling != "444":
            width = (width + 1) // 2
        if self.subsampling == "420":
            height = (height + 1) // 2
        return height, width


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """A picture as decoded, and the span of time it is shown for.

    Attributes:
        planes: Y' (H, W), Cb and Cr of `color.chroma_shape(H, W)`, in `color.dtype`. Not to be
            written to: they may be the decoder's own memory.
        pts_seconds: when it appears.
        duration_seconds: how long it stays; positive.
        color: what the codes mean.
    """

    planes: tuple[Plane, Plane, Plane]
    pts_seconds: Fraction
    duration_seconds: Fraction
    color: ColorSpec

    def __post_init__(self) -> None:
        luma, *chroma = self.planes
        expected = self.color.chroma_shape(*luma.shape)
        for plane in chroma:
            if plane.shape != expected:
                raise ValueError(f"chroma must be {expected} for luma {luma.shape}: {plane.shape}")
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
        self, planes: tuple[Plane, Plane, Plane], pts_seconds: Fraction, duration_seconds: Fraction
    ) -> Self:
        """Another picture of the same color, shown at a time of its own."""
        return replace(
            self, planes=planes, pts_seconds=pts_seconds, duration_seconds=duration_seconds
        )
