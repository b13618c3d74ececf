"""What training minimizes: the Laplacian pyramid L1 distance of pictures.

N pictures of C channels, H x W pixels.
"""

import functools

import torch
import torch.nn.functional as F
from torch import Tensor

from vfimamba_cli.model.interface import Prediction

LEVELS = 5
BINOMIAL = (1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)
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
    planes = level.flatten(0, -3)[:, None]
    planes = F.pad(planes, (2, 2, 2, 2), mode="replicate")
    planes = F.conv2d(planes, binomial_kernel(level.device), stride=2)
    return planes.reshape(*level.shape[:-2], *planes.shape[-2:])


@functools.cache
def binomial_kernel(device: torch.device) -> Tensor:
    """(1, 1, 5, 5), sum 1. Kept, because a copy to the device would make the host wait."""
    row = torch.tensor(BINOMIAL, device=device)
    return torch.outer(row, row)[None, None]


def resize_to(level: Tensor, like: Tensor) -> Tensor:
    """(..., h, w) -> (..., H, W) of `like`, bilinear."""
    planes = level.flatten(0, -3)[:, None]
    planes = F.interpolate(planes, size=like.shape[-2:], mode="bilinear", align_corners=False)
    return planes.reshape(*like.shape)
