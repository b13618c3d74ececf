"""Which number format runs where."""

import torch
from torch import nn

FP32_ISLANDS = ("A_logs", "Ds", "dt_projs_bias", "ln_1", "ln_2", "norm", "out_norm")
"""Parameters that stay fp32 in a half-precision network, by their or their module's own name.

They steer the scan's decay, whose error grows with the length, or scale statistics that are
taken in fp32. Flow, mask, warp coordinates and the final picture are fp32 by construction.
"""


def default_dtype(device: torch.device) -> torch.dtype:
    """fp16 on CUDA, fp32 elsewhere."""
    return torch.float16 if device.type == "cuda" else torch.float32


def cast(network: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Set every parameter outside the islands to `dtype`, in place; returns the network."""
    for name, parameter in network.named_parameters():
        island = any(part in FP32_ISLANDS for part in name.split("."))
        parameter.data = parameter.data.to(torch.float32 if island else dtype)
    return network
