"""The scan as a compiled loop, for inference on the CPU.

Threads take blocks of channels and walk them along the tokens. A tile of tokens is transposed
into a buffer, so that the innermost loop runs over neighboring channels, which the compiler turns
into vector instructions; a block's states and tiles stay in the first-level cache. exp and
softplus are polynomials written out here: calls into a mathematics library would keep those loops
from being vectorized.

Importing this module imports numba, so only `Backend.load` does. B batch, K scan orders,
D channels, N states, L tokens.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import product
from math import log
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

Array = npt.NDArray[np.float32]

CHANNELS = 64  # of a block; its states are 4 KiB at N = 16
TOKENS = 32  # of a tile, three of which are 24 KiB
STATES = 2  # updated together: N is filled up to a multiple of this

_LOG2E = np.float32(1 / log(2))
_ROUND = np.float32(1.5 * 2**23)  # adding it leaves round(x) in the mantissa's low bits
_LEAST = np.float32(-60)  # exponent: less is no different in fp32, and subnormals are slow


def compiled(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function` as machine code that runs without the interpreter lock, kept on disk if possible.

    No reassociation, on which rounding by `_ROUND` would founder.
    """
    options: dict[str, Any] = {
        "nogil": True,
        "error_model": "numpy",  # a division that may raise is not vectorized
        "fastmath": {"contract", "nsz", "nnan", "ninf", "arcp"},
    }
    try:
        compiled: Callable[..., Any] = numba.njit(cache=True, **options)(function)
    except RuntimeError:  # no folder the cache could be written to: every process compiles anew
        compiled = numba.njit(**options)(function)
    return compiled


@compiled
def _exp2(x: np.float32) -> np.float32:
    """2**x for x <= 0; 2**-60 below -60.

    2**round(x) goes straight into the exponent bits; the rest, f in [-1/2, 1/2], through
    1 + f q(f), which is exact at 0: an error in a decay near 1 would add up over many tokens.
    q interpolates (2**f - 1) / f at Chebyshev nodes, relative error 5e-7.
    """
    x = max(x, _LEAST)
    shifted = x + _ROUND
    f = x - (shifted - _ROUND)
    q = np.float32(0.0013381302)
    q = q * f + np.float32(0.009666368)
    q = q * f + np.float32(0.05550381)
    q = q * f + np.float32(0.2402235)
    q = q * f + np.float32(0.6931472)
    exponent = np.float32(shifted).view(np.int32) << np.int32(23)
    bits = np.int32(np.float32(q * f + np.float32(1)).view(np.int32) + exponent)
    result: np.float32 = bits.view(np.float32)
    return result


@compiled
def softplus(x: np.float32) -> np.float32:
    """log(1 + exp(x)) = max(x, 0) + 2 artanh(s), s = z / (2 + z), z = exp(-|x|).

    2 artanh(s) / s is interpolated in s**2, in [0, 1/9], at Chebyshev nodes: relative error 4e-9.
    """
    z: np.float32 = _exp2(-abs(x) * _LOG2E)
    s = z / (np.float32(2) + z)
    s2 = s * s
    p = np.float32(0.2815778)
    p = p * s2 + np.float32(0.2796516)
    p = p * s2 + np.float32(0.40024596)
    p = p * s2 + np.float32(0.66666323)
    p = p * s2 + np.float32(2)
    return max(x, np.float32(0)) + s * p


