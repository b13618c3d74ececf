"""Channels as tensor cores take them. B batch, C channels, H x W pixels."""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

MULTIPLE = 8


def missing(channels: int, device: torch.device) -> int:
    """How many channels of zeros tensor cores want beside these; on a CPU none.

    Where they are missing, cuDNN copies the others to add them, in every pass of a training step.
    """
    return -channels % MULTIPLE if device.type == "cuda" else 0


def grown(x: Tensor, more: int) -> Tensor:
    """(..., C, H, W) with `more` channels of zeros after its own, or without some if negative.

    Unlike a slice's, the gradient of the latter has the layout of what it is made from.
    """
    return F.pad(x, (0, 0, 0, 0, 0, more)) if more else x


def longer(vector: Tensor, more: int) -> Tensor:
    """(C,) with `more` zeros after it."""
    return F.pad(vector, (0, more)) if more else vector


def complete(x: Tensor) -> Tensor:
    """(..., C, H, W) with the channels that are `missing`."""
    return grown(x, missing(x.shape[-3], x.device))


def side_by_side(parts: Sequence[Tensor]) -> Tensor:
    """The channels of all (B, C, H, W), in one dtype, and those then `missing`.

    On a GPU a pixel's channels are side by side in memory, whatever the parts' layouts.
    """
    first = parts[0]
    if more := missing(sum(part.shape[1] for part in parts), first.device):
        parts = (*parts, first.new_zeros((len(first), more, *first.shape[2:])))
    joined = torch.cat(tuple(parts), dim=1)
    return joined.contiguous(memory_format=torch.channels_last) if first.is_cuda else joined


class AlignedConv2d(nn.Conv2d):
    """Also takes more channels than it has weights for: those that were `missing`."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, C or more, H, W) -> (B, C', H', W')."""
        return grown(self.aligned(x), -missing(self.out_channels, x.device))

    def aligned(self, x: Tensor, *, biased: bool = True) -> Tensor:
        """The same, with the channels `missing` from the result: zeros.

        Args:
            x: (B, C or more, H, W).
            biased: whether to add the bias; not if whoever asks does.

        Returns:
            (B, C' or more, H', W').
        """
        added, more = x.shape[1] - self.in_channels, missing(self.out_channels, x.device)
        weight = self.weight
        if added or more:
            weight = F.pad(weight, (0, 0, 0, 0, 0, added, 0, more))
        bias = longer(self.bias, more) if biased and self.bias is not None else None
        return self._conv_forward(x, weight, bias)


class UpConv2d(nn.ConvTranspose2d):
    """A 4x4 transposed convolution that doubles the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override] # its size is always known
        """(B, C, H, W) -> (B, C', 2 H, 2 W)."""
        return grown(self.aligned(x), -missing(self.out_channels, x.device))

    def aligned(self, x: Tensor, *, biased: bool = True) -> Tensor:
        """As that of `AlignedConv2d`: (B, C, H, W) -> (B, C' or more, 2 H, 2 W)."""
        more = missing(self.out_channels, x.device)
        bias = longer(self.bias, more) if biased and self.bias is not None else None
        return F.conv_transpose2d(x, grown(self.weight, more), bias, stride=2, padding=1)
