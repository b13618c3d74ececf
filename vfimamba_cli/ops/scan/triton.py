# ruff: noqa: ARG001, PLR0913 - fake kernels have all arguments of their operators
"""The whole four-order scan of two frames in a few GPU kernels, channels last.

README.md, "Fused kernels", has the design. Importing this module imports Triton.

F = 2 frames, B batch, D channels, N states, R rank, L = 2 H W tokens, K = 4 orders, M chunks.
"""

from functools import cache
from typing import Any

import torch
from torch import Tensor

from vfimamba_cli.ops.scan.triton_launch import ORDERS, FusedScan, Launch
from vfimamba_cli.ops.triton_trial import triton_failure


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
    launch: Launch | None = None,
) -> Tensor:
    """Read both frames in four orders, run the selective scan over each, sum onto the grid.

        dt_l = softplus(dt_weight low_l + dt_bias)
        h_l  = exp(dt_l A) h_{l-1} + dt_l B_l u_l        h_{-1} = 0
        y_l  = C_l h_l + D u_l

    The state is fp32 whatever the inputs are. Differentiable in all six tensors; results and
    gradients are the same from run to run.

    Args:
        u: (F, B, H, W, D); fp32, fp16 or bf16.
        x_dbl: (F, B, H, W, K (R + 2 N)), dtype of `u`: per order low, B, C, projected in pixel
            order by one matrix product.
        A: (K, D, N), negative; N a power of two.
        D, dt_bias: (K, D).
        dt_weight: (K, D, R).
        exact_columns: put column tokens back where they were read, or where the published
            network does; see `cross_merge`. Tokens of the two frames alternate in all orders.
        dtype: of the result, and of the two buffers it is summed from.
        launch: how to cut the work; None for `Launch.for_size`.

    Returns:
        (F, B, H, W, D).

    Raises:
        ValueError: shapes that do not fit one another.
    """
    _check(u, x_dbl, A, D, dt_weight, dt_bias)
    training = torch.is_grad_enabled() and u.requires_grad
    launch = launch or Launch.for_size(u, training=training)
    cut = (launch.chunk, launch.block, launch.warps)
    # Only gradients and compilers need the operator, and its first call imports the compiler.
    needed = torch.is_grad_enabled() or torch.compiler.is_compiling()
    scan = _scan if needed else _run
    return scan(u, x_dbl, A, D, dt_weight, dt_bias, exact_columns, dtype, *cut)[0]


def _check(
    u: Tensor, x_dbl: Tensor, A: Tensor, D: Tensor, dt_weight: Tensor, dt_bias: Tensor
) -> None:
    channels, states, rank = u.shape[-1], A.shape[-1], dt_weight.shape[-1]
    expected = {
        "u": (u, (2, *u.shape[1:4], channels)),
        "x_dbl": (x_dbl, (*u.shape[:4], ORDERS * (rank + 2 * states))),
        "A": (A, (ORDERS, channels, states)),
        "D": (D, (ORDERS, channels)),
        "dt_weight": (dt_weight, (ORDERS, channels, rank)),
        "dt_bias": (dt_bias, (ORDERS, channels)),
    }
    for name, (tensor, shape) in expected.items():
        if tuple(tensor.shape) != shape:
            raise ValueError(f"{name} is {tuple(tensor.shape)}, not {shape}")
    if states & (states - 1):
        raise ValueError(f"{states} states are not a power of two")
    if x_dbl.dtype != u.dtype:
        raise ValueError(f"x_dbl is {x_dbl.dtype}, but u is {u.dtype}")


