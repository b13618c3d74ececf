"""The whole four-order scan of two frames as a compiled loop, for inference on the CPU.

`cpu`'s loop over index maps: tokens are read off the feature maps in each order, steps are made
where they are used, and outputs are added where they belong, so that nothing is copied into
sequences or back. A thread owns a block of channels of two orders.

F = 2 frames, B batch, D channels, N states, R rank, P = H W pixels, L = 2 P tokens, K = 4 orders.
"""

from concurrent.futures import ThreadPoolExecutor
from itertools import product
from math import e, log2

import numpy as np
import torch
from torch import Tensor

from vfimamba_cli.ops.scan.cpu import (
    CHANNELS,
    STATES,
    TOKENS,
    Array,
    compiled,
    filled,
    softplus,
    walk_tile,
)

ORDERS = 4


@compiled
def _place(token: int, order: int, height: int, width: int) -> tuple[int, int]:
    """Frame and pixel of a token of an order that walks rows (even) or columns (odd)."""
    q = token // 2
    return token % 2, (q % height) * width + q // height if order % 2 else q


@compiled
def _scrambled(token: int, height: int, width: int) -> tuple[int, int]:
    """Frame and pixel where the published network puts a token of a column order back."""
    column, h = token // height, token % height
    frame, w = column // width, column % width
    j = (frame * height + h) * width + w
    return j % 2, j // 2


@compiled
def _scan_order(
    u: Array, x: Array, A2: Array, W: Array, D: Array, dt_bias: Array, y: Array,
    order: int, height: int, width: int, exact: bool, first: bool,
) -> None:  # fmt: skip
    """Scan one block of channels in one order.

    Args:
        u: (F, P, channels), at most `CHANNELS`.
        x: (F, P, R + 2 N) of the order: low, B, C.
        A2: A log2(e), (N', CHANNELS), zero beyond `channels`; N' is N up to a multiple of `STATES`.
        W: dt_weight, (R, CHANNELS).
        D, dt_bias: (CHANNELS,).
        y: (F, P, channels), added to, or written where `first`.
        order: 0 and 1 walk rows and columns, 2 and 3 the same backwards.
        height, width: of the map.
        exact: which column merge.
        first: whether `y` is to be written.
    """
    channels, length = u.shape[2], 2 * u.shape[1]
    rank = len(W)
    states = (x.shape[2] - rank) // 2
    h = np.zeros((len(A2), CHANNELS), np.float32)
    step = np.zeros((TOKENS, CHANNELS), np.float32)
    drive = np.zeros((TOKENS, CHANNELS), np.float32)
    out = np.zeros((TOKENS, CHANNELS), np.float32)
    B, C = np.zeros((len(A2), TOKENS), np.float32), np.zeros((len(A2), TOKENS), np.float32)
    for start in range(0, length, TOKENS):
        tokens = min(TOKENS, length - start)
        for t in range(tokens):
            token = start + t if order < 2 else length - 1 - start - t
            f, p = _place(token, order, height, width)
            for d in range(CHANNELS):
                step[t, d] = dt_bias[d]
            for r in range(rank):
                low = x[f, p, r]
                for d in range(CHANNELS):
                    step[t, d] += low * W[r, d]
            for d in range(channels):
                drive[t, d] = u[f, p, d]
            for d in range(CHANNELS):
                step[t, d] = softplus(step[t, d])
            for d in range(CHANNELS):
                out[t, d] = D[d] * drive[t, d]
            for d in range(CHANNELS):
                drive[t, d] *= step[t, d]
            for n in range(states):
                B[n, t], C[n, t] = x[f, p, rank + n], x[f, p, rank + states + n]
        walk_tile(A2, B[:, :tokens], C[:, :tokens], 0, step, drive, h, out)
        for t in range(tokens):
            token = start + t if order < 2 else length - 1 - start - t
            if exact or order % 2 == 0:
                f, p = _place(token, order, height, width)
            else:
                f, p = _scrambled(token, height, width)
            if first:
                for d in range(channels):
                    y[f, p, d] = out[t, d]
            else:
                for d in range(channels):
                    y[f, p, d] += out[t, d]


def cross_selective_scan(
    u: Tensor,
    x_dbl: Tensor,
    A: Tensor,
    D: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    *,
    exact_columns: bool,
    dtype: torch.dtype = torch.float32,
) -> Tensor:
    """`triton.cross_selective_scan`, computed in fp32, on `torch.get_num_threads()` threads.

    Raises:
        ValueError: a gradient is wanted; `chunked` has one.
    """
    inputs = (u, x_dbl, A, D, dt_weight, dt_bias)
    if torch.is_grad_enabled() and any(x.requires_grad for x in inputs):
        raise ValueError("the scan backend 'cpu' has no gradients: use 'chunked', or no_grad()")
    u, x_dbl, A, D, dt_weight, dt_bias = (x.detach().float() for x in inputs)
    frames, batch, height, width, channels = u.shape
    A2 = filled(filled((A * log2(e)).transpose(1, 2), -1, CHANNELS), -2, STATES)
    W = filled(dt_weight.transpose(1, 2), -1, CHANNELS)
    D, dt_bias = filled(D, -1, CHANNELS), filled(dt_bias, -1, CHANNELS)
    flat = (frames, batch, height * width)
    y = u.new_empty(2, *flat, channels)  # rows, columns: their threads may run at a time
    grid, features = u.reshape(*flat, channels).numpy(), x_dbl.reshape(*flat, ORDERS, -1).numpy()
    weights = [x.contiguous().numpy() for x in (A2, W, D, dt_bias)]

    def scan_block(b: int, columns: int, start: int) -> None:
        full = slice(start, start + CHANNELS)
        part = slice(start, min(start + CHANNELS, channels))
        for order in (columns, columns + 2):
            _scan_order(
                *(grid[:, b, :, part], features[:, b, :, order]),
                *(np.ascontiguousarray(x[order, ..., full]) for x in weights),
                *(y.numpy()[columns, :, b, :, part], order, height, width),
                *(exact_columns, order == columns),
            )

    with ThreadPoolExecutor(torch.get_num_threads()) as pool:
        blocks = product(range(batch), range(2), range(0, channels, CHANNELS))
        for _ in pool.map(lambda block: scan_block(*block), blocks):
            pass  # raises what a thread raised
    return (y[0] + y[1]).view(u.shape).to(dtype)
