"""Backward warping. F = 2 frames, B batch, C channels, H x W and h x w pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor


def warp(image: Tensor, flow: Tensor, *, top: int = 0, left: int = 0) -> Tensor:
    """Sample `image` where `flow` points: out[y, x] = image[top + y + flow_y, left + x + flow_x].

    Bilinear; samples outside the image take the nearest edge pixel. Coordinates are computed
    in fp32 whatever the inputs are: in fp16 a 3840-pixel axis is off by up to half a pixel.

    Args:
        image: (B, C, H, W).
        flow: (B, 2, h, w), in pixels of `image`, channel 0 is x (right), 1 is y (down).
        top, left: where in `image` the flow's first pixel lies, if it is that of a part only.

    Returns:
        (B, C, h, w), in the dtype of `image`.

    Source: Spatial Transformer Networks (arXiv 1506.02025), `align_corners=True` as RIFE.
    """
    _, _, height, width = image.shape
    rows, columns = flow.shape[-2:]
    ys = torch.arange(top, top + rows, device=flow.device, dtype=torch.float32)
    xs = torch.arange(left, left + columns, device=flow.device, dtype=torch.float32)
    x = (xs + flow[:, 0].float()) * (2 / max(width - 1, 1)) - 1
    y = (ys[:, None] + flow[:, 1].float()) * (2 / max(height - 1, 1)) - 1
    grid = torch.stack((x, y), dim=-1)  # (B, h, w, 2)
    out = F.grid_sample(image.float(), grid, padding_mode="border", align_corners=True)
    return out.to(image.dtype)


def warp_pair(
    maps: Tensor, flow: Tensor, *, top: int = 0, left: int = 0, kernels: bool = False
) -> Tensor:
    """`warp` of both frames, each by its own flow.

    Args:
        maps: (F, B, C, H, W), F = 2.
        flow: (B, 4, h, w), fp32: x and y into frame 0, then into frame 1.
        top, left: as in `warp`.
        kernels: by one Triton kernel, on an NVIDIA GPU where Triton works. The places are then
            taken from pixels directly, not through [-1, 1]: equal up to fp32's rounding.

    Returns:
        (B, F C, h, w), frame 0's channels first, in the dtype of `maps`.
    """
    if kernels:
        from vfimamba_cli.ops import warp_triton

        return warp_triton.warp_pair(maps, flow, top, left)
    first = warp(maps[0], flow[:, :2], top=top, left=left)
    return torch.cat((first, warp(maps[1], flow[:, 2:], top=top, left=left)), dim=1)
