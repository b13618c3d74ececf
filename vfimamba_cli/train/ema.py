"""The average of the weights over training, which is what is shipped."""

import copy
from typing import Generic, TypeVar

import torch
from torch import nn

Network = TypeVar("Network", bound=nn.Module)


class Ema(Generic[Network]):
    """Exponential moving average of a network's parameters; buffers are copied.

        average <- d average + (1 - d) weights,  d = min(decay, (1 + step) / (10 + step))

    The ramp lets the first, random weights fade quickly.

    Attributes:
        network: a copy of the network that carries the average, in eval mode.
    """

    def __init__(self, network: Network, decay: float) -> None:
        self.decay = decay
        self.network = copy.deepcopy(network)
        self.network.eval().requires_grad_(False)

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the weights after optimizer step `step`, the first being 0."""
        decay = min(self.decay, (1 + step) / (10 + step))
        torch._foreach_lerp_(list(self.network.parameters()), list(network.parameters()), 1 - decay)
        for own, other in zip(self.network.buffers(), network.buffers(), strict=True):
            own.copy_(other)
