"""The Mixed-SSM Block: an inter-frame mixer, then a channel-attention convolution.

F = 2 frames, B batch, C channels, H x W tokens.
"""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from vfimamba_cli.model.alignment import AlignedConv2d
from vfimamba_cli.model.config import ModelConfig
from vfimamba_cli.model.mixers import build_mixer


class LayerNorm(nn.LayerNorm):
    """Over the last axis, statistics and arithmetic in fp32, result in the input's dtype."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=1e-5)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) -> (..., C)."""
        out = F.layer_norm(
            x.float(), self.normalized_shape, self.weight.float(), self.bias.float(), self.eps
        )
        return out.to(x.dtype)


class ChannelAttention(nn.Module):
    """Scale each channel by a gate computed from the mean of all channels over the whole map.

    Source: RCAN (arXiv 1807.02758).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        hidden = max(channels // 30, 1)
        self.attention = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(channels, hidden, 1),
            nn.ReLU(),
            nn.Conv2d(hidden, channels, 1),
            nn.Sigmoid(),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) -> (B, C, H, W)."""
        return x * self.attention(x)


class MixedSSMBlock(nn.Module):
    """x s_1 + mixer(norm(x)), then x s_2 + CAB(norm(x)), with learned skip scales s.

    Source: VFIMamba (arXiv 2407.02315), section 3.2; CAB from HAT (arXiv 2205.04437).
    """

    def __init__(self, channels: int, config: ModelConfig) -> None:
        super().__init__()
        self.ln_1 = LayerNorm(channels)
        self.mixer = build_mixer(channels, config, norm=LayerNorm)
        self.skip_scale = nn.Parameter(torch.ones(channels))
        self.ln_2 = LayerNorm(channels)
        self.cab = nn.Sequential(
            AlignedConv2d(channels, channels // 3, 3, padding=1),
            nn.GELU(),
            AlignedConv2d(channels // 3, channels, 3, padding=1),
            ChannelAttention(channels),
        )
        self.skip_scale2 = nn.Parameter(torch.ones(channels))

    def forward(self, x: Tensor) -> Tensor:
        """(F B, H, W, C) -> (F B, H, W, C), frame 0 of all samples first."""
        frames = self.ln_1(x).unflatten(0, (2, -1))
        x = x * self.skip_scale + self.mixer(frames).flatten(0, 1)
        convolved = self.convolve(self.ln_2(x).permute(0, 3, 1, 2))
        return x * self.skip_scale2 + convolved.permute(0, 2, 3, 1)

    def convolve(self, x: Tensor) -> Tensor:
        """The block's CAB, (B, C, H, W) -> (B, C, H, W).

        The channels that its third of them misses are zeros after GELU, too.
        """
        layers: list[Any] = list(self.cab)
        narrow, activate, widen, attention = layers
        return attention(widen(activate(narrow.aligned(x))))
