# ruff: noqa: PLR0913 - a kernel's arguments
# mypy: allow-untyped-defs, allow-incomplete-defs, allow-untyped-decorators
"""Kernels on tokens, (T, C): norms and the sums before them, gates.

Residual sums and norms go together, so that a stream of tokens is read and written once between
two matrix products. N images, H x W tokens each, T = N H W, C channels.
"""

from functools import cache

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor

from vfimamba_cli.ops.triton_trial import triton_failure

EPSILON = 1e-5
CHUNKS = 64
"""Parts of a map whose sums of channels are taken side by side."""


@triton.jit
def _normalize(x, weight, bias, c, channels, EPSILON: tl.constexpr):
    """Layer norm of (TOKENS, C_p) fp32 rows, zero beyond C."""
    mean = tl.sum(x, 1) / channels
    centered = tl.where(c < channels, x - mean[:, None], 0.0)
    scale = tl.rsqrt(tl.sum(centered * centered, 1) / channels + EPSILON)
    w = tl.load(weight + c, mask=c < channels, other=0.0)
    return centered * scale[:, None] * w + tl.load(bias + c, mask=c < channels, other=0.0)


@triton.jit
def _sum_norm(
    x, scale, add, gate, add_bias, weight, bias, out, normed,
    tokens, channels, tokens_per_image,
    SUM: tl.constexpr, GATED: tl.constexpr, NORM: tl.constexpr,
    TOKENS: tl.constexpr, WIDTH: tl.constexpr, EPSILON: tl.constexpr,
):  # fmt: skip
    """See `sum_norm`."""
    t = (tl.program_id(0) * TOKENS + tl.arange(0, TOKENS))[:, None]
    c = tl.arange(0, WIDTH)[None, :]
    mask = (t < tokens) & (c < channels)
    at = t.to(tl.int64) * channels + c
    value = tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    if SUM:
        more = tl.load(add + at, mask=mask, other=0.0).to(tl.float32)
        if GATED:
            image = t // tokens_per_image
            more += tl.load(add_bias + c, mask=c < channels, other=0.0)
            more *= tl.load(gate + image * channels + c, mask=mask, other=0.0)
        value = value * tl.load(scale + c, mask=c < channels, other=0.0) + more
        tl.store(out + at, value.to(out.dtype.element_ty), mask=mask)
    if NORM:
        result = _normalize(value, weight, bias, c, channels, EPSILON)
        tl.store(normed + at, result.to(normed.dtype.element_ty), mask=mask)


