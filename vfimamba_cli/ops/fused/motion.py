# ruff: noqa: PLR0913 - a kernel's arguments
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""What heads, blocks and the U-Net see of pictures and motion, and adding what they say.

F = 2 frames, B batch, H x W pixels. Flow is (B, 4, H, W) fp32 with channels last in memory, mask
(B, 1, H, W) fp32; both may be views of a part of a larger one. Coordinates are fp32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from vfimamba_cli.ops.fused.warping import BLOCK, sample

SLOTS = 24
"""Channels that `planes` writes: 20, and 4 zeros so that convolutions take 16 bytes at a time."""

WIDE_SLOTS = 32
"""The same with 12 zeros, where other channels follow: memory is written 32 bytes at a time, and
what two kernels write to the same 32 bytes is slow."""


@triton.jit
def _pair(x, y):
    """Two (BLOCK, C) as (BLOCK, 2 C), channels taking turns."""
    return tl.reshape(tl.join(x, y), (x.shape[0], 2 * x.shape[1]))


@triton.jit
def _planes(
    frames, flow, mask, time, out,
    height, width, rows, columns, top, left,
    frame_pitch, sample_pitch, plane_pitch, row_pitch,
    flow_sample, flow_row, mask_sample, mask_row,
    OUT_PITCH: tl.constexpr, SLOTS: tl.constexpr, SHRINK: tl.constexpr, MOTION: tl.constexpr,
    BLOCK: tl.constexpr,
):  # fmt: skip
    """See `planes`. Bilinear shrinking by 2 and 4 is the mean of the 2 x 2 pixels in the middle."""
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    b = tl.program_id(1).to(tl.int64)
    within = pixel < rows * columns
    row, column = pixel // columns, pixel % columns
    c = tl.arange(0, 4)[None, :]
    inside = within[:, None] & (c < 3)
    plane = c * plane_pitch
    first = frames + b * sample_pitch
    second = first + frame_pitch
    TAPS: tl.constexpr = 1 if SHRINK == 1 else 2
    OFFSET: tl.constexpr = 0 if SHRINK < 4 else 1
    source_0 = tl.zeros((BLOCK, 4), dtype=tl.float32)
    source_1 = tl.zeros((BLOCK, 4), dtype=tl.float32)
    warped_0 = tl.zeros((BLOCK, 4), dtype=tl.float32)
    warped_1 = tl.zeros((BLOCK, 4), dtype=tl.float32)
    moved = tl.zeros((BLOCK, 4), dtype=tl.float32)
    share = tl.zeros((BLOCK,), dtype=tl.float32)
    for i in tl.static_range(TAPS):
        for j in tl.static_range(TAPS):
            y, x = row * SHRINK + OFFSET + i, column * SHRINK + OFFSET + j
            at = ((top + y) * row_pitch + left + x)[:, None] + plane
            source_0 += tl.load(first + at, mask=inside, other=0.0)
            source_1 += tl.load(second + at, mask=inside, other=0.0)
            if MOTION:
                f = flow + b * flow_sample + y * flow_row + 4 * x
                moved += tl.load(f[:, None] + c, mask=within[:, None], other=0.0)
                share += tl.load(mask + b * mask_sample + y * mask_row + x, mask=within, other=0.0)
                px, py = (left + x).to(tl.float32), (top + y).to(tl.float32)
                warped_0 += sample(
                    first,
                    px + tl.load(f, mask=within, other=0.0),
                    py + tl.load(f + 1, mask=within, other=0.0),
                    height, width, row_pitch, 1, plane, inside,
                )  # fmt: skip
                warped_1 += sample(
                    second,
                    px + tl.load(f + 2, mask=within, other=0.0),
                    py + tl.load(f + 3, mask=within, other=0.0),
                    height, width, row_pitch, 1, plane, inside,
                )  # fmt: skip
    mean: tl.constexpr = 1.0 / (TAPS * TAPS)
    source_0 = tl.where(c == 3, tl.load(time + b), source_0 * mean)
    source_1 *= mean
    to = out + (b * rows * columns + pixel)[:, None] * OUT_PITCH
    half = out.dtype.element_ty
    eight = tl.arange(0, 8)[None, :]
    if MOTION:
        warped_0 = tl.where(c == 3, (share * mean)[:, None], warped_0 * mean)
        warped_1 *= mean
        pictures = _pair(_pair(source_0, source_1), _pair(warped_0, warped_1))
        tl.store(to + tl.arange(0, 16)[None, :], pictures.to(half), mask=within[:, None])
        moved = _pair(moved * (mean / SHRINK), tl.zeros((BLOCK, 4), dtype=tl.float32))
        tl.store(to + 16 + eight, moved.to(half), mask=within[:, None])
        if SLOTS == 32:
            nothing = tl.zeros((BLOCK, 8), dtype=half)
            tl.store(to + 24 + eight, nothing, mask=within[:, None])
    else:
        tl.store(to + eight, _pair(source_0, source_1).to(half), mask=within[:, None])


