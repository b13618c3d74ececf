"""What training minimizes: the Laplacian pyramid L1 distance of pictures.

N pictures of C channels, H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from vfimamba_cli.model.interface import Prediction
from vfimamba_cli.ops.resize import resize

LEVELS = 5
CENTER, NEAR, FAR = 6 / 16, 4 / 16, 1 / 16  # the binomial kernel, from its middle outwards
MERGE_WEIGHT = 0.5


def interpolation_loss(prediction: Prediction, target: Tensor) -> Tensor:
    """Distance of the picture, plus `MERGE_WEIGHT` times the sum of the merges' distances.

    Args:
        prediction: pictures and merges (B, 3, H, W).
        target: (B, 3, H, W).

    Source: EMA-VFI (arXiv 2303.00440), whose loss VFIMamba takes over.
    """
    made = torch.stack((prediction.picture, *prediction.merges)).float()
    distances = laplacian_distance(made - target)  # one pyramid for all of them
    return distances[0] + MERGE_WEIGHT * distances[1:].sum()


def laplacian_distance(difference: Tensor) -> Tensor:
    """Sum over the pyramid's levels of each level's mean absolute value.

        G_0 = difference,  G_{i+1} = every second pixel of k * G_i
        L_i = G_i - up(G_{i+1}) for i < LEVELS,  L_LEVELS = G_LEVELS

    k is the 5 x 5 binomial kernel, edges are repeated, `up` is bilinear interpolation. The
    pyramid is linear, so that of a difference is the difference of the pyramids.

    Args:
        difference: (N, ..., C, H, W), fp32.

    Returns:
        (N,), one distance per entry of the first axis.

    Source: Niklaus and Liu, Context-aware Synthesis (arXiv 1803.10967), section 3.3.
    """
    level = difference
    total = torch.zeros(len(difference), device=difference.device)
    for _ in range(LEVELS):
        smaller = blur_and_halve(level)
        total = total + mean_magnitude(level - resize_to(smaller, level))
        level = smaller
    return total + mean_magnitude(level)


def mean_magnitude(level: Tensor) -> Tensor:
    """(N, ...) -> (N,)."""
    return level.abs().flatten(1).mean(1)


def blur_and_halve(level: Tensor) -> Tensor:
    """(..., H, W) -> (..., ceil(H / 2), ceil(W / 2))."""
    return blur_and_halve_along(blur_and_halve_along(level, -2), -1)


def blur_and_halve_along(level: Tensor, dim: int) -> Tensor:
    """One axis, -1 or -2, in slices: a compiler makes one pass of them and of their gradients."""
    size = level.shape[dim]
    first, last = level.narrow(dim, 0, 1), level.narrow(dim, size - 1, 1)
    even, odd = (level[..., i::2] if dim == -1 else level[..., i::2, :] for i in (0, 1))
    n = even.shape[dim]
    two_before = torch.cat((first, even.narrow(dim, 0, n - 1)), dim)
    before = torch.cat((first, odd.narrow(dim, 0, n - 1)), dim)
    after = odd if odd.shape[dim] == n else torch.cat((odd, last), dim)
    two_after = torch.cat((even.narrow(dim, 1, n - 1), last), dim)
    return CENTER * even + NEAR * (before + after) + FAR * (two_before + two_after)


def resize_to(level: Tensor, like: Tensor) -> Tensor:
    """(..., h, w) -> (..., H, W) of `like`, bilinear."""
    planes, size = level.flatten(0, -3)[:, None], like.shape[-2:]
    if size == (2 * level.shape[-2], 2 * level.shape[-1]):
        return resize(planes, 2).reshape(like.shape)
    planes = F.interpolate(planes, size=size, mode="bilinear", align_corners=False)
    return planes.reshape(like.shape)
