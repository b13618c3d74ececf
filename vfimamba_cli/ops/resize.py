"""Resizing of images, and of flow with its vectors."""

import torch.nn.functional as F
from torch import Tensor


def resize(image: Tensor, scale: float) -> Tensor:
    """Bilinear resize by `scale`, pixel centres at half coordinates, no antialiasing.

    (B, C, H, W) -> (B, C, H * scale, W * scale), which must be whole numbers.

    Source: `align_corners=False`, as RIFE and the published network.
    """
    if scale == 1:
        return image
    return F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)


def resize_flow(flow: Tensor, scale: float) -> Tensor:
    """`resize`, the vectors scaled along, so that they stay in pixels of their own size."""
    return resize(flow, scale) * scale
