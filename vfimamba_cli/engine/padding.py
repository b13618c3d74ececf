"""Growing frames to the size a network runs on, and cutting the result back."""

from dataclasses import dataclass
from typing import Self

import torch.nn.functional as F
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Padding:
    """Pixels added on each side by repeating the edge."""

    left: int
    right: int
    top: int
    bottom: int

    @classmethod
    def to_multiple(cls, height: int, width: int, multiple: int) -> Self:
        """Centred padding that makes both sides multiples of `multiple`.

        Source: the published benchmark scripts' padder (left = total // 2).
        """
        across, down = -width % multiple, -height % multiple
        return cls(across // 2, across - across // 2, down // 2, down - down // 2)

    def add(self, image: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H + top + bottom, W + left + right)."""
        return F.pad(image, (self.left, self.right, self.top, self.bottom), mode="replicate")

    def remove(self, image: Tensor) -> Tensor:
        """The inverse of `add`, on any (..., H, W)."""
        height, width = image.shape[-2:]
        return image[..., self.top : height - self.bottom, self.left : width - self.right]
