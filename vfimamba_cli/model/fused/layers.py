"""Layers of the fused network: weights packed once, then one or two kernels a call.

N images, H x W pixels, C channels, all channels-last and in half precision; biases, slopes and
norms are fp32. Importing this module imports Triton.
"""

from typing import Any

import torch
from torch import Tensor

from vfimamba_cli.model.fused.mixer import FusedMixer
from vfimamba_cli.ops.fused import convolution, tokens
from vfimamba_cli.ops.fused.direct import DirectConv
from vfimamba_cli.ops.fused.stem import StemConv

FEW = 64
"""Up to so many channels our own convolution is the faster one, as measured on an H100."""

Norm = tuple[Tensor, Tensor]


def norm_of(norm: Any) -> Norm:
    """Weight and bias of a layer norm."""
    return norm.weight.float().contiguous(), norm.bias.float().contiguous()


def padded(channels: int) -> int:
    """The next multiple of 8: the channels that cuDNN's convolutions take at a time."""
    return -(-channels // 8) * 8


def grown(x: Tensor, sizes: dict[int, int]) -> Tensor:
    """`x` with zeros after it, up to the size given for an axis."""
    shape = [sizes.get(axis, size) for axis, size in enumerate(x.shape)]
    out = x.new_zeros(shape)
    out[tuple(slice(size) for size in x.shape)] = x
    return out


class Conv:
    """A 3x3 convolution with bias and, if there is one, its PReLU."""

    def __init__(
        self,
        conv: Any,
        prelu: Any,
        *,
        dtype: torch.dtype,
        places: list[int] | None = None,
        inputs: int | None = None,
    ) -> None:
        """Pack the weights.

        Args:
            conv: the convolution.
            prelu: what follows it, or None.
            dtype: to compute in.
            places: channel of the input -> where in the wider one it lies; in order if none.
            inputs: channels of the wider input, those in no place unused.
        """
        weight = conv.weight.detach()
        if inputs is not None:
            wide = weight.new_zeros(weight.shape[0], inputs, 3, 3)
            wide[:, places] = weight
            weight = wide
        (stride, _) = conv.stride
        self.run = _layer(conv, weight, prelu, dtype, stride=stride, transposed=False)

    def __call__(
        self,
        x: Tensor,
        *,
        before: Tensor | None = None,
        out: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Tensor:
        """(N, H, W, C) -> (N, H', W', C').

        Args:
            x: the input.
            before: added after the activation, as the result.
            out: where the result goes; the last axis may be a slice of a wider one.
            second: where it goes too, likewise.
        """
        return self.run(x, before=before, out=out, second=second)


class Stem:
    """The first two convolutions, from fp32 frames."""

    def __init__(self, *pairs: tuple[Any, Any], dtype: torch.dtype) -> None:
        weights: list[Tensor] = []
        for conv, prelu in pairs:
            weights += [conv.weight.detach().to(dtype), conv.bias.detach(), prelu.weight.detach()]
        self.run = StemConv(*weights)

    def __call__(self, frames: Tensor) -> Tensor:
        """(F, B, 3, H, W) -> (F B, H, W, C)."""
        return self.run(frames)


class Transposed:
    """A 4x4 transposed convolution of stride 2 with bias and, if there is one, its PReLU."""

    def __init__(self, conv: Any, prelu: Any, *, dtype: torch.dtype) -> None:
        self.run = _layer(conv, conv.weight.detach(), prelu, dtype, stride=1, transposed=True)

    def __call__(self, x: Tensor, *, out: Tensor | None = None) -> Tensor:
        """(N, H, W, C) -> (N, 2 H, 2 W, C'); `out` as `Conv` takes it."""
        return self.run(x, out=out)


class MixedBlock:
    """`MixedSSMBlock`, from a stream of tokens and its norm to those of the next block."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        self.mix = FusedMixer(block.mixer, dtype)
        self.norm_1, self.norm_2 = norm_of(block.ln_1), norm_of(block.ln_2)
        self.skip_1 = block.skip_scale.detach().float()
        self.skip_2 = block.skip_scale2.detach().float()
        first, _, second, attention = block.cab
        hidden = padded(first.out_channels)
        self.narrow = channels_last_weight(grown(first.weight.detach(), {0: hidden}).to(dtype))
        self.narrow_bias = grown(first.bias.detach().float(), {0: hidden})
        self.widen = channels_last_weight(grown(second.weight.detach(), {1: hidden}).to(dtype))
        self.widen_bias = second.bias.detach().float()
        _, down, _, up, _ = attention.attention
        self.attention = (
            down.weight.detach().float().flatten(1),
            down.bias.detach().float(),
            up.weight.detach().float().flatten(1).T.contiguous(),
            up.bias.detach().float(),
        )

    def __call__(self, x: Tensor, normed: Tensor, after: Norm | None) -> tuple[Tensor, Tensor]:
        """One block.

        Args:
            x: (N, H, W, C), frame 0 of all samples first.
            normed: `x` after `norm_1`.
            after: the norm that follows the block.

        Returns:
            `x` after the block, and after that norm.
        """
        mixed = self.mix(normed)
        x, normed = tokens.sum_norm(x, self.skip_1, mixed, norm=self.norm_2)
        narrow = convolution.cudnn_conv(normed, self.narrow)
        narrow = convolution.finish(narrow, self.narrow_bias, gelu=True)
        wide = convolution.cudnn_conv(narrow, self.widen)
        gate = tokens.channel_gate(wide, self.widen_bias, *self.attention)
        return tokens.sum_norm(x, self.skip_2, wide, gate=(gate, self.widen_bias), norm=after)


class CudnnConv:
    """cuDNN's convolution, then bias, PReLU, sum and copies in one pass."""

    def __init__(
        self,
        weight: Tensor,
        bias: Tensor,
        slope: Tensor | None,
        *,
        stride: int,
        transposed: bool,
    ) -> None:
        """As `DirectConv`; weights in half precision."""
        self.weight = weight.contiguous(memory_format=torch.channels_last)
        self.bias, self.slope = bias.float(), None if slope is None else slope.float()
        self.stride, self.transposed = stride, transposed

    def __call__(
        self,
        x: Tensor,
        *,
        before: Tensor | None = None,
        out: Tensor | None = None,
        second: Tensor | None = None,
    ) -> Tensor:
        """(N, H, W, C) -> (N, H', W', C')."""
        if self.transposed:
            y = convolution.cudnn_transposed(x, self.weight)
        else:
            y = convolution.cudnn_conv(x, self.weight, stride=self.stride)
        return convolution.finish(y, self.bias, self.slope, before=before, out=out, second=second)


def _layer(
    conv: Any, weight: Tensor, prelu: Any, dtype: torch.dtype, *, stride: int, transposed: bool
) -> DirectConv | CudnnConv:
    """The faster of the two ways for so many channels, padded to what it takes at a time."""
    outputs = 4 if conv.out_channels < 4 else padded(conv.out_channels)
    inputs, axis = weight.shape[0 if transposed else 1], 1 if transposed else 0
    weight = grown(weight, {axis: outputs, 1 - axis: padded(inputs)}).to(dtype)
    bias = grown(conv.bias.detach(), {0: outputs})
    slope = None if prelu is None else grown(prelu.weight.detach(), {0: outputs})
    if outputs <= (FEW // 2 if transposed else FEW) and inputs <= (2 * FEW if transposed else FEW):
        return DirectConv(weight, bias, slope, stride=stride, transposed=transposed)
    return CudnnConv(weight, bias, slope, stride=stride, transposed=transposed)


def channels_last_weight(weight: Tensor) -> Tensor:
    """A weight as cuDNN's channels-last convolution wants it."""
    return weight.contiguous(memory_format=torch.channels_last)
