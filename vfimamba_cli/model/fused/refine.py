"""The U-Net, its concatenations written in place by what makes their parts.

F = 2 frames, B batch, H x W pixels.
"""

from typing import Any

import torch
from torch import Tensor

from vfimamba_cli.model.fused.backbone import channels_last
from vfimamba_cli.model.fused.flow import picture_places
from vfimamba_cli.model.fused.layers import Conv, Transposed
from vfimamba_cli.model.interface import Features, Motion, Region
from vfimamba_cli.ops.fused import motion as kernels
from vfimamba_cli.ops.fused import warping


class FusedUNet:
    """`UNet`, its concatenations written in place by what makes their parts."""

    def __init__(self, unet: Any, dtype: torch.dtype) -> None:
        downs = [unet.down0, unet.down1, unet.down2, unet.down3]
        features = unet.down0.conv1[0].in_channels - 17
        self.inputs = kernels.WIDE_SLOTS + features
        order = [*picture_places(), *range(kernels.WIDE_SLOTS, self.inputs)]
        first, *rest = [tuple(down.conv1) for down in downs]
        self.shrink = [
            Conv(*first, dtype=dtype, places=order, inputs=self.inputs),
            *(Conv(*pair, dtype=dtype) for pair in rest),
        ]
        self.sharpen = [Conv(*down.conv2, dtype=dtype) for down in downs]
        self.ups = [Transposed(*up, dtype=dtype) for up in (unet.up0, unet.up1, unet.up2, unet.up3)]
        self.last = Conv(unet.conv, None, dtype=dtype)

    def __call__(self, frames: Tensor, features: Features, motion: Motion, part: Region) -> Tensor:
        """(B, h, w, 3 or more) of the part, before its sigmoid; `motion` is the part's."""
        corner = {"top": part.top, "left": part.left}
        half = features[0].dtype
        x = features[0].new_empty(frames.shape[1], part.height, part.width, self.inputs)
        time = torch.zeros(frames.shape[1], device=frames.device)
        planes, warped = x[..., : kernels.WIDE_SLOTS], x[..., kernels.WIDE_SLOTS :]
        kernels.planes(frames, motion.flow, motion.mask, time, planes, **corner)
        warping.warp_features(channels_last(features[0]), motion.flow, warped, **corner)
        flow, skips = motion.flow, []
        for i, (shrink, sharpen) in enumerate(zip(self.shrink, self.sharpen, strict=True)):
            x = shrink(x)
            b, rows, columns, channels = x.shape
            wide = torch.empty(b, rows, columns, 2 * channels, dtype=half, device=x.device)
            skip = None if i == 3 else torch.empty_like(wide)
            second = None if skip is None else skip[..., channels:]
            sharpen(x, out=wide[..., :channels], second=second)
            flow = kernels.halve_flow(flow)
            corner = {name: at // 2 for name, at in corner.items()}
            warping.warp_features(
                channels_last(features[i + 1]), flow, wide[..., channels:], **corner
            )
            x = wide
            skips.append(skip)
        for up, skip in zip(self.ups, (*skips[2::-1], None), strict=True):
            if skip is None:
                x = up(x)
            else:
                up(x, out=skip[..., : skip.shape[-1] // 2])
                x = skip
        return self.last(x)
