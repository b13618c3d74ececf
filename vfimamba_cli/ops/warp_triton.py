# ruff: noqa: ARG001, PLR0913 - a kernel's arguments; fake kernels have those of their operators
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""Backward warping of both frames in one GPU kernel, with gradients. Importing it imports Triton.

Any dtype and any layout; a pixel's channels are best side by side in memory, as "channels last"
has them. F = 2 frames, B batch, C channels, H x W pixels of the maps, h x w of the flow.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 1024  # elements of a program's tile


@triton.jit
def _places(flow, stride_y, stride_x, stride_c, y, x, top, left, height, width, inside):
    """Where to sample, each in [0, size - 1], and whether the flow still moves it there."""
    at = flow + y.to(tl.int64) * stride_y + x * stride_x
    px = (x + left).to(tl.float32) + tl.load(at, mask=inside, other=0.0)
    py = (y + top).to(tl.float32) + tl.load(at + stride_c, mask=inside, other=0.0)
    right, bottom = width - 1.0, height - 1.0
    free_x, free_y = (px > 0) & (px < right), (py > 0) & (py < bottom)
    return (
        tl.minimum(tl.maximum(px, 0.0), right),
        tl.minimum(tl.maximum(py, 0.0), bottom),
        free_x,
        free_y,
    )


@triton.jit
def _corners(px, py, height, width, stride_y, stride_x):
    """Offsets of the four pixels around each place, and how far it lies past the first."""
    x0, y0 = px.to(tl.int32), py.to(tl.int32)
    x1, y1 = tl.minimum(x0 + 1, width - 1), tl.minimum(y0 + 1, height - 1)
    row_0, row_1 = y0.to(tl.int64) * stride_y, y1.to(tl.int64) * stride_y
    left, right = x0 * stride_x, x1 * stride_x
    return (
        row_0 + left,
        row_0 + right,
        row_1 + left,
        row_1 + right,
        (px - x0.to(tl.float32))[:, None],
        (py - y0.to(tl.float32))[:, None],
    )