@compiled
def _scan_block(
    u: Array, dt: Array, A2: Array, B: Array, C: Array, D: Array, dt_bias: Array, y: Array
) -> None:
    """Scan one block of channels over all tokens.

    Args:
        u, dt: (channels, L), at most `CHANNELS`.
        A2: A log2(e), (N, CHANNELS), zero beyond `channels`; N a multiple of `STATES`.
        B, C: (N, L).
        D, dt_bias: (CHANNELS,).
        y: (channels, L), written.
    """
    channels, length = u.shape
    h = np.zeros((len(A2), CHANNELS), np.float32)
    step = np.zeros((TOKENS, CHANNELS), np.float32)
    drive = np.zeros((TOKENS, CHANNELS), np.float32)
    out = np.zeros((TOKENS, CHANNELS), np.float32)
    for start in range(0, length, TOKENS):
        tokens = min(TOKENS, length - start)
        for d in range(channels):
            for t in range(tokens):
                step[t, d] = dt[d, start + t]
                drive[t, d] = u[d, start + t]
        for t in range(tokens):
            for d in range(CHANNELS):
                step[t, d] = softplus(step[t, d] + dt_bias[d])
            for d in range(CHANNELS):
                out[t, d] = D[d] * drive[t, d]
            for d in range(CHANNELS):
                drive[t, d] *= step[t, d]
        walk_tile(A2, B, C, start, step, drive, h, out)
        for d in range(channels):
            for t in range(tokens):
                y[d, start + t] = out[t, d]


@compiled
def walk_tile(
    A2: Array, B: Array, C: Array, start: int, step: Array, drive: Array, h: Array, out: Array
) -> None:
    """Carry the states `h` over the tile that starts at token `start`; add their part to `out`."""
    tokens = min(TOKENS, B.shape[1] - start)
    for n in range(0, len(A2), STATES):
        for t in range(tokens):
            b0, b1 = B[n, start + t], B[n + 1, start + t]
            c0, c1 = C[n, start + t], C[n + 1, start + t]
            for d in range(CHANNELS):
                dt, x = step[t, d], drive[t, d]
                h0 = _exp2(dt * A2[n, d]) * h[n, d] + x * b0
                h1 = _exp2(dt * A2[n + 1, d]) * h[n + 1, d] + x * b1
                h[n, d] = h0
                h[n + 1, d] = h1
                out[t, d] = out[t, d] + h0 * c0 + h1 * c1


def selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, dt_bias: Tensor
) -> Tensor:
    """`vfimamba_cli.ops.scan.selective_scan`, on `torch.get_num_threads()` threads.

    Raises:
        ValueError: a gradient is wanted; `chunked` has one.
    """
    inputs = (u, dt, A, B, C, D, dt_bias)
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        raise ValueError("the scan backend 'cpu' has no gradients: use 'chunked', or no_grad()")
    u, dt, A, B, C, D, dt_bias = (x.detach().float() for x in inputs)
    batch, orders, channels, length = u.shape
    A2 = filled((A * float(_LOG2E)).transpose(1, 2), -1, CHANNELS)
    A2, B, C = (filled(x, -2, STATES) for x in (A2, B, C))
    D, dt_bias = filled(D, -1, CHANNELS), filled(dt_bias, -1, CHANNELS)
    y = u.new_empty(batch, orders, channels, length)
    arrays = [x.contiguous().numpy() for x in (u, dt, A2, B, C, D, dt_bias)]

    def scan_block(b: int, k: int, first: int) -> None:
        u, dt, A2, B, C, D, dt_bias = arrays
        full, part = slice(first, first + CHANNELS), slice(first, min(first + CHANNELS, channels))
        _scan_block(
            *(u[b, k, part], dt[b, k, part], np.ascontiguousarray(A2[k, :, full])),
            *(B[b, k], C[b, k], D[k, full], dt_bias[k, full], y.numpy()[b, k, part]),
        )

    # Threads of our own, not numba's: its default pool ends the process when two threads call it.
    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        blocks = product(range(batch), range(orders), range(0, channels, CHANNELS))
        for _ in pool.map(lambda block: scan_block(*block), blocks):
            pass  # raises what a thread raised
    return y


def filled(x: Tensor, dim: int, multiple: int) -> Tensor:
    """`x` with zeros after the end of `dim` up to a multiple."""
    missing = -x.shape[dim] % multiple
    return F.pad(x, (0, 0) * (-dim - 1) + (0, missing)) if missing else x