def planes(
    frames: Tensor,
    flow: Tensor | None,
    mask: Tensor | None,
    time: Tensor,
    out: Tensor,
    *,
    shrink: int = 1,
    top: int = 0,
    left: int = 0,
) -> None:
    """What a head, a block or the U-Net sees of pictures and motion, shrunk, side by side.

    Args:
        frames: (F, B, 3, H, W) fp32, rows contiguous.
        flow, mask: motion at the frames' size, or that of the part at `top`, `left`; or none.
        time: (B,) fp32.
        out: (B, H / shrink, W / shrink, 8 without motion, else `SLOTS` or `WIDE_SLOTS`), half
            precision; the last axis may be a slice of a wider one. Channels as `channel_of` says.
        shrink: 1, 2 or 4.
        top, left: where the motion's part begins.
    """
    b, rows, columns, _ = out.shape
    height, width = frames.shape[-2:]
    motion = flow is not None and mask is not None
    pitches = (0, 0, 0, 0)
    if flow is not None and mask is not None:
        pitches = (flow.stride(0), flow.stride(2), mask.stride(0), mask.stride(2))
    _planes[(triton.cdiv(rows * columns, BLOCK), b)](
        frames, flow if motion else time, mask if motion else time, time, out,
        height, width, rows, columns, top, left,
        *frames.stride()[:4], *pitches,
        OUT_PITCH=out.stride(2), SLOTS=out.shape[-1], SHRINK=shrink, MOTION=motion,
        BLOCK=BLOCK, num_warps=4,
    )  # fmt: skip


def channel_of(name: str, index: int) -> int:
    """Where `planes` writes a channel: of `first`, `second`, `warped_first`, `warped_second`,
    `time`, `mask` or `flow`. Pairs of pictures take turns, and so do pairs of pairs."""
    if name == "flow":
        return 16 + 2 * index
    if name in ("time", "mask"):
        return 12 if name == "time" else 13
    pair = name.startswith("warped")
    return 2 * (2 * index + name.endswith("second")) + pair


def channel_of_frames(name: str, index: int) -> int:
    """The same without motion: of `first`, `second` or `time`."""
    return 6 if name == "time" else 2 * index + (name == "second")


@triton.jit
def _add_change(
    change, flow, mask, new_flow, new_mask,
    rows, columns, small_rows, small_columns,
    PITCH: tl.constexpr, SCALE: tl.constexpr, FIRST: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """See `add_change`."""
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    b = tl.program_id(1).to(tl.int64)
    within = pixel < rows * columns
    y = tl.maximum(((pixel // columns).to(tl.float32) + 0.5) / SCALE - 0.5, 0.0)
    x = tl.maximum(((pixel % columns).to(tl.float32) + 0.5) / SCALE - 0.5, 0.0)
    c = tl.arange(0, 4)[None, :]
    small = change + b * small_rows * small_columns * PITCH
    inside = within[:, None] & (c < 4)
    row_pitch = small_columns * PITCH
    step = sample(small, x, y, small_rows, small_columns, row_pitch, PITCH, c, inside) * SCALE
    more = sample(
        small + 4, x, y, small_rows, small_columns, row_pitch, PITCH,
        tl.zeros((1, 1), dtype=tl.int32), within[:, None],
    )  # fmt: skip
    at = b * rows * columns + pixel
    share = tl.reshape(more, (BLOCK,))
    if not FIRST:
        step += tl.load(flow + 4 * at[:, None] + c, mask=inside, other=0.0)
        share += tl.load(mask + at, mask=within, other=0.0)
    tl.store(new_flow + 4 * at[:, None] + c, step, mask=inside)
    tl.store(new_mask + at, share, mask=within)


def add_change(
    change: Tensor, flow: Tensor | None, mask: Tensor | None, *, scale: int
) -> tuple[Tensor, Tensor]:
    """Motion after a head or block: what there was, plus the change at `scale` times its size.

    Args:
        change: (B, H / scale, W / scale, 5 or more): flow in its own pixels, mask.
        flow, mask: (B, 4, H, W) and (B, 1, H, W) so far, whole, or none.
        scale: 2 or 4.

    Returns:
        flow, mask: new.
    """
    b, small_rows, small_columns, _ = change.shape
    rows, columns = small_rows * scale, small_columns * scale
    new_flow = torch.empty(b, rows, columns, 4, device=change.device).permute(0, 3, 1, 2)
    new_mask = torch.empty(b, 1, rows, columns, device=change.device)
    _add_change[(triton.cdiv(rows * columns, BLOCK), b)](
        change, new_flow if flow is None else flow, new_mask if mask is None else mask,
        new_flow, new_mask, rows, columns, small_rows, small_columns,
        PITCH=change.stride(2), SCALE=scale, FIRST=flow is None, BLOCK=BLOCK, num_warps=4,
    )  # fmt: skip
    return new_flow, new_mask


@triton.jit
def _halve_flow(flow, out, rows, columns, sample_pitch, row_pitch, BLOCK: tl.constexpr):
    """See `halve_flow`."""
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    b = tl.program_id(1).to(tl.int64)
    c = tl.arange(0, 4)[None, :]
    within = (pixel < rows * columns)[:, None]
    at = flow + b * sample_pitch + 2 * (pixel // columns) * row_pitch + 8 * (pixel % columns)
    total = tl.load(at[:, None] + c, mask=within, other=0.0)
    total += tl.load(at[:, None] + 4 + c, mask=within, other=0.0)
    total += tl.load((at + row_pitch)[:, None] + c, mask=within, other=0.0)
    total += tl.load((at + row_pitch)[:, None] + 4 + c, mask=within, other=0.0)
    tl.store(out + 4 * (b * rows * columns + pixel)[:, None] + c, total * 0.125, mask=within)


def halve_flow(flow: Tensor) -> Tensor:
    """Flow at half the size, in its own pixels: (B, 4, H, W) -> (B, 4, H / 2, W / 2)."""
    b, _, rows, columns = flow.shape
    out = torch.empty(b, rows // 2, columns // 2, 4, device=flow.device).permute(0, 3, 1, 2)
    _halve_flow[(triton.cdiv(rows * columns // 4, BLOCK), b)](
        flow, out, rows // 2, columns // 2, flow.stride(0), flow.stride(2), BLOCK=BLOCK, num_warps=4
    )
    return out