@triton.jit
def sample(
    maps, flow, out,
    batch, channels, height, width, rows, columns, top, left,
    map_f, map_b, map_c, map_y, map_x,
    flow_b, flow_c, flow_y, flow_x,
    out_b, out_c, out_y, out_x,
    PIXELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """out[b, f C + c, y, x] = maps[f, b, c] where flow[b, 2 f : 2 f + 2, y, x] points."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    frame, b = tl.program_id(1) // batch, (tl.program_id(1) % batch).to(tl.int64)
    inside = pixel < rows * columns
    y, x = pixel // columns, pixel % columns
    flow += b * flow_b + 2 * frame * flow_c
    px, py, _, _ = _places(flow, flow_y, flow_x, flow_c, y, x, top, left, height, width, inside)
    a00, a01, a10, a11, wx, wy = _corners(px, py, height, width, map_y, map_x)
    maps += frame * map_f + b * map_b
    to = out + b * out_b + y.to(tl.int64) * out_y + x * out_x
    for first in range(0, channels, BLOCK):
        c = (first + tl.arange(0, BLOCK))[None, :]
        valid = inside[:, None] & (c < channels)
        at = maps + c * map_c
        v00 = tl.load(at + a00[:, None], mask=valid, other=0.0).to(tl.float32)
        v01 = tl.load(at + a01[:, None], mask=valid, other=0.0).to(tl.float32)
        v10 = tl.load(at + a10[:, None], mask=valid, other=0.0).to(tl.float32)
        v11 = tl.load(at + a11[:, None], mask=valid, other=0.0).to(tl.float32)
        upper, lower = v00 + wx * (v01 - v00), v10 + wx * (v11 - v10)
        value = upper + wy * (lower - upper)
        store = to[:, None] + (frame * channels + c) * out_c
        tl.store(store, value.to(out.dtype.element_ty), mask=valid)


@triton.jit
def sample_gradients(
    grad, maps, flow, grad_maps, grad_flow,
    batch, channels, height, width, rows, columns, top, left,
    map_f, map_b, map_c, map_y, map_x,
    flow_b, flow_c, flow_y, flow_x,
    grad_b, grad_c, grad_y, grad_x,
    to_f, to_b, to_c, to_y, to_x,
    PIXELS: tl.constexpr, BLOCK: tl.constexpr, TO_MAPS: tl.constexpr,
):  # fmt: skip
    """grad_flow is (B, 4, h, w), contiguous; grad_maps, fp32, is added to if TO_MAPS."""
    pixel = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    frame, b = tl.program_id(1) // batch, (tl.program_id(1) % batch).to(tl.int64)
    inside = pixel < rows * columns
    y, x = pixel // columns, pixel % columns
    flow += b * flow_b + 2 * frame * flow_c
    px, py, free_x, free_y = _places(
        flow, flow_y, flow_x, flow_c, y, x, top, left, height, width, inside
    )
    a00, a01, a10, a11, wx, wy = _corners(px, py, height, width, map_y, map_x)
    maps += frame * map_f + b * map_b
    if TO_MAPS:
        t00, t01, t10, t11, _, _ = _corners(px, py, height, width, to_y, to_x)
        grad_maps += frame * to_f + b * to_b
    source = grad + b * grad_b + y.to(tl.int64) * grad_y + x * grad_x
    dx = tl.zeros((PIXELS,), dtype=tl.float32)
    dy = tl.zeros((PIXELS,), dtype=tl.float32)
    for first in range(0, channels, BLOCK):
        c = (first + tl.arange(0, BLOCK))[None, :]
        valid = inside[:, None] & (c < channels)
        at = maps + c * map_c
        v00 = tl.load(at + a00[:, None], mask=valid, other=0.0).to(tl.float32)
        v01 = tl.load(at + a01[:, None], mask=valid, other=0.0).to(tl.float32)
        v10 = tl.load(at + a10[:, None], mask=valid, other=0.0).to(tl.float32)
        v11 = tl.load(at + a11[:, None], mask=valid, other=0.0).to(tl.float32)
        g_at = source[:, None] + (frame * channels + c) * grad_c
        g = tl.load(g_at, mask=valid, other=0.0).to(tl.float32)
        across, across_2 = v01 - v00, v11 - v10
        dx += tl.sum(g * (across + wy * (across_2 - across)), 1)
        dy += tl.sum(g * (v10 - v00 + wx * (across_2 - across)), 1)
        if TO_MAPS:
            to = grad_maps + c * to_c
            lower, upper = g * wy, g * (1 - wy)
            tl.atomic_add(to + t00[:, None], upper * (1 - wx), mask=valid, sem="relaxed")
            tl.atomic_add(to + t01[:, None], upper * wx, mask=valid, sem="relaxed")
            tl.atomic_add(to + t10[:, None], lower * (1 - wx), mask=valid, sem="relaxed")
            tl.atomic_add(to + t11[:, None], lower * wx, mask=valid, sem="relaxed")
    area = rows * columns
    to_flow = grad_flow + (b * 4 + 2 * frame) * area + pixel
    tl.store(to_flow, tl.where(free_x, dx, 0.0), mask=inside)
    tl.store(to_flow + area, tl.where(free_y, dy, 0.0), mask=inside)


def _cut(channels: int, pixels: int, programs: int) -> tuple[tuple[int, int], dict[str, int]]:
    block = min(triton.next_power_of_2(channels), 64)
    wide = TILE // block
    return (triton.cdiv(pixels, wide), programs), {"PIXELS": wide, "BLOCK": block}


def _empty_like_maps(maps: Tensor, flow: Tensor) -> Tensor:
    """(B, F C, h, w): a pixel's channels side by side if those of the maps are."""
    frames, batch, channels = maps.shape[:3]
    last = maps.stride(2) == 1
    layout = torch.channels_last if last else torch.contiguous_format
    shape = (batch, frames * channels, *flow.shape[-2:])
    return torch.empty(shape, dtype=maps.dtype, device=maps.device, memory_format=layout)


def warp_pair(maps: Tensor, flow: Tensor, top: int, left: int) -> Tensor:
    """`vfimamba_cli.ops.warp.warp_pair`, by a kernel of its own."""
    # Only gradients and compilers need the operator, and its first call imports the compiler.
    needed = torch.is_grad_enabled() or torch.compiler.is_compiling()
    return (_warp_pair if needed else _run)(maps, flow, top, left)


def _run(maps: Tensor, flow: Tensor, top: int, left: int) -> Tensor:
    frames, batch, channels, height, width = maps.shape
    rows, columns = flow.shape[-2:]
    out = _empty_like_maps(maps, flow)
    grid, cut = _cut(channels, rows * columns, frames * batch)
    with torch.cuda.device_of(maps):
        sample[grid](
            maps, flow, out, batch, channels, height, width, rows, columns, top, left,
            *maps.stride(), *flow.stride(), *out.stride(), **cut, num_warps=4,
        )  # fmt: skip
    return out


_warp_pair = torch.library.custom_op("vfimamba::warp_pair", mutates_args=())(_run)


@_warp_pair.register_fake
def _(maps: Tensor, flow: Tensor, top: int, left: int) -> Tensor:
    return _empty_like_maps(maps, flow)


@torch.library.custom_op("vfimamba::warp_pair_backward", mutates_args=())
def _warp_pair_backward(
    grad: Tensor, maps: Tensor, flow: Tensor, top: int, left: int, to_maps: bool
) -> tuple[Tensor, Tensor]:
    """Gradients of maps (empty unless `to_maps`) and flow, fp32.

    Places shared by several pixels are summed by atomics: the order, and so the last digits, may
    differ from run to run.
    """
    frames, batch, channels, height, width = maps.shape
    rows, columns = flow.shape[-2:]
    grad_maps, grad_flow = _gradients_of(maps, flow, to_maps=to_maps)
    strides = grad_maps.zero_().stride() if to_maps else (0,) * 5
    grid, cut = _cut(channels, rows * columns, frames * batch)
    with torch.cuda.device_of(maps):
        sample_gradients[grid](
            grad, maps, flow, grad_maps, grad_flow,
            batch, channels, height, width, rows, columns, top, left,
            *maps.stride(), *flow.stride(), *grad.stride(), *strides,
            **cut, TO_MAPS=to_maps, num_warps=4,
        )  # fmt: skip
    return grad_maps, grad_flow


def _gradients_of(maps: Tensor, flow: Tensor, *, to_maps: bool) -> tuple[Tensor, Tensor]:
    """Room for both, in fp32."""
    exact = torch.float32
    grad_flow = torch.empty(flow.shape, dtype=exact, device=flow.device)
    if not to_maps:
        return torch.empty(0, dtype=exact, device=maps.device), grad_flow
    frames, batch, *plane = maps.shape
    last = maps.stride(2) == 1
    layout = torch.channels_last if last else torch.contiguous_format
    grad_maps = torch.empty(
        (frames * batch, *plane), dtype=exact, device=maps.device, memory_format=layout
    )
    return grad_maps.unflatten(0, (frames, batch)), grad_flow


@_warp_pair_backward.register_fake
def _(
    grad: Tensor, maps: Tensor, flow: Tensor, top: int, left: int, to_maps: bool
) -> tuple[Tensor, Tensor]:
    return _gradients_of(maps, flow, to_maps=to_maps)


def _keep(ctx: Any, inputs: tuple[Any, ...], output: Tensor) -> None:
    maps, flow, *ctx.corner = inputs
    ctx.save_for_backward(maps, flow)


def _backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
    maps, flow = ctx.saved_tensors
    wanted, *_ = ctx.needs_input_grad
    grad_maps, grad_flow = _warp_pair_backward(grad, maps, flow, *ctx.corner, wanted)
    return grad_maps.to(maps.dtype) if wanted else None, grad_flow.to(flow.dtype), None, None


_warp_pair.register_autograd(_backward, setup_context=_keep)
