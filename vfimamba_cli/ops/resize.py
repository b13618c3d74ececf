"""Resizing of images, and of flow with its vectors. B batch, C channels, H x W pixels."""

import torch
import torch.nn.functional as F
from torch import Tensor


def resize(image: Tensor, scale: float) -> Tensor:
    """Bilinear resize by `scale`, pixel centres at half coordinates, no antialiasing.

    (B, C, H, W) -> (B, C, H * scale, W * scale), which must be whole numbers.

    Source: `align_corners=False`, as RIFE and the published network.
    """
    if scale == 1:
        return image
    if torch.compiler.is_compiling():
        return resize_in_slices(image, scale)
    return F.interpolate(image, scale_factor=scale, mode="bilinear", align_corners=False)


def resize_in_slices(image: Tensor, scale: float) -> Tensor:
    """`resize` for a compiler, which makes one pass of the slices and of their gradients.

    Args:
        image: (..., H, W).
        scale: an even number, or 1 over one.
    """
    if scale > 1:
        return enlarge(enlarge(image, round(scale), -2), round(scale), -1)
    every = round(1 / scale)
    first = every // 2 - 1  # the two samples in the middle of every `every`
    rows = (image[..., first::every, :] + image[..., first + 1 :: every, :]) / 2
    return (rows[..., first::every] + rows[..., first + 1 :: every]) / 2


def enlarge(image: Tensor, times: int, dim: int) -> Tensor:
    """Linear interpolation to `times` as many samples along `dim`, which is -1 or -2."""
    first, rest = image.narrow(dim, 0, 1), image.shape[dim] - 1
    before = torch.cat((first, image.narrow(dim, 0, rest)), dim)
    after = torch.cat((image.narrow(dim, 1, rest), image.narrow(dim, rest, 1)), dim)
    places = [(k + 0.5) / times - 0.5 for k in range(times)]
    phases = [torch.lerp(image, after if at > 0 else before, abs(at)) for at in places]
    return torch.stack(phases, dim).flatten(dim - 1, dim)


def resize_flow(flow: Tensor, scale: float) -> Tensor:
    """`resize`, the vectors scaled along, so that they stay in pixels of their own size."""
    return resize(flow, scale) * scale
