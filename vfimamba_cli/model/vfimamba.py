"""VFIMamba: encode, estimate motion, refine motion, synthesize.

F = 2 frames, B batch, C channels, H x W pixels (multiples of 16).

Source: VFIMamba (arXiv 2407.02315).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from vfimamba_cli.model.activation import ConvPReLU
from vfimamba_cli.model.alignment import complete
from vfimamba_cli.model.backbone import Backbone
from vfimamba_cli.model.config import ModelConfig
from vfimamba_cli.model.flow import LocalBlock, MotionHead, Step, step, warp_both
from vfimamba_cli.model.interface import (
    Features,
    InterpolationModel,
    Motion,
    Prediction,
    Region,
)
from vfimamba_cli.model.mixers import SS2D
from vfimamba_cli.model.refine import UNet
from vfimamba_cli.ops.resize import resize_flow
from vfimamba_cli.ops.scan import Backend
from vfimamba_cli.ops.warp import warp_pair

if TYPE_CHECKING:
    from vfimamba_cli.model.registry import ModelSpec


class VFIMamba(nn.Module):
    """The whole network. Its four calls are the engine's; `forward` is the trainer's.

    Attributes:
        spec: what the weights say of themselves; set by `ModelSpec.build`.
        kernels: whether warps and, where gradients are wanted, activations are Triton's, as its
            scans are; set by `use_scan`.
    """

    spec: ModelSpec

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.kernels = False
        width, channels = config.width, config.channels
        self.backbone = Backbone(config)
        self.heads = nn.ModuleList(
            (
                MotionHead(channels[4], 7, 4 * width, scale=16),
                MotionHead(channels[3], 18, 4 * width, scale=8),
            )
        )
        scales = (2, 1)[2 - config.local_blocks :]
        self.local_blocks = nn.ModuleList(LocalBlock(4 * width, scale=s) for s in scales)
        self.unet = UNet(width)
        # On `meta` there is nothing to draw, but drawing it imports PyTorch's compiler: a second.
        if not self.unet.conv.weight.is_meta:
            initialize(self)

    @property
    def multiple_of(self) -> int:
        """Height and width of the frames must be multiples of this."""
        return self.config.multiple_of

    @property
    def dtype(self) -> torch.dtype:
        """What the convolutions compute in; flow, mask and the picture are fp32 always."""
        return self.unet.conv.weight.dtype

    def use_scan(self, backend: Backend) -> None:
        """Run every scan of the network on `backend`, and with its kernels all that have their own.

        Raises:
            ValueError: the backend scans feature maps only, and this network's tokens do not
                alternate.
        """
        if not (backend.sequences or self.config.alternates):
            raise ValueError(f"backend {backend.name} knows only frames whose tokens alternate")
        self.kernels = backend.grid == "triton"
        for module in self.modules():
            if isinstance(module, SS2D):
                module.use_scan(backend)
            elif isinstance(module, ConvPReLU):
                module.use_kernels(self.kernels)

    @property
    def has_fused_form(self) -> bool:
        """Whether `fused` works: for both published sizes, not for ablations of S6 or others."""
        config = self.config
        published = config.mixer == "s6" and config.alternates
        return published and config.depths[0] >= 2 and config.width in (16, 32)

    def fused(self) -> InterpolationModel:
        """The same network in kernels made for its GPU, in half precision; imports Triton."""
        from vfimamba_cli.model.fused.network import FusedVFIMamba

        return FusedVFIMamba(self, self.dtype)

    @property
    def whole_bytes_per_pixel(self) -> int:
        """About 12 maps of the width, the scans' among them: measured on the CPU in fp32."""
        return 12 * self.config.width * self.dtype.itemsize

    @property
    def part_bytes_per_pixel(self) -> int:
        """About 14 maps of the width: measured likewise, at 1280x704 by tiles of many sizes."""
        return 14 * self.config.width * self.dtype.itemsize

    @property
    def encode_halo(self) -> int:
        """Levels 0 to 2 see 2 + 1 + 4 + 2 + 8 pixels: two 3x3 at each size, one more between."""
        return 32

    @property
    def synthesis_halo(self) -> int:
        """The U-Net sees 1 pixel by its last convolution, 30 on its way up and 45 down."""
        return 80

    def encode(self, frames: Tensor) -> Features:
        """(F, B, 3, H, W) -> five levels of (F, B, C, H / 2^i, W / 2^i)."""
        shallow = self.encode_shallow(frames)
        return (*shallow, *self.encode_deep(shallow[-1]))

    def encode_shallow(self, frames: Tensor) -> Features:
        """(F, B, 3, H, W) -> levels 0 to 2, each frame on its own."""
        stacked = frames.flatten(0, 1).to(self.dtype, memory_format=torch.channels_last)
        return tuple(level.unflatten(0, (2, -1)) for level in self.backbone.shallow(stacked))

    def encode_deep(self, shallow: Tensor) -> Features:
        """Level 2 of the whole frames -> levels 3 and 4, in which they see each other."""
        levels = self.backbone.deep(shallow.flatten(0, 1))
        return tuple(level.unflatten(0, (2, -1)) for level in levels)

    def estimate_motion(self, frames: Tensor, features: Features, t: Tensor) -> Motion:
        """Motion from the deep features of `frames`, at times `t` (B,)."""
        return self.head_steps(frames, features, t)[-1].motion

    def refine_motion(self, frames: Tensor, motion: Motion) -> Motion:
        """Motion sharpened from the pictures, which need not be of the size it was found at."""
        first = self.step(frames, motion)
        return [first, *self.local_steps(first)][-1].motion

    def step(self, frames: Tensor, motion: Motion) -> Step:
        """One on the way to the last motion."""
        return Step(frames, motion, kernels=self.kernels)

    def head_steps(self, frames: Tensor, features: Features, t: Tensor) -> list[Step]:
        """What each head makes, coarse to fine."""
        first, second = frames
        time = t.to(first).view(-1, 1, 1, 1).expand(-1, 1, *first.shape[-2:])
        planes = torch.cat((first, second, time), dim=1)
        coarse = self.step(frames, step(None, self.heads[0](features[4], planes, None)))
        planes = torch.cat((*coarse.planes, time), dim=1)
        flow = coarse.motion.flow
        return [
            coarse,
            self.step(frames, step(coarse.motion, self.heads[1](features[3], planes, flow))),
        ]

    def local_steps(self, before: Step) -> list[Step]:
        """What each local block makes of the step before it, coarse to fine."""
        steps = [before]
        for block in self.local_blocks:
            motion = steps[-1].motion
            planes = torch.cat(steps[-1].planes, dim=1)
            steps.append(self.step(before.frames, step(motion, block(planes, motion.flow))))
        return steps[1:]

    def synthesize(
        self, frames: Tensor, features: Features, motion: Motion, region: Region | None = None
    ) -> Tensor:
        """Warped frames by the mask, plus a residual: (B, 3, H, W) fp32.

        In [0, 1], as published, but where a frame itself lies outside: camera footage holds
        codes beyond black and white, and a made frame without them would flicker.

        Args:
            frames, features, motion: of the whole frames: motion may point anywhere.
            region: the part wanted, all of it if none; in multiples of 16. Within
                `synthesis_halo` of its inner edges the result is not that of the whole.
        """
        part = region or Region(0, 0, *frames.shape[-2:])
        cut = Motion(part.of(motion.flow), part.of(motion.mask))
        corner = {"top": part.top, "left": part.left}
        pictures = warp_both(frames, cut.flow, **corner, kernels=self.kernels)
        return self.compose(part.of(frames), pictures, features, cut, **corner)

    def compose(
        self,
        frames: Tensor,
        warped: tuple[Tensor, Tensor],
        features: Features,
        motion: Motion,
        *,
        top: int = 0,
        left: int = 0,
    ) -> Tensor:
        """`synthesize` of a part of the frames, both warped already, by that part's motion.

        Args:
            frames, warped, motion: of the part.
            features: of the whole frames.
            top, left: where in them it begins.
        """
        flow, levels = motion.flow, []
        for i, level in enumerate(features):
            flow = flow if i == 0 else resize_flow(flow, 0.5)
            corner = {"top": top >> i, "left": left >> i}
            levels.append(warp_pair(level, flow, **corner, kernels=self.kernels))
        first, second = warped
        planes = torch.cat((*frames, first, second, motion.mask, motion.flow), dim=1)
        residual = self.unet(planes, levels)
        merged = torch.lerp(second, first, torch.sigmoid(motion.mask))
        low, high = (
            torch.minimum(first, second).clamp(max=0),
            torch.maximum(first, second).clamp(min=1),
        )
        return (merged.float() + residual).clamp(low, high)

    def forward(self, frames: Tensor, t: Tensor) -> Prediction:
        """The single pass at full scale, with every intermediate merge, for training.

        Args:
            frames: (F, B, 3, H, W) in [0, 1].
            t: (B,), in (0, 1).
        """
        features = self.encode(complete(frames))
        steps = self.head_steps(frames, features, t)
        steps += self.local_steps(steps[-1])
        last = steps[-1]
        picture = self.compose(frames, last.warped, features, last.motion)
        return Prediction(picture, tuple(step.merged for step in steps))


def initialize(network: VFIMamba) -> None:
    """Fresh weights as the published network starts from; scans initialise themselves.

    Kaiming normal (fan out) for the convolutions of backbone and U-Net, truncated normal of
    0.02 for linear layers; heads and local blocks keep the framework's own.
    """
    for part in (network.backbone, network.unet):
        for module in part.modules():
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
