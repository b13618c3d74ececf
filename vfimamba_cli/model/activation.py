"""Convolutions and what follows them at once. B batch, C channels, H x W pixels."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from vfimamba_cli.model.alignment import AlignedConv2d, grown, longer


def conv(inputs: int, outputs: int, *, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """3x3 convolution and its activation, PReLU with one slope per channel."""
    return AlignedConv2d(inputs, outputs, 3, stride, padding=1), nn.PReLU(outputs)


class ConvPReLU(nn.Sequential):
    """Convolutions, each with its PReLU after it.

    Attributes:
        biased_prelu: (x, bias, slope) -> PReLU of their sum, in place of PyTorch's operations
            where gradients are wanted; set by `use_kernels`.
    """

    biased_prelu: Callable[[Tensor, Tensor, Tensor], Tensor] | None = None

    def use_kernels(self, wanted: bool) -> None:
        """Activate by Triton. It is imported here: compilers do not follow imports."""
        if wanted:
            from vfimamba_cli.ops.prelu_triton import biased_prelu

            self.biased_prelu = biased_prelu
        else:
            self.biased_prelu = None

    def forward(self, x: Tensor) -> Tensor:
        """(B, C or more, H, W) -> (B, C', H', W')."""
        kernel = self.biased_prelu
        if kernel is None or not torch.is_grad_enabled():
            return super().forward(x)  # type: ignore[no-untyped-call]
        layers: list[Any] = list(self)
        for convolution, prelu in zip(layers[::2], layers[1::2], strict=True):
            x = convolution.aligned(x, biased=False)
            more = x.shape[1] - convolution.out_channels
            x = kernel(x, longer(convolution.bias, more), longer(prelu.weight, more))
            x = grown(x, -more)
        return x
