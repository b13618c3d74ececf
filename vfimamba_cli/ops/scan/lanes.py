"""SS2D between its input projection and its norm for inference, in three CUDA kernels.

README.md, "Lanes", has the design. Importing this module imports `cuda.bindings`.

F = 2 frames, B batch, D channels, N states, R rank, L = 2 H W tokens, K = 4 orders. Planes hold the
tokens of one channel one after another, `stride` of them: L rounded up.
"""

from dataclasses import dataclass
from functools import cache
from importlib import import_module
from math import ceil, gcd, log2
from math import e as euler

import torch
from torch import Tensor

from vfimamba_cli.ops.nvrtc import CudaError, Kernel, load
from vfimamba_cli.ops.scan.lanes_cuts import Cut
from vfimamba_cli.ops.scan.lanes_reference import ss2d_core_reference

ORDERS = 4
TYPES = {torch.float32: 0, torch.float16: 1, torch.bfloat16: 2}
PADDING = 16  # a plane is a multiple of as many tokens
SIDE = 16  # pixels of a block of `convolve`, either way
MERGED = (16, 32, 16)  # of a block of `merge`: rows, tokens, channels


@dataclass(frozen=True, slots=True, kw_only=True)
class Weights:
    """Parameters as the kernels read them.

    Attributes:
        conv: (9, D), fp32.
        conv_bias: (D,), fp32.
        projections: (2, 1, 2 (R + 2 N), D) in the activations' dtype: rows' orders, columns'.
        rows: (K, D, N + R + 2), fp32: A log2(e), dt_weight, dt_bias, D.
        states, rank: N, R.
    """

    conv: Tensor
    conv_bias: Tensor
    projections: Tensor
    rows: Tensor
    states: int
    rank: int


def prepare_weights(
    *,
    conv_weight: Tensor,
    conv_bias: Tensor,
    x_proj_weight: Tensor,
    A: Tensor,
    D: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    dtype: torch.dtype,
) -> Weights:
    """Pack the parameters once.

    Args:
        conv_weight: (D, 3, 3) or (D, 1, 3, 3).
        conv_bias: (D,).
        x_proj_weight: (K, R + 2 N, D).
        A: (K, D, N), negative.
        D, dt_bias: (K, D).
        dt_weight: (K, D, R).
        dtype: of activations.
    """
    parts = (A * log2(euler), dt_weight, dt_bias.unsqueeze(-1), D.unsqueeze(-1))
    forward, backward = x_proj_weight.chunk(2)  # orders 0 and 1, rows and columns; 2 and 3
    return Weights(
        conv=conv_weight.reshape(-1, 9).T.float().contiguous(),
        conv_bias=conv_bias.float().contiguous(),
        projections=torch.cat((forward, backward), dim=1).unsqueeze(1).to(dtype).contiguous(),
        rows=torch.cat([part.float() for part in parts], dim=-1).contiguous(),
        states=A.shape[-1],
        rank=dt_weight.shape[-1],
    )


def ss2d_core(
    v: Tensor, weights: Weights, *, exact_columns: bool, cut: Cut | None = None
) -> Tensor:
    """Convolve, project, scan in four orders and sum onto the grid.

        u    = silu(conv(v))
        low, B, C = x_proj_weight u, per order
        dt_l = softplus(dt_weight low_l + dt_bias)
        h_l  = exp(dt_l A) h_{l-1} + dt_l B_l u_l        h_{-1} = 0
        y_l  = C_l h_l + D u_l

    The state is fp32; u, x and y are rounded to the dtype of `v`. No gradients. Runs on PyTorch's
    current stream without waiting, and can be captured in a graph once it has run.

    Args:
        v: (F, B, H, W, D) on a GPU; pixels may lie further apart than D, as in half of a tensor.
        weights: from `prepare_weights`, in the dtype of `v`.
        exact_columns: the column merge, see `cross_merge`.
        cut: how to cut the scan; None for `Cut.for_size`.

    Returns:
        (F, B, H, W, D), contiguous, dtype of `v`.

    Raises:
        ValueError: `v` is laid out in another way, or does not fit the weights.
        CudaError: a kernel does not compile, load or start.
    """
    _check(v, weights)
    u = convolve(v, weights)
    x = torch.matmul(weights.projections, u)
    return merge(scan(u, x, weights, cut=cut), v, exact_columns=exact_columns)


