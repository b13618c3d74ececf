"""The four calls.

F = 2 frames, B batch, N = F B, C channels, H x W pixels.

Source: VFIMamba (arXiv 2407.02315).
"""

import torch
from torch import Tensor

from vfimamba_cli.model.fused.backbone import FusedBackbone, channels_first, channels_last
from vfimamba_cli.model.fused.flow import FusedHead, FusedLocal, ordered
from vfimamba_cli.model.fused.refine import FusedUNet
from vfimamba_cli.model.interface import Features, Motion, Region
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.ops.fused import warping


class FusedVFIMamba:
    """The network's four calls, as `InterpolationModel` asks for them.

    Attributes:
        spec, multiple_of, encode_halo, synthesis_halo, whole_bytes_per_pixel,
            part_bytes_per_pixel: the network's.
    """

    def __init__(self, network: VFIMamba, dtype: torch.dtype) -> None:
        """Packs the weights; `network` is on the device already and is not kept."""
        self.spec: ModelSpec = network.spec
        self.multiple_of = network.multiple_of
        self.encode_halo, self.synthesis_halo = network.encode_halo, network.synthesis_halo
        self.whole_bytes_per_pixel = 9 * network.config.width * dtype.itemsize
        self.part_bytes_per_pixel = 14 * network.config.width * dtype.itemsize
        self.backbone = FusedBackbone(network.backbone, dtype)
        coarse, fine = network.heads
        self.heads = (FusedHead(coarse, dtype, motion=False), FusedHead(fine, dtype, motion=True))
        self.local_blocks = [FusedLocal(block, dtype) for block in network.local_blocks]
        self.unet = FusedUNet(network.unet, dtype)

    def encode(self, frames: Tensor) -> Features:
        """(F, B, 3, H, W) -> five levels of (F, B, C, H / 2^i, W / 2^i)."""
        shallow = self.encode_shallow(frames)
        return (*shallow, *self.encode_deep(shallow[-1]))

    def encode_shallow(self, frames: Tensor) -> Features:
        """(F, B, 3, H, W) -> levels 0 to 2, each frame on its own."""
        return tuple(channels_first(x) for x in self.backbone.shallow(frames))

    def encode_deep(self, shallow: Tensor) -> Features:
        """Level 2 of the whole frames -> levels 3 and 4."""
        return tuple(channels_first(x) for x in self.backbone.deep(channels_last(shallow)))

    def estimate_motion(self, frames: Tensor, features: Features, t: Tensor) -> Motion:
        """Motion from the deep features of `frames`, at times `t` (B,)."""
        motion = None
        for head, level in zip(self.heads, (features[4], features[3]), strict=True):
            motion = head(frames, level, motion, t)
        assert motion is not None
        return motion

    def refine_motion(self, frames: Tensor, motion: Motion) -> Motion:
        """Motion sharpened from the pictures."""
        motion = ordered(motion)
        time = torch.zeros(frames.shape[1], device=frames.device)
        for block in self.local_blocks:
            motion = block(frames, motion, time)
        return motion

    def synthesize(
        self, frames: Tensor, features: Features, motion: Motion, region: Region | None = None
    ) -> Tensor:
        """Warped frames by the mask, plus a residual: (B, 3, H, W) fp32, of the region."""
        part = region or Region(0, 0, *frames.shape[-2:])
        motion = ordered(motion)
        motion = Motion(part.of(motion.flow), part.of(motion.mask))
        residual = self.unet(frames, features, motion, part)
        return warping.blend(
            frames, motion.flow, motion.mask, residual, top=part.top, left=part.left
        )
