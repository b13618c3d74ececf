"""SS2D on channels-last tokens, by the kernels of `ops.scan.lanes`.

N images (frame 0 of all samples first), H x W tokens, C channels, D = 2 C inner channels, K = 4
scan orders; half precision.
"""

from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from vfimamba_cli.ops.cross_scan import SCAN_ORDERS
from vfimamba_cli.ops.fused import tokens
from vfimamba_cli.ops.scan import lanes


class FusedMixer:
    """`SS2D`: four kernels and three matrix products."""

    def __init__(self, mixer: Any, dtype: torch.dtype) -> None:
        self.inner = mixer.inner
        self.in_weight = mixer.in_proj.weight.detach().to(dtype).T
        self.out_weight = mixer.out_proj.weight.detach().to(dtype).T
        self.norm = (
            mixer.out_norm.weight.detach().float(),
            mixer.out_norm.bias.detach().float(),
        )
        logs, skips = mixer.A_logs.detach().float(), mixer.Ds.detach().float()
        self.weights = lanes.prepare_weights(
            conv_weight=mixer.conv2d.weight.detach(),
            conv_bias=mixer.conv2d.bias.detach(),
            x_proj_weight=mixer.x_proj_weight.detach(),
            A=-rearrange(logs, "(k d) n -> k d n", k=SCAN_ORDERS).exp(),
            D=rearrange(skips, "(k d) -> k d", k=SCAN_ORDERS),
            dt_weight=mixer.dt_projs_weight.detach().float(),
            dt_bias=mixer.dt_projs_bias.detach().float(),
            dtype=dtype,
        )
        self.exact = mixer.config.column_merge == "exact"

    def __call__(self, x: Tensor) -> Tensor:
        """(N, H, W, C) -> (N, H, W, C)."""
        projected = x @ self.in_weight
        inner = projected[..., : self.inner].unflatten(0, (2, -1))
        y = lanes.ss2d_core(inner, self.weights, exact_columns=self.exact).flatten(0, 3)
        gate = projected.flatten(0, 2)[:, self.inner :]
        return (tokens.norm_gate(y, gate, *self.norm) @ self.out_weight).view(x.shape)