def sum_norm(
    x: Tensor,
    scale: Tensor | None = None,
    add: Tensor | None = None,
    *,
    gate: tuple[Tensor, Tensor] | None = None,
    norm: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """x scale + (add + bias) gate, and its layer norm.

    Args:
        x, add: (N, H, W, C), contiguous; the first result is `x` itself without `add`.
        scale: (C,) fp32.
        gate: gate (N, C) and bias (C,) fp32; 1 and 0 if none.
        norm: weight and bias of the norm, (C,) fp32 each; the second result is the first if none.

    Returns:
        Both (N, H, W, C), in the dtype of `x`.
    """
    channels = x.shape[-1]
    tokens = x.numel() // channels
    width = triton.next_power_of_2(channels)
    block = max(4096 // width, 1)
    out = x if add is None else torch.empty_like(x)
    normed = out if norm is None else torch.empty_like(x)
    _sum_norm[(triton.cdiv(tokens, block),)](
        x, x if scale is None else scale, x if add is None else add,
        *((x, x) if gate is None else gate),
        *((x, x) if norm is None else norm), out, normed, tokens, channels, tokens // x.shape[0],
        SUM=add is not None, GATED=gate is not None, NORM=norm is not None,
        TOKENS=block, WIDTH=width, EPSILON=EPSILON, num_warps=4,
    )  # fmt: skip
    return out, normed


@triton.jit
def _norm_gate(
    y, gate, weight, bias, out, tokens, channels, gate_pitch,
    TOKENS: tl.constexpr, WIDTH: tl.constexpr, EPSILON: tl.constexpr,
):  # fmt: skip
    """See `norm_gate`."""
    t = (tl.program_id(0) * TOKENS + tl.arange(0, TOKENS))[:, None]
    c = tl.arange(0, WIDTH)[None, :]
    mask = (t < tokens) & (c < channels)
    at = t.to(tl.int64) * channels + c
    value = tl.load(y + at, mask=mask, other=0.0).to(tl.float32)
    g = tl.load(gate + t.to(tl.int64) * gate_pitch + c, mask=mask, other=0.0).to(tl.float32)
    value = _normalize(value, weight, bias, c, channels, EPSILON) * g * tl.sigmoid(g)
    tl.store(out + at, value.to(out.dtype.element_ty), mask=mask)


def norm_gate(y: Tensor, gate: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """norm(y) silu(gate), in the dtype of `gate`.

    Args:
        y: (T, D), contiguous.
        gate: (T, D), rows of a wider tensor.
        weight, bias: of the norm, (D,) fp32.
    """
    tokens, channels = y.shape
    out = torch.empty(y.shape, device=y.device, dtype=gate.dtype)
    width = triton.next_power_of_2(channels)
    block = max(4096 // width, 1)
    _norm_gate[(triton.cdiv(tokens, block),)](
        y, gate, weight, bias, out, tokens, channels, gate.stride(0),
        TOKENS=block, WIDTH=width, EPSILON=EPSILON, num_warps=4,
    )  # fmt: skip
    return out


@cache
def failure(device: torch.device) -> str | None:
    """Why Triton's kernels cannot run on `device`, found by running one; None if they can."""
    return triton_failure(lambda: _bias_alone(device))


def _bias_alone(device: torch.device) -> bool:
    """Whether the bias alone is gated where tokens are zero."""
    y, ones = torch.zeros(1, 16, device=device), torch.ones(1, 16, device=device)
    with torch.cuda.device_of(y):
        made = norm_gate(y, ones, ones[0], ones[0])
    return torch.allclose(made.cpu(), F.silu(torch.ones(1, 16)), rtol=1e-3)


@triton.jit
def _channel_sums(x, sums, tokens, channels, chunk, BLOCK: tl.constexpr, WIDTH: tl.constexpr):
    """Sums over each chunk of an image's tokens, (N, CHUNKS, C)."""
    image, part = tl.program_id(0).to(tl.int64), tl.program_id(1)
    c = tl.arange(0, WIDTH)[None, :]
    total = tl.zeros((BLOCK, WIDTH), dtype=tl.float32)
    for start in range(0, chunk, BLOCK):
        offset = start + tl.arange(0, BLOCK)
        t = (part * chunk + offset)[:, None]
        mask = (offset[:, None] < chunk) & (t < tokens) & (c < channels)
        at = (image * tokens + t) * channels + c
        total += tl.load(x + at, mask=mask, other=0.0).to(tl.float32)
    to = (image * tl.num_programs(1) + part) * channels + tl.arange(0, WIDTH)
    tl.store(sums + to, tl.sum(total, 0), mask=tl.arange(0, WIDTH) < channels)


@triton.jit
def _channel_gate(
    sums, bias, weight_1, bias_1, weight_2, bias_2, gate,
    tokens, channels, hidden, CHUNKS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    """The gate of one image from its chunks' sums."""
    image = tl.program_id(0)
    c = tl.arange(0, WIDTH)
    inside = c < channels
    total = tl.zeros((WIDTH,), dtype=tl.float32)
    for part in range(CHUNKS):
        total += tl.load(sums + (image * CHUNKS + part) * channels + c, mask=inside, other=0.0)
    mean = total / tokens + tl.load(bias + c, mask=inside, other=0.0)
    logit = tl.load(bias_2 + c, mask=inside, other=0.0)
    for h in range(hidden):
        w = tl.load(weight_1 + h * channels + c, mask=inside, other=0.0)
        active = tl.maximum(tl.sum(w * mean, 0) + tl.load(bias_1 + h), 0.0)
        logit += active * tl.load(weight_2 + h * channels + c, mask=inside, other=0.0)
    tl.store(gate + image * channels + c, tl.sigmoid(logit), mask=inside)


def channel_gate(
    x: Tensor, bias: Tensor, weight_1: Tensor, bias_1: Tensor, weight_2: Tensor, bias_2: Tensor
) -> Tensor:
    """Channel attention's gate for x + bias.

    Args:
        x: (N, H, W, C), contiguous, before its bias.
        bias: (C,) fp32.
        weight_1, bias_1: (E, C) and (E,) fp32, down to E hidden channels.
        weight_2, bias_2: (E, C), transposed, and (C,) fp32, up again.

    Returns:
        (N, C) fp32.
    """
    images, channels = x.shape[0], x.shape[-1]
    tokens = x.numel() // (images * channels)
    width = triton.next_power_of_2(channels)
    sums = torch.empty(images, CHUNKS, channels, device=x.device)
    _channel_sums[(images, CHUNKS)](
        x, sums, tokens, channels, triton.cdiv(tokens, CHUNKS),
        BLOCK=max(4096 // width, 1), WIDTH=width, num_warps=8,
    )  # fmt: skip
    gate = torch.empty(images, channels, device=x.device)
    _channel_gate[(images,)](
        sums, bias, weight_1, bias_1, weight_2, bias_2, gate,
        tokens, channels, weight_1.shape[0], CHUNKS=CHUNKS, WIDTH=width, num_warps=4,
    )  # fmt: skip
    return gate
