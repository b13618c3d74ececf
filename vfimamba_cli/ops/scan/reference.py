"""The scan one step at a time: the truth the other backends are held to.

B batch, K scan orders, D channels, N states, L tokens.
"""

import torch
import torch.nn.functional as F
from torch import Tensor


def selective_scan(
    u: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, dt_bias: Tensor
) -> Tensor:
    """`vfimamba_cli.ops.scan.selective_scan` as a loop; gradients come from autograd.

    Computes in fp32, or in fp64 where `u` is fp64, for gradient checks.
    """
    dtype = torch.float64 if u.dtype == torch.float64 else torch.float32
    u, dt, B, C = u.to(dtype), dt.to(dtype), B.to(dtype), C.to(dtype)
    dt = F.softplus(dt + dt_bias[..., None])
    h = u.new_zeros(*u.shape[:3], A.shape[-1])  # (B, K, D, N)
    outputs = []
    for u_l, dt_l, B_l, C_l in zip(*(x.unbind(-1) for x in (u, dt, B, C)), strict=True):
        h = torch.exp(dt_l[..., None] * A) * h + (dt_l * u_l)[..., None] * B_l[:, :, None]
        outputs.append((h * C_l[:, :, None]).sum(-1) + D * u_l)
    return torch.stack(outputs, dim=-1)
