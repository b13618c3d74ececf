"""The scan over both frames in four orders, as index maps around the plain recurrence.

The truth that the fused kernels are held to, in their layout: channels last, one projection for
all orders. F = 2 frames, B batch, D channels, N states, R rank, L = 2 H W tokens, K = 4 orders.
"""

import torch
from torch import Tensor

from vfimamba_cli.ops.scan import Backend, choose_backend, selective_scan


def read_positions(height: int, width: int, device: torch.device) -> Tensor:
    """Which grid token, (f H + h) W + w, each order reads at each of its positions: (K, L)."""
    position = torch.arange(2 * height * width, device=device)
    frame, q = position % 2, position // 2
    rows = frame * height * width + q
    columns = frame * height * width + (q % height) * width + q // height
    return torch.stack((rows, columns, rows.flip(0), columns.flip(0)))


def write_positions(height: int, width: int, device: torch.device, *, exact: bool) -> Tensor:
    """Which grid token each order's output is added to: (K, L).

    Not exact, column position (s W + w) H + h goes to row position (s H + h) W + w, as if the
    sequence held one frame after the other; see `cross_merge`.
    """
    read = read_positions(height, width, device)
    if exact:
        return read
    position = torch.arange(2 * height * width, device=device)
    half, w, h = position // (height * width), position // height % width, position % height
    columns = read[0][(half * height + h) * width + w]
    return torch.stack((read[0], columns, read[2], columns.flip(0)))


def cross_selective_scan(
    u: Tensor,
    x_dbl: Tensor,
    A: Tensor,
    D: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    *,
    exact_columns: bool,
    backend: Backend | None = None,
) -> Tensor:
    """`vfimamba_cli.ops.scan.triton.cross_selective_scan` in plain PyTorch, in fp32.

    Args:
        u: (F, B, H, W, D).
        x_dbl: (F, B, H, W, K (R + 2 N)): per order, what dt is made of, then B, then C.
        A: (K, D, N), negative.
        D, dt_bias: (K, D).
        dt_weight: (K, D, R).
        exact_columns: the column merge, see `cross_merge`.
        backend: of the recurrence; None for one that runs anywhere.

    Returns:
        (F, B, H, W, D), fp32.
    """
    frames, batch, height, width, channels = u.shape
    orders, _, states = A.shape
    backend = backend or choose_backend("chunked", u.device, training=True)
    read = read_positions(height, width, u.device)
    tokens = u.float().movedim(1, 0).reshape(batch, -1, channels)  # (B, L, D), on the grid
    features = x_dbl.float().movedim(1, 0).reshape(batch, tokens.shape[1], orders, -1)
    by_order = [features[:, at, k] for k, at in enumerate(read)]
    projected = torch.stack(by_order, dim=1).transpose(-1, -2)  # (B, K, R + 2N, L)
    low, B, C = projected.split((dt_weight.shape[-1], states, states), dim=2)
    dt = torch.einsum("bkrl,kdr->bkdl", low, dt_weight.float())
    u_by_order = tokens[:, read].transpose(-1, -2)  # (B, K, D, L)
    y = selective_scan(u_by_order, dt, A, B, C, D, dt_bias, backend=backend)
    to = write_positions(height, width, u.device, exact=exact_columns).flatten()
    grid = torch.zeros_like(tokens).index_add(1, to, y.transpose(-1, -2).flatten(1, 2))
    return grid.view(batch, frames, height, width, channels).movedim(0, 1)
