"""The feature pyramid: three convolutional stages, then two of Mixed-SSM blocks.

F = 2 frames, B batch, C channels, H x W pixels.
"""

from torch import Tensor, nn

from vfimamba_cli.model.activation import ConvPReLU, conv
from vfimamba_cli.model.blocks import LayerNorm, MixedSSMBlock
from vfimamba_cli.model.config import ModelConfig

CONV_STAGES = 3


class ConvStage(nn.Module):
    """`depth` convolutions at one size; each frame on its own."""

    def __init__(self, inputs: int, outputs: int, depth: int) -> None:
        super().__init__()
        layers = [conv(inputs if i == 0 else outputs, outputs) for i in range(depth)]
        self.conv = ConvPReLU(*(module for pair in layers for module in pair))

    def forward(self, x: Tensor) -> Tensor:
        """(F B, C, H, W) -> (F B, C', H, W)."""
        return self.conv(x)


class MixedStage(nn.Module):
    """`depth` Mixed-SSM blocks at one size; here the frames see each other."""

    def __init__(self, channels: int, depth: int, config: ModelConfig) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(MixedSSMBlock(channels, config) for _ in range(depth))

    def forward(self, x: Tensor) -> Tensor:
        """(F B, C, H, W) -> (F B, C, H, W)."""
        x = x.permute(0, 2, 3, 1).contiguous()
        for block in self.blocks:
            x = block(x)
        return x.permute(0, 3, 1, 2)


class NormedDownsample(nn.Module):
    """Norm over channels, then a strided convolution that halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.norm = LayerNorm(inputs)
        self.proj = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """(F B, C, H, W) -> (F B, C', H / 2, W / 2)."""
        return self.proj(self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))


class Backbone(nn.Module):
    """Five levels of features of both frames, sizes 1, 1/2, 1/4, 1/8 and 1/16.

    Source: VFIMamba (arXiv 2407.02315), section 3.1.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        channels, depths = config.channels, config.depths
        self.stages = nn.ModuleList()
        self.embeds = nn.ModuleList()
        for i, (width, depth) in enumerate(zip(channels, depths, strict=True)):
            if i == 0:
                self.stages.append(ConvStage(3, width, depth))
                continue
            if i < CONV_STAGES:
                self.embeds.append(ConvPReLU(*conv(channels[i - 1], width, stride=2)))
                self.stages.append(ConvStage(width, width, depth))
            else:
                self.embeds.append(NormedDownsample(channels[i - 1], width))
                self.stages.append(MixedStage(width, depth, config))

    def shallow(self, x: Tensor) -> list[Tensor]:
        """The convolutional levels: (F B, 3, H, W) -> one (F B, C, H / 2^i, W / 2^i) each."""
        levels = [self.stages[0](x)]
        for i in range(1, CONV_STAGES):
            levels.append(self.stages[i](self.embeds[i - 1](levels[-1])))
        return levels

    def deep(self, x: Tensor) -> list[Tensor]:
        """The other levels, in which the frames see each other, from the last shallow one."""
        levels = [x]
        for i in range(CONV_STAGES, len(self.stages)):
            levels.append(self.stages[i](self.embeds[i - 1](levels[-1])))
        return levels[1:]
