# ruff: noqa: PLR0913 - a kernel's arguments
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""The library's convolutions, and one pass for what follows them: bias, activation, sum, copies.

N images, H x W pixels, C channels.
"""

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
def _conv_pictures(
    frames, weight, bias, slope, out,
    batch, height, width, frame_pitch, sample_pitch, plane_pitch, row_pitch,
    OUTPUTS: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    """The first convolution, from fp32 planes: 3 channels x 9 taps are one matrix product."""
    across = tl.cdiv(width, COLUMNS)
    pixel = tl.arange(0, ROWS * COLUMNS)
    y = (tl.program_id(0) // across) * ROWS + pixel // COLUMNS
    x = (tl.program_id(0) % across) * COLUMNS + pixel % COLUMNS
    image = tl.program_id(1)
    first = frames + (image // batch).to(tl.int64) * frame_pitch
    first += (image % batch).to(tl.int64) * sample_pitch
    k = tl.arange(0, 32)
    from_y = y[:, None] + ((k % 9) // 3 - 1)[None, :]
    from_x = x[:, None] + (k % 3 - 1)[None, :]
    inside = (from_y >= 0) & (from_y < height) & (from_x >= 0) & (from_x < width)
    at = (k // 9).to(tl.int64)[None, :] * plane_pitch + from_y * row_pitch + from_x
    a = tl.load(first + at, mask=inside & (k < 27)[None, :], other=0.0)
    o = tl.arange(0, OUTPUTS)
    b = tl.load(weight + k[:, None] * OUTPUTS + o[None, :])
    total = tl.dot(a.to(b.dtype), b) + tl.load(bias + o)[None, :]
    total = activate(total, tl.load(slope + o)[None, :], 1)
    to = (image.to(tl.int64) * height * width + (y * width + x)) * OUTPUTS
    within = ((y < height) & (x < width))[:, None]
    tl.store(out + to[:, None] + o[None, :], total.to(out.dtype.element_ty), mask=within)


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


def conv_pictures(
    frames: Tensor, weight: Tensor, bias: Tensor, slope: Tensor, *, rows: int = 8, warps: int = 4
) -> Tensor:
    """The first 3x3 convolution with its bias and PReLU.

    Args:
        frames: (F, B, 3, H, W) fp32, rows contiguous.
        weight: (32, C'), as `pack_pictures` makes it.
        bias, slope: (C',) fp32.
        rows: of a tile, 16 pixels wide.
        warps: of a program.

    Returns:
        (F B, H, W, C') in the dtype of `weight`.
    """
    both, batch, _, height, width = frames.shape
    outputs = weight.shape[1]
    out = weight.new_empty(both * batch, height, width, outputs)
    tiles = triton.cdiv(height, rows) * triton.cdiv(width, 16)
    _conv_pictures[(tiles, both * batch)](
        frames, weight, bias, slope, out, batch, height, width, *frames.stride()[:4],
        OUTPUTS=outputs, ROWS=rows, COLUMNS=16, num_warps=warps,
    )  # fmt: skip
    return out


def pack_pictures(weight: Tensor) -> Tensor:
    """(C', 3, 3, 3) as `conv_pictures` reads it, (32, C'): channel by channel, tap by tap."""
    packed = weight.new_zeros(32, weight.shape[0])
    packed[:27] = weight.flatten(1).T
    return packed


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


def library_conv(x: Tensor, weight: Tensor, *, stride: int = 1) -> Tensor:
    """The library's 3x3 convolution without bias: (N, H, W, C) -> (N, H', W', C')."""
    return from_images(torch.conv2d(as_images(x), weight, stride=stride, padding=1))


def library_transposed(x: Tensor, weight: Tensor) -> Tensor:
    """The library's 4x4 transposed convolution of stride 2 without bias, likewise."""
    return from_images(torch.conv_transpose2d(as_images(x), weight, stride=2, padding=1))