def convolve(v: Tensor, weights: Weights) -> Tensor:
    """Depthwise 3x3 convolution and SiLU: planes of tokens along rows, then along columns.

    Returns:
        (2, B, D, stride), zero past the tokens.
    """
    _, batch, height, width, channels = v.shape
    stride = ceil(2 * height * width / PADDING) * PADDING
    u = torch.empty((2, batch, channels, stride), device=v.device, dtype=v.dtype)
    tiles = ceil(height / SIDE) * ceil(width / SIDE)
    grid = (tiles, ceil(channels / (64 // v.element_size())), batch)
    sizes = (batch, height, width, channels, v.stride(3), stride)
    vector = 16 // v.element_size()
    aligned = channels % vector == v.stride(3) % vector == v.data_ptr() % 16 == 0
    shared = 2 * ((SIDE + 2) ** 2 + 1) * 64 + SIDE**2 * 128
    kernel = _planes("convolve", v, 2 * height, 2 * width, aligned=aligned, shared=shared)
    kernel(grid, v, weights.conv, weights.conv_bias, u, *sizes)
    return u


def scan(u: Tensor, x: Tensor, weights: Weights, *, cut: Cut | None = None) -> Tensor:
    """The recurrence in all orders.

    Args:
        u: (2, B, D, stride).
        x: (2, B, 2 (R + 2 N), stride).
        weights: `rows`, `states` and `rank` are used.
        cut: None for `Cut.for_size`.

    Returns:
        (B, K, D, stride) by forward position, dtype of `u`.
    """
    _, batch, channels, stride = u.shape
    device, states, rank = u.device.index, weights.states, weights.rank
    cut = cut or _cut(states, rank, device)
    y = torch.empty((batch, ORDERS, channels, stride), device=u.device, dtype=u.dtype)
    units = stride * u.element_size() // cut.span
    grid = (ceil(channels / cut.block), ORDERS, batch)
    _scan(TYPES[u.dtype], states, rank, cut, device)(grid, u, x, weights.rows, y, channels, units)
    return y


def merge(y: Tensor, v: Tensor, *, exact_columns: bool) -> Tensor:
    """Sum (B, K, D, stride) onto the grid: (F, B, H, W, D) as `v`.

    The grid is rows of places, which the kernel defines: `2 * width` in the exact merge.
    """
    _, batch, height, width, channels = v.shape
    out = torch.empty(v.shape, device=v.device, dtype=v.dtype)
    tall, wide, sheets = MERGED
    together = 1 + exact_columns  # tokens that stay neighbours in either order
    tiles = 2 // together * ceil(height / tall) * ceil(together * width / wide)
    tile = {"EXACT": int(exact_columns), "TALL": tall, "WIDE": wide, "SHEETS": sheets}
    runs, shared = (together * height, together * width), tall * wide * sheets * 4
    kernel = _planes("merge", v, *runs, aligned=channels % 4 == 0, shared=shared, **tile)
    grid = (tiles, ceil(channels / sheets), batch)
    kernel(grid, y, out, batch, height, width, channels, y.shape[-1])
    return out


_cut = cache(Cut.for_size)


@cache
def _scan(kind: int, states: int, rank: int, cut: Cut, device: int) -> Kernel:
    defines = {"TYPE": kind, "N": states, "RANK": rank}
    defines |= {"WARPS": cut.warps, "ROWS": cut.rows, "TEAM": cut.team}
    defines |= {"SPAN": cut.span, "PAIRED": int(cut.paired)}
    return load(
        "scan/lanes.cu",
        "scan",
        tuple(defines.items()),
        device,
        threads=32 * cut.warps,
        shared=cut.shared(states, rank),
    )


def _planes(
    name: str, v: Tensor, down: int, across: int, *, aligned: bool, shared: int, **more: int
) -> Kernel:
    """A kernel of `planes.cu` for tokens in runs of `down` and `across`."""
    vector = 16 // v.element_size()
    defines = {"TYPE": TYPES[v.dtype], "ALONG_H": gcd(down, vector), "ALONG_W": gcd(across, vector)}
    items = tuple((defines | {"ALIGNED": int(aligned)} | more).items())
    return load("scan/planes.cu", name, items, v.device.index, threads=256, shared=shared)


def _check(v: Tensor, weights: Weights) -> None:
    _, _, height, width, channels = v.shape
    pixel = v.stride(3)
    lines = (v.shape[1] * height * width * pixel, height * width * pixel, width * pixel, pixel, 1)
    apart = [
        (size, stride, line)
        for size, stride, line in zip(v.shape, v.stride(), lines, strict=True)
        if size > 1 and stride != line
    ]
    if apart or pixel < channels:
        raise ValueError(f"v has strides {v.stride()}: not pixel after pixel with channels last")
    if v.shape[0] != 2 or channels != weights.conv.shape[1]:
        raise ValueError(f"v is {tuple(v.shape)}, not (2, B, H, W, {weights.conv.shape[1]})")
    if v.dtype != weights.projections.dtype:
        raise ValueError(f"v is {v.dtype}, but the weights are for {weights.projections.dtype}")


@cache
def failure(device: torch.device) -> str | None:
    """Why it cannot run on a device, as part of the fused network; None if it can. Tried once."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 0):
        return "needs an NVIDIA GPU of compute capability 8.0 or newer"
    # What is expected is found on the CPU, at once; on a GPU each operation loads its kernel first.
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    channels, states, rank = 32, 16, 2
    arguments = {
        "conv_weight": normal(channels, 3, 3),
        "conv_bias": normal(channels),
        "x_proj_weight": normal(ORDERS, rank + 2 * states, channels) * channels**-0.5,
        "A": -normal(ORDERS, channels, states).exp(),
        "D": normal(ORDERS, channels),
        "dt_weight": normal(ORDERS, channels, rank),
        "dt_bias": normal(ORDERS, channels) - 2,
    }
    v = normal(2, 1, 5, 7, channels)
    given = {name: value.to(device) for name, value in arguments.items()}
    weights = prepare_weights(**given, dtype=v.dtype)
    try:
        actual = ss2d_core(v.to(device), weights, exact_columns=False).cpu()
        # What lies around it in the fused network is Triton's.
        if (reason := import_module("vfimamba_cli.ops.fused.tokens").failure(device)) is not None:
            return str(reason)
    except (ImportError, CudaError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return f"needs NVRTC and Triton to work, but a trial run failed: {reason[0]}"
    expected = ss2d_core_reference(v, **arguments, exact_columns=False)
    off = ((actual - expected).abs().max() / expected.abs().max()).item()
    return None if off < 1e-2 else f"its result was off by {off:.1e} of the largest value"
