# ruff: noqa: PLR0913 - a kernel's arguments
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""cuDNN's convolutions, and one pass for what follows them: bias, activation, sum, copies.

N images, H x W pixels, C channels.
"""

from contextlib import AbstractContextManager

import torch
import triton
import triton.language as tl
from torch import Tensor

NONE, PRELU, GELU = 0, 1, 2
"""Activations."""


@triton.jit
def activate(x, slope, ACTIVATION: tl.constexpr):
    """Of fp32 values; `slope` is PReLU's, per channel."""
    if ACTIVATION == 1:
        return tl.where(x > 0, x, x * slope)
    if ACTIVATION == 2:
        return 0.5 * x * (1 + tl.math.erf(x * 0.7071067811865476))
    return x


@triton.jit
def _finish(
    x, bias, slope, before, out, second,
    pixels, channels,
    OUT_PITCH: tl.constexpr, SECOND_PITCH: tl.constexpr,
    ACTIVATION: tl.constexpr, ADD: tl.constexpr, TWICE: tl.constexpr,
    BLOCK: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """activation(x + bias) + before, to one place or two."""
    p = (tl.program_id(0) * BLOCK + tl.arange(0, BLOCK))[:, None].to(tl.int64)
    c = (tl.program_id(1) * WIDTH + tl.arange(0, WIDTH))[None, :]
    mask = (p < pixels) & (c < channels)
    value = tl.load(x + p * channels + c, mask=mask, other=0.0).to(tl.float32)
    value += tl.load(bias + c, mask=c < channels, other=0.0)
    s = 0.0
    if ACTIVATION == 1:
        s = tl.load(slope + c, mask=c < channels, other=0.0)
    value = activate(value, s, ACTIVATION)
    if ADD:
        value += tl.load(before + p * channels + c, mask=mask, other=0.0).to(tl.float32)
    tl.store(out + p * OUT_PITCH + c, value.to(out.dtype.element_ty), mask=mask)
    if TWICE:
        tl.store(second + p * SECOND_PITCH + c, value.to(second.dtype.element_ty), mask=mask)


def finish(
    x: Tensor,
    bias: Tensor,
    slope: Tensor | None = None,
    *,
    gelu: bool = False,
    before: Tensor | None = None,
    out: Tensor | None = None,
    second: Tensor | None = None,
) -> Tensor:
    """activation(x + bias) + before, in place unless `out` is given.

    Args:
        x: (N, H, W, C), contiguous.
        bias: (C,) fp32.
        slope: of PReLU, (C,) fp32; no PReLU if none.
        gelu: GELU instead.
        before: added after the activation, as `x`.
        out, second: (N, H, W, C) to write to; the last axis may be a slice of a wider one.

    Returns:
        `out`, or `x` where there is none.
    """
    out = x if out is None else out
    channels = x.shape[-1]
    pixels = x.numel() // channels
    width = min(triton.next_power_of_2(channels), 256)
    block = max(4096 // width, 1)
    _finish[(triton.cdiv(pixels, block), triton.cdiv(channels, width))](
        x, bias, bias if slope is None else slope, x if before is None else before,
        out, out if second is None else second,
        pixels, channels,
        OUT_PITCH=out.stride(2), SECOND_PITCH=(out if second is None else second).stride(2),
        ACTIVATION=GELU if gelu else NONE if slope is None else PRELU,
        ADD=before is not None, TWICE=second is not None,
        BLOCK=block, WIDTH=width, num_warps=8,
    )  # fmt: skip
    return out


def as_images(x: Tensor) -> Tensor:
    """(N, H, W, C) as PyTorch's convolutions take it, (N, C, H, W) in channels-last memory."""
    return x.permute(0, 3, 1, 2)


def from_images(x: Tensor) -> Tensor:
    """The reverse of `as_images`."""
    return x.permute(0, 2, 3, 1).contiguous()


def autotuned() -> AbstractContextManager[None]:
    """cuDNN tries its algorithms for a size once and keeps the fastest."""
    cudnn = torch.backends.cudnn
    return cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=True,
        deterministic=cudnn.deterministic,
        allow_tf32=cudnn.allow_tf32,
    )


def cudnn_conv(x: Tensor, weight: Tensor, *, stride: int = 1) -> Tensor:
    """cuDNN's 3x3 convolution without bias: (N, H, W, C) -> (N, H', W', C')."""
    with autotuned():
        return from_images(torch.conv2d(as_images(x), weight, stride=stride, padding=1))


def cudnn_transposed(x: Tensor, weight: Tensor) -> Tensor:
    """cuDNN's 4x4 transposed convolution of stride 2 without bias, likewise."""
    with autotuned():
        return from_images(torch.conv_transpose2d(as_images(x), weight, stride=2, padding=1))
