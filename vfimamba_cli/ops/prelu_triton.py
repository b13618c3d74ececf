# ruff: noqa: ARG001 - fake kernels have all arguments of their operators
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""A convolution's bias and its PReLU in one pass over the GPU's memory, and one backwards.

A pixel's channels lie side by side in memory, as "channels last" has them. Importing this module
imports Triton. B batch, C channels, H x W, P = B H W pixels.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 2048  # elements of a program's tile: a load of 16 bytes a thread in half precision
WARPS = 8
CHANNELS = 64  # of a tile at most, a line of the cache in half precision
RESIDENT = 4  # programs that a processor's registers hold at a time
SUMMED = 16  # channels of a program that adds up partial sums
LAST = torch.channels_last


@triton.jit
def outputs(
    x, bias, slope, y, pixels,
    C: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """y[p, c] = v if v > 0 else slope[c] v, with v = x[p, c] + bias[c]."""
    tile = tl.program_id(0)
    p, c = tl.arange(0, PIXELS)[:, None], tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    first, at = tile.to(tl.int64) * PIXELS, p * C + c[None, :]
    valid = (p < pixels - tile * PIXELS) & (c < C)[None, :]
    b = tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    s = tl.load(slope + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    v = tl.load(x + first * C + at, mask=valid, other=0.0).to(tl.float32) + b
    out = tl.where(v > 0, v, v * s)
    tl.store(y + first * C + at, out.to(y.dtype.element_ty), mask=valid)


@triton.jit
def gradients(
    grad, x, bias, slope, grad_x, parts, pixels,
    STEP: tl.constexpr, C: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """grad_x, and the program's sums of the gradients of slope and bias: a row of (2, C) `parts`.

    STEP is how far the pixels of `grad` are apart, a constant so that its loads can be wide.
    A thread's sums stay in its registers from tile to tile, and meet the others' once, at the end.
    """
    p, c = tl.arange(0, PIXELS)[:, None], tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    at, at_grad, inside = p * C + c[None, :], p * STEP + c[None, :], (c < C)[None, :]
    b = tl.load(bias + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    s = tl.load(slope + c, mask=c < C, other=0.0).to(tl.float32)[None, :]
    to_slope = tl.zeros((PIXELS, BLOCK), dtype=tl.float32)
    to_bias = tl.zeros((PIXELS, BLOCK), dtype=tl.float32)
    for tile in range(tl.program_id(0), tl.cdiv(pixels, PIXELS), tl.num_programs(0)):
        first = tl.cast(tile, tl.int64) * PIXELS
        valid = (p < pixels - tile * PIXELS) & inside
        v = tl.load(x + first * C + at, mask=valid, other=0.0).to(tl.float32) + b
        g = tl.load(grad + first * STEP + at_grad, mask=valid, other=0.0).to(tl.float32)
        d = tl.where(v > 0, g, g * s)
        tl.store(grad_x + first * C + at, d.to(grad_x.dtype.element_ty), mask=valid)
        to_slope += tl.where(v > 0, 0.0, g * v)
        to_bias += d
    row = parts + tl.program_id(0) * (2 * C) + c
    tl.store(row, tl.sum(to_slope, 0), mask=c < C)
    tl.store(row + C, tl.sum(to_bias, 0), mask=c < C)


@triton.jit
def totals(
    parts, to_slope, to_bias, rows,
    C: tl.constexpr, ROWS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The sums over all rows of (2, C) `parts`, always in the same order."""
    c = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    of_slope = tl.zeros((ROWS, BLOCK), dtype=tl.float32)
    of_bias = tl.zeros((ROWS, BLOCK), dtype=tl.float32)
    for first in range(0, rows, ROWS):
        row = first + tl.arange(0, ROWS)[:, None]
        at, valid = parts + row * (2 * C) + c[None, :], (row < rows) & (c < C)[None, :]
        of_slope += tl.load(at, mask=valid, other=0.0)
        of_bias += tl.load(at + C, mask=valid, other=0.0)
    tl.store(to_slope + c, tl.sum(of_slope, 0).to(to_slope.dtype.element_ty), mask=c < C)
    tl.store(to_bias + c, tl.sum(of_bias, 0).to(to_bias.dtype.element_ty), mask=c < C)


def biased_prelu(x: Tensor, bias: Tensor, slope: Tensor) -> Tensor:
    """PReLU of `x` plus `bias`, in fp32 inside; keeps nothing but `x` for the backward pass.

    Gradients are the same from run to run.

    Args:
        x: (B, C, H, W): a convolution's result without its bias.
        bias, slope: (C,), of any dtype.

    Returns:
        (B, C, H, W), in the dtype of `x`, channels last in memory.
    """
    forward = _in_parts if torch.compiler.is_compiling() else _biased_prelu
    return forward(x.contiguous(memory_format=LAST), bias, slope)


@torch.library.custom_op("vfimamba::biased_prelu", mutates_args=())
def _biased_prelu(x: Tensor, bias: Tensor, slope: Tensor) -> Tensor:
    y = torch.empty_like(x, memory_format=LAST)
    (tiles, blocks), cut = _cut(x)
    with torch.cuda.device_of(x):
        outputs[tiles, blocks](x, bias, slope, y, _pixels(x), **cut, num_warps=WARPS)
    return y


@_biased_prelu.register_fake
def _(x: Tensor, bias: Tensor, slope: Tensor) -> Tensor:
    return torch.empty_like(x, memory_format=LAST)


@torch.library.triton_op("vfimamba::biased_prelu_in_parts", mutates_args=())
def _in_parts(x: Tensor, bias: Tensor, slope: Tensor) -> Tensor:
    """The same for a compiler, which sees what is in it and joins that with what comes after.

    So what a U-Net puts beside other maps is written there at once, and not copied.
    """
    v = x.float() + bias[:, None, None]
    return torch.where(v > 0, v, v * slope[:, None, None]).to(x.dtype)


@torch.library.custom_op("vfimamba::biased_prelu_backward", mutates_args=())
def _biased_prelu_backward(
    grad: Tensor, x: Tensor, bias: Tensor, slope: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradients of x, bias and slope; `grad` as `_has_even_pixels` says, or channels last."""
    grad_x, to_bias, to_slope = _gradients_of(x, bias, slope)
    (tiles, blocks), cut = _cut(x)
    channels, rows = x.shape[1], min(tiles, max(_programs(x.device) // blocks, 1))
    step = grad.stride(3) if _has_even_pixels(grad) else channels  # axes of 1 have any stride
    parts = torch.empty((rows, 2, channels), dtype=torch.float32, device=x.device)
    with torch.cuda.device_of(x):
        gradients[rows, blocks](
            grad, x, bias, slope, grad_x, parts, _pixels(x),
            STEP=step, **cut, num_warps=WARPS,
        )  # fmt: skip
        block = min(cut["BLOCK"], SUMMED)
        totals[(triton.cdiv(channels, block),)](
            parts, to_slope, to_bias, rows,
            C=channels, ROWS=TILE // SUMMED, BLOCK=block, num_warps=WARPS,
        )  # fmt: skip
    return grad_x, to_bias, to_slope


@_biased_prelu_backward.register_fake
def _(grad: Tensor, x: Tensor, bias: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return _gradients_of(x, bias, slope)


def _gradients_of(x: Tensor, bias: Tensor, slope: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Room for all three."""
    room = torch.empty_like
    return room(x, memory_format=LAST), room(bias), room(slope)


def _pixels(x: Tensor) -> int:
    return x.numel() // x.shape[1]


def _cut(x: Tensor) -> tuple[tuple[int, int], dict[str, int]]:
    """How many tiles there are of pixels and of channels, and their sizes."""
    channels = x.shape[1]
    block = min(triton.next_power_of_2(channels), CHANNELS)
    wide = TILE // block
    count = triton.cdiv(_pixels(x), wide), triton.cdiv(channels, block)
    return count, {"C": channels, "PIXELS": wide, "BLOCK": block}


def _programs(device: torch.device) -> int:
    """As many as run at once: more would only leave more partial sums."""
    if device.type != "cuda":  # Triton's interpreter
        return RESIDENT
    return RESIDENT * torch.cuda.get_device_properties(device).multi_processor_count


def _has_even_pixels(grad: Tensor) -> bool:
    """Whether all pixels are equally far apart in memory, each one's channels side by side.

    So they are in some channels of a wider map, too: those need not be copied out of it.
    """
    _, _, height, width = grad.shape
    batch, channel, row, pixel = grad.stride()
    return channel == 1 and row == width * pixel and batch == height * row


def _keep(ctx: Any, inputs: tuple[Tensor, Tensor, Tensor], output: Tensor) -> None:
    ctx.save_for_backward(*inputs)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    if not _has_even_pixels(grad):
        grad = grad.contiguous(memory_format=LAST)
    return _biased_prelu_backward(grad, *ctx.saved_tensors)


_biased_prelu.register_autograd(_backward, setup_context=_keep)
_in_parts.register_autograd(_backward, setup_context=_keep)
