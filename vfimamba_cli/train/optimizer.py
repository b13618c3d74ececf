"""What moves the weights."""

from typing import Any

import torch
from torch import nn

from vfimamba_cli.train.recipe import Recipe

NO_DECAY = ("A_logs", "Ds")


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that lets the scan's decay, norms, biases and scales be as large as they like."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        last = name.rpartition(".")[2]
        exempt = parameter.ndim <= 1 or last in NO_DECAY or last.endswith("bias")
        (free if exempt else decayed).append(parameter)
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": free, "weight_decay": 0.0}]
    fused = decayed[0].is_cuda
    return torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
