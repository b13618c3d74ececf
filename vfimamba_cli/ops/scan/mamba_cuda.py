"""The scan by mamba-ssm's compiled kernels, `selective_scan_cuda`, forward and backward.

Only the extension module is imported, when a tensor needs it: the package around it pulls in far
more. B batch, K scan orders, D channels, N states, L tokens.
"""

from functools import cache
from typing import Any

import torch
from einops import rearrange
from torch import Tensor
from torch.autograd.function import FunctionCtx, once_differentiable


def selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, dt_bias: Tensor
) -> Tensor:
    """`vfimamba_cli.ops.scan.selective_scan`, reading and writing the dtype of `u`.

    Its state is fp32, but the outputs are rounded to the dtype of `u` (fp32, fp16 or bf16)
    before they are returned as fp32.
    """
    with torch.autocast(u.device.type, enabled=False):
        y: Tensor = _Kernels.apply(  # type: ignore[no-untyped-call]
            rearrange(u, "b k d l -> b (k d) l").contiguous(),
            rearrange(dt.to(u.dtype), "b k d l -> b (k d) l").contiguous(),
            rearrange(A.float(), "k d n -> (k d) n").contiguous(),
            B.to(u.dtype).contiguous(),
            C.to(u.dtype).contiguous(),
            rearrange(D.float(), "k d -> (k d)").contiguous(),
            rearrange(dt_bias.float(), "k d -> (k d)").contiguous(),
        )
        return rearrange(y, "b (k d) l -> b k d l", k=u.shape[1]).float()


class _Kernels(torch.autograd.Function):
    """The kernels in their own layout: u, dt (B, K*D, L), A (K*D, N), D, dt_bias (K*D,)."""

    @staticmethod
    def forward(ctx: FunctionCtx, *inputs: Tensor) -> Tensor:
        import selective_scan_cuda

        u, dt, A, B, C, D, dt_bias = inputs
        gate, softplus = None, True
        y, states = selective_scan_cuda.fwd(u, dt, A, B, C, D, gate, dt_bias, softplus)
        ctx.save_for_backward(*inputs, states)
        result: Tensor = y
        return result

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_y: Tensor) -> tuple[Tensor, ...]:
        import selective_scan_cuda

        u, dt, A, B, C, D, dt_bias, states = ctx.saved_tensors
        gate, softplus = None, True
        ungated_y, grad_gate, recompute_gated_y = None, None, False
        grad_y = grad_y.to(u.dtype).contiguous()
        grads: list[Tensor] = selective_scan_cuda.bwd(
            *(u, dt, A, B, C, D, gate, dt_bias, grad_y, states),
            *(ungated_y, grad_gate, softplus, recompute_gated_y),
        )
        return tuple(grads[:7])


@cache
def failure(device: torch.device) -> str | None:
    """Why the kernels cannot run on `device`, found by running them once; None if they can.

    A build can import and still lack kernels, or hold none for this GPU.
    """
    if device.type == "cuda" and not torch.cuda.is_available():
        return "needs a CUDA device, and PyTorch finds none"
    sizes = {"u": (1, 1, 1, 1), "dt": (1, 1, 1, 1), "A": (1, 1, 1), "B": (1, 1, 1, 1)}
    sizes |= {"C": (1, 1, 1, 1), "D": (1, 1), "dt_bias": (1, 1)}
    try:
        y = selective_scan(
            **{name: torch.ones(size, device=device) for name, size in sizes.items()}
        )
        y.sum().item()  # waits for the kernel: its errors come late
    except (ImportError, AttributeError, RuntimeError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        return f"needs selective_scan_cuda to work, but a trial run failed: {reason[0]}"
    return None
