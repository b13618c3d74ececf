# ruff: noqa: PLR0913 - a kernel's arguments
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""Warping features, and blending the picture from warped frames.

F = 2 frames, B batch, H x W pixels. Flow is (B, 4, H, W) fp32 with channels last in memory, mask
(B, 1, H, W) fp32; both may be views of a part of a larger one. Coordinates are fp32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 64


@triton.jit
def corners(x, y, height, width):
    """Rows, columns and weights of the four pixels around fp32 positions, held to the border."""
    x = tl.minimum(tl.maximum(x, 0.0), (width - 1).to(tl.float32))
    y = tl.minimum(tl.maximum(y, 0.0), (height - 1).to(tl.float32))
    left, up = tl.floor(x), tl.floor(y)
    dx, dy = x - left, y - up
    x_0, y_0 = left.to(tl.int32), up.to(tl.int32)
    x_1, y_1 = tl.minimum(x_0 + 1, width - 1), tl.minimum(y_0 + 1, height - 1)
    return x_0, x_1, y_0, y_1, dx, dy


@triton.jit
def sample(image, x, y, height, width, row_pitch, pixel_pitch, channel, inside):
    """Bilinear samples at (BLOCK,) positions: (BLOCK, channels) fp32."""
    x_0, x_1, y_0, y_1, dx, dy = corners(x, y, height, width)
    top, bottom = y_0.to(tl.int64) * row_pitch, y_1.to(tl.int64) * row_pitch
    left, right = x_0 * pixel_pitch, x_1 * pixel_pitch
    a = tl.load(image + (top + left)[:, None] + channel, mask=inside, other=0.0).to(tl.float32)
    b = tl.load(image + (top + right)[:, None] + channel, mask=inside, other=0.0).to(tl.float32)
    c = tl.load(image + (bottom + left)[:, None] + channel, mask=inside, other=0.0).to(tl.float32)
    d = tl.load(image + (bottom + right)[:, None] + channel, mask=inside, other=0.0).to(tl.float32)
    upper = a + (b - a) * dx[:, None]
    lower = c + (d - c) * dx[:, None]
    return upper + (lower - upper) * dy[:, None]


@triton.jit
def _warp(
    features, flow, out,
    batch, height, width, rows, columns, top, left, flow_sample, flow_row,
    OUT_PITCH: tl.constexpr, CHANNELS: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """See `warp_features`."""
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    frame, b = tl.program_id(1) // batch, (tl.program_id(1) % batch).to(tl.int64)
    within = pixel < rows * columns
    row, column = pixel // columns, pixel % columns
    f = flow + b * flow_sample + row * flow_row + 4 * column + 2 * frame
    x = (left + column).to(tl.float32) + tl.load(f, mask=within, other=0.0)
    y = (top + row).to(tl.float32) + tl.load(f + 1, mask=within, other=0.0)
    image = features + tl.program_id(1).to(tl.int64) * height * width * CHANNELS
    c = tl.arange(0, CHANNELS)[None, :]
    inside = within[:, None] & (c < CHANNELS)
    value = sample(image, x, y, height, width, width * CHANNELS, CHANNELS, c, inside)
    to = (b * rows * columns + pixel)[:, None] * OUT_PITCH + frame * CHANNELS + c
    tl.store(out + to, value.to(out.dtype.element_ty), mask=inside)


def warp_features(
    features: Tensor, flow: Tensor, out: Tensor, *, top: int = 0, left: int = 0
) -> None:
    """Both frames' features brought to the wanted time.

    Args:
        features: (F B, H, W, C), contiguous, C a power of two.
        flow: (B, 4, h, w), of the part that begins at `top`, `left`.
        out: (B, h, w, 2 C), frame 0's channels first; the last axis may be a slice of a wider one.
        top, left: of the part.
    """
    b, rows, columns, _ = out.shape
    _, height, width, channels = features.shape
    block = max(2048 // channels, 16)
    _warp[(triton.cdiv(rows * columns, block), 2 * b)](
        features, flow, out, b, height, width, rows, columns, top, left,
        flow.stride(0), flow.stride(2), OUT_PITCH=out.stride(2),
        CHANNELS=channels, BLOCK=block, num_warps=4,
    )  # fmt: skip


@triton.jit
def _blend(
    frames, flow, mask, residual, picture,
    height, width, rows, columns, top, left,
    frame_pitch, sample_pitch, plane_pitch, row_pitch,
    flow_sample, flow_row, mask_sample, mask_row,
    PITCH: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """See `blend`."""
    pixel = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    b = tl.program_id(1).to(tl.int64)
    within = pixel < rows * columns
    row, column = pixel // columns, pixel % columns
    c = tl.arange(0, 4)[None, :]
    inside = within[:, None] & (c < 3)
    plane = c * plane_pitch
    f = flow + b * flow_sample + row * flow_row + 4 * column
    x, y = (left + column).to(tl.float32), (top + row).to(tl.float32)
    first = sample(
        frames + b * sample_pitch,
        x + tl.load(f, mask=within, other=0.0),
        y + tl.load(f + 1, mask=within, other=0.0),
        height, width, row_pitch, 1, plane, inside,
    )  # fmt: skip
    second = sample(
        frames + b * sample_pitch + frame_pitch,
        x + tl.load(f + 2, mask=within, other=0.0),
        y + tl.load(f + 3, mask=within, other=0.0),
        height, width, row_pitch, 1, plane, inside,
    )  # fmt: skip
    logit = tl.load(mask + b * mask_sample + row * mask_row + column, mask=within, other=0.0)
    merged = second + (first - second) * tl.sigmoid(logit)[:, None]
    at = (b * rows * columns + pixel)[:, None] * PITCH
    rest = tl.load(residual + at + c, mask=inside, other=0.0).to(tl.float32)
    merged += tl.sigmoid(rest) * 2 - 1
    merged = tl.maximum(merged, tl.minimum(tl.minimum(first, second), 0.0))
    merged = tl.minimum(merged, tl.maximum(tl.maximum(first, second), 1.0))
    to = (b * 3 + c) * rows * columns + pixel[:, None]
    tl.store(picture + to, merged, mask=inside)


def blend(
    frames: Tensor, flow: Tensor, mask: Tensor, residual: Tensor, *, top: int = 0, left: int = 0
) -> Tensor:
    """The picture: both frames warped, weighed by the mask, plus the U-Net's residual.

    Args:
        frames: (F, B, 3, H, W) fp32, rows contiguous.
        flow, mask: of the part at `top`, `left`.
        residual: (B, h, w, 3 or more), before its sigmoid.
        top, left: of the part.

    Returns:
        (B, 3, h, w) fp32, no further outside [0, 1] than the frames.
    """
    b, rows, columns, _ = residual.shape
    height, width = frames.shape[-2:]
    picture = torch.empty(b, 3, rows, columns, device=frames.device)
    _blend[(triton.cdiv(rows * columns, BLOCK), b)](
        frames, flow, mask, residual, picture,
        height, width, rows, columns, top, left, *frames.stride()[:4],
        flow.stride(0), flow.stride(2), mask.stride(0), mask.stride(2), PITCH=residual.stride(2),
        BLOCK=BLOCK, num_warps=4,
    )  # fmt: skip
    return picture
