"""What the engine and the trainer ask of any interpolation network.

F = 2 frames, B batch, C channels, H x W pixels, T timesteps.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

Features = tuple[Tensor, ...]
"""Pyramid levels, finest first, each (F, B, C, H, W) of its own size."""


@dataclass(frozen=True, slots=True)
class Motion:
    """Where each pixel of the wanted frame is found in the two given ones.

    Attributes:
        flow: (B, 4, H, W) fp32, in pixels of this size: x and y into frame 0, then into frame 1.
        mask: (B, 1, H, W) fp32 logit; its sigmoid is the share of frame 0.
    """

    flow: Tensor
    mask: Tensor


@dataclass(frozen=True, slots=True)
class Region:
    """A part of a frame, in pixels of full size; on level i of a pyramid, shrunk by 2^i."""

    top: int
    left: int
    height: int
    width: int

    def of(self, image: Tensor, level: int = 0) -> Tensor:
        """Its part of (..., H, W), a view."""
        rows = slice(self.top >> level, (self.top + self.height) >> level)
        columns = slice(self.left >> level, (self.left + self.width) >> level)
        return image[..., rows, columns]

    def within(self, other: "Region") -> "Region":
        """The same part, counted from the first pixel of `other`."""
        return Region(self.top - other.top, self.left - other.left, self.height, self.width)


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a training step sees: the picture and every intermediate merge of warped frames.

    Attributes:
        picture: (B, 3, H, W), clamped to [0, 1].
        merges: one (B, 3, H, W) per motion step, coarse to fine.
    """

    picture: Tensor
    merges: tuple[Tensor, ...]


class InterpolationModel(Protocol):
    """Four calls whose compositions are both published inference paths.

    Frames are (F, B, 3, H, W) in [0, 1], in the channel order the weights were trained with;
    H and W are multiples of `multiple_of`. `t` is (B,), 0 at frame 0 and 1 at frame 1.
    """

    @property
    def multiple_of(self) -> int:
        """Height and width of the frames must be multiples of this."""
        ...

    @property
    def whole_bytes_per_pixel(self) -> int:
        """Memory for what must be kept of the whole frames, per pixel, roughly."""
        ...

    @property
    def part_bytes_per_pixel(self) -> int:
        """Memory for the part whose picture is being made, per pixel of it, roughly."""
        ...

    @property
    def encode_halo(self) -> int:
        """Pixels beyond a part that its shallow features depend on; a multiple of the above."""
        ...

    @property
    def synthesis_halo(self) -> int:
        """Pixels beyond a part that its picture depends on, motion aside; likewise."""
        ...

    def encode(self, frames: Tensor) -> Features:
        """Features of both frames, which see each other: the shallow and the deep levels."""
        ...

    def encode_shallow(self, frames: Tensor) -> Features:
        """The finest levels, each frame on its own: they can be had part by part."""
        ...

    def encode_deep(self, shallow: Tensor) -> Features:
        """The other levels, from the coarsest shallow one of the whole frames."""
        ...

    def estimate_motion(self, frames: Tensor, features: Features, t: Tensor) -> Motion:
        """Motion towards the wanted times, from features of these frames."""
        ...

    def refine_motion(self, frames: Tensor, motion: Motion) -> Motion:
        """Motion sharpened from the pictures, at their size."""
        ...

    def synthesize(
        self, frames: Tensor, features: Features, motion: Motion, region: Region | None = None
    ) -> Tensor:
        """The pictures at the wanted times, (B, 3, H, W) fp32, no further outside [0, 1]
        than the frames; or the `region` of them, right but for a halo within its edges.
        """
        ...
