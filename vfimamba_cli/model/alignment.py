"""Channels as tensor cores take them. B batch, C channels, H x W pixels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MULTIPLE = 8


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """The channels of all (B, C, H, W), in one dtype.

    On a GPU a pixel's channels are side by side in memory, whatever the parts' layouts, and zeros
    make them a multiple of 8: else cuDNN copies them so, in every pass of a training step.
    """
    first = parts[0]
    if not first.is_cuda:
        return torch.cat(tuple(parts), dim=1)
    missing = -sum(part.shape[1] for part in parts) % MULTIPLE
    zeros = first.new_zeros((len(first), missing, *first.shape[2:]))
    return torch.cat((*parts, zeros), dim=1).contiguous(memory_format=torch.channels_last)


class AlignedConv2d(nn.Conv2d):
    """Also takes more channels than it has weights for: those that `side_by_side` added."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C or more, H, W) -> (B, C', H', W')."""
        return self._conv_forward(x, self._weight_for(x), self.bias)

    def unbiased(self, x: Tensor) -> Tensor:
        """The same without the bias, for who adds it later."""
        return self._conv_forward(x, self._weight_for(x), None)

    def _weight_for(self, x: Tensor) -> Tensor:
        added = x.shape[1] - self.in_channels
        return F.pad(self.weight, (0, 0, 0, 0, 0, added)) if added else self.weight


class UpConv2d(nn.ConvTranspose2d):
    """A 4x4 transposed convolution that doubles the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1)

    def unbiased(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C', 2 H, 2 W), without the bias, for who adds it later."""
        return F.conv_transpose2d(x, self.weight, None, stride=2, padding=1)
