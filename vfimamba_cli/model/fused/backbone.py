"""The feature pyramid on channels-last images.

F = 2 frames, B batch, N = F B, C channels, H x W pixels.
"""

from typing import Any

import torch
from torch import Tensor

from vfimamba_cli.model.backbone import CONV_STAGES
from vfimamba_cli.model.fused.layers import Conv, MixedBlock, Stem, norm_of
from vfimamba_cli.ops.fused import tokens


def channels_first(x: Tensor) -> Tensor:
    """(N, H, W, C) as a pyramid level, (F, B, C, H, W); a view."""
    return x.permute(0, 3, 1, 2).unflatten(0, (2, -1))


def channels_last(level: Tensor) -> Tensor:
    """The reverse of `channels_first`; a view where the memory is so."""
    return level.flatten(0, 1).permute(0, 2, 3, 1).contiguous()


class FusedBackbone:
    """`Backbone` on channels-last images."""

    def __init__(self, backbone: Any, dtype: torch.dtype) -> None:
        stages, embeds = backbone.stages, backbone.embeds
        first, second, *rest = _pairs(stages[0].conv)
        self.stem = Stem(first, second, dtype=dtype)
        self.shallow_layers = [[Conv(*pair, dtype=dtype) for pair in rest]]
        for i in range(1, CONV_STAGES):
            pairs = [*_pairs(embeds[i - 1]), *_pairs(stages[i].conv)]
            self.shallow_layers.append([Conv(*pair, dtype=dtype) for pair in pairs])
        self.embeds = [
            (norm_of(embed.norm), Conv(embed.proj, None, dtype=dtype))
            for embed in embeds[CONV_STAGES - 1 :]
        ]
        self.stages = [
            [MixedBlock(block, dtype) for block in stage.blocks] for stage in stages[CONV_STAGES:]
        ]

    def shallow(self, frames: Tensor) -> list[Tensor]:
        """(F, B, 3, H, W) fp32 -> one (N, H / 2^i, W / 2^i, C) per convolutional level."""
        x = self.stem(frames)
        levels = []
        for layers in self.shallow_layers:
            for layer in layers:
                x = layer(x)
            levels.append(x)
        return levels

    def deep(self, x: Tensor) -> list[Tensor]:
        """The other levels from the last shallow one."""
        levels = []
        _, normed = tokens.sum_norm(x, norm=self.embeds[0][0])
        for i, (blocks, (_, embed)) in enumerate(zip(self.stages, self.embeds, strict=True)):
            x = embed(normed)
            _, normed = tokens.sum_norm(x, norm=blocks[0].norm_1)
            after = [block.norm_1 for block in blocks[1:]]
            last = self.embeds[i + 1][0] if i + 1 < len(self.embeds) else None
            for block, norm in zip(blocks, (*after, last), strict=True):
                x, normed = block(x, normed, norm)
            levels.append(x)
        return levels


def _pairs(layers: Any) -> list[tuple[Any, Any]]:
    """Convolution and activation, two by two."""
    modules = list(layers.children())
    return list(zip(modules[::2], modules[1::2], strict=True))
