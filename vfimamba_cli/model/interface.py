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

    def encode(self, frames: Tensor) -> Features:
        """Features of both frames, which see each other."""
        ...

    def estimate_motion(self, frames: Tensor, features: Features, t: Tensor) -> Motion:
        """Motion towards the wanted times, from features of these frames."""
        ...

    def refine_motion(self, frames: Tensor, motion: Motion) -> Motion:
        """Motion sharpened from the pictures, at their size."""
        ...

    def synthesize(self, frames: Tensor, features: Features, motion: Motion) -> Tensor:
        """The pictures at the wanted times, (B, 3, H, W) fp32, no further outside [0, 1]
        than the frames.
        """
        ...