def _run(
    u: Tensor,
    x_dbl: Tensor,
    A: Tensor,
    D: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    exact: bool,
    dtype: torch.dtype,
    chunk: int,
    block: int,
    warps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    """y, and for the backward pass the chunks' start states and sums of dt."""
    launch = Launch(chunk=chunk, block=block, warps=warps)
    scan = FusedScan.of(u, x_dbl, A, D, dt_weight, dt_bias, launch=launch)
    with torch.cuda.device_of(u):
        y, starts, totals = scan.forward(dtype)
        return scan.merge(y, exact=exact), starts, totals


_scan = torch.library.custom_op("vfimamba::cross_selective_scan", mutates_args=())(_run)


@_scan.register_fake
def _(
    u: Tensor,
    x_dbl: Tensor,
    A: Tensor,
    D: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    exact: bool,
    dtype: torch.dtype,
    chunk: int,
    block: int,
    warps: int,
) -> tuple[Tensor, Tensor, Tensor]:
    _, batch, height, width, channels = u.shape
    chunks = (height * width + chunk - 1) // chunk
    starts = u.new_empty(batch, chunks, ORDERS, A.shape[-1], channels, dtype=torch.float32)
    totals = u.new_empty(batch, chunks, ORDERS, channels, dtype=torch.float32)
    return u.new_empty(u.shape, dtype=dtype), starts, totals


@torch.library.custom_op("vfimamba::cross_selective_scan_backward", mutates_args=())
def _scan_backward(
    grad: Tensor,
    starts: Tensor,
    totals: Tensor,
    u: Tensor,
    x_dbl: Tensor,
    A: Tensor,
    D: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    exact: bool,
    chunk: int,
    block: int,
    warps: int,
) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]:
    """Gradients of `_scan`'s six tensors, in their dtypes."""
    # Two channels to a thread need more registers for their gradients than there are.
    launch = Launch(chunk=chunk, block=min(block, 32 * warps), warps=warps)
    scan = FusedScan.of(u, x_dbl, A, D, dt_weight, dt_bias, launch=launch)
    with torch.cuda.device_of(u):
        spread = scan.spread(grad, exact=exact)
        parts = scan.gradients(starts, scan.carries(totals, spread), spread)
    rank = dt_weight.shape[-1]
    features = x_dbl.reshape(-1, ORDERS, x_dbl.shape[-1] // ORDERS)
    low = features[..., :rank]  # (F B H W, K, R)
    grad_x = torch.empty_like(features)
    grad_x[..., :rank] = torch.einsum("kpd,kdr->pkr", parts.dt, dt_weight.to(u.dtype))
    torch.sum(parts.BC, dim=0, out=grad_x[..., rank:])  # in fp32 until it is rounded
    return (
        parts.u.view(u.shape),
        grad_x.view(x_dbl.shape),
        parts.A.transpose(1, 2).contiguous().to(A.dtype),
        parts.D.to(D.dtype, copy=True),
        torch.einsum("kpd,pkr->kdr", parts.dt, low).contiguous().to(dt_weight.dtype),
        parts.bias.to(dt_bias.dtype),
    )


@_scan_backward.register_fake
def _(
    grad: Tensor,
    starts: Tensor,
    totals: Tensor,
    u: Tensor,
    x_dbl: Tensor,
    A: Tensor,
    D: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    exact: bool,
    chunk: int,
    block: int,
    warps: int,
) -> tuple[Tensor, ...]:
    return tuple(x.new_empty(x.shape) for x in (u, x_dbl, A, D, dt_weight, dt_bias))


def _keep(ctx: Any, inputs: tuple[Any, ...], output: tuple[Tensor, Tensor, Tensor]) -> None:
    *tensors, exact, _, chunk, block, warps = inputs
    _, starts, totals = output
    ctx.mark_non_differentiable(starts, totals)
    ctx.save_for_backward(starts, totals, *tensors)
    ctx.settings = (exact, chunk, block, warps)


def _backward(ctx: Any, grad: Tensor, *_: Any) -> tuple[Tensor | None, ...]:
    grads = _scan_backward(grad, *ctx.saved_tensors, *ctx.settings)
    return (*grads, None, None, None, None, None)


_scan.register_autograd(_backward, setup_context=_keep)


@cache
def failure(device: torch.device) -> str | None:
    """Why the kernels cannot run on `device`, found by running them once; None if they can."""
    if device.type == "cuda" and not torch.cuda.is_available():
        return "needs a CUDA device, and PyTorch finds none"
    return triton_failure(lambda: _skips_alone(device))


def _skips_alone(device: torch.device) -> bool:
    """Whether D alone makes the result where B and C are zero."""
    channels, states = 16, 4
    ones, zeros = torch.ones(4, channels, device=device), torch.zeros
    # The kernels themselves: the first call of an operator imports PyTorch's compiler, seconds.
    scan = FusedScan.of(
        torch.ones(2, 1, 1, 1, channels, device=device),
        zeros(2, 1, 1, 1, ORDERS * (1 + 2 * states), device=device),
        A=zeros(4, channels, states, device=device),
        D=ones,
        dt_weight=zeros(4, channels, 1, device=device),
        dt_bias=ones,
        launch=Launch(chunk=32),
    )
    with torch.cuda.device_of(scan.u):
        y = scan.merge(scan.forward(torch.float32)[0], exact=True)
    return bool((y.cpu() == ORDERS).all())
