"""What `lanes.py` computes, in plain PyTorch: the truth its kernels are held to."""

from torch import Tensor
from torch.nn import functional as F

from vfimamba_cli.ops.scan.cross_reference import cross_selective_scan


def ss2d_core_reference(
    v: Tensor,
    *,
    conv_weight: Tensor,
    conv_bias: Tensor,
    x_proj_weight: Tensor,
    A: Tensor,
    D: Tensor,
    dt_weight: Tensor,
    dt_bias: Tensor,
    exact_columns: bool,
) -> Tensor:
    """`vfimamba_cli.ops.scan.lanes.ss2d_core` in fp32, from the arguments of `prepare_weights`."""
    images = v.float().flatten(0, 1).movedim(-1, 1)
    kernel = conv_weight.float().reshape(-1, 1, 3, 3)
    conv = F.conv2d(images, kernel, conv_bias.float(), padding=1, groups=v.shape[-1])
    u = F.silu(conv).movedim(1, -1).reshape(v.shape)
    x = u @ x_proj_weight.float().flatten(0, 1).T
    return cross_selective_scan(u, x, A, D, dt_weight, dt_bias, exact_columns=exact_columns)
