"""PSNR and SSIM, exactly as published tables of frame interpolation have them, and steadiness.

B batch, C channels, H x W pixels; pictures are (B, C, H, W), values in [0, 1].
"""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 11
HALF = WINDOW // 2
SIGMA = 1.5
UNIFORM_WINDOW = 7
C1 = 0.01**2
C2 = 0.03**2


def psnr(picture: Tensor, truth: Tensor) -> Tensor:
    """-10 log10 of the mean squared error over all channels and pixels.

    Args:
        picture, truth: (B, C, H, W) in [0, 1].

    Returns:
        (B,) in dB, fp64; infinite where the pictures are equal.
    """
    error = (picture.double() - truth.double()).square().mean(dim=(1, 2, 3))
    return -10 * torch.log10(error)


def psnr_8bit(picture: Tensor, truth: Tensor) -> Tensor:
    """`psnr` after rounding `picture` to 8 bits; `truth` is taken as it is."""
    return psnr(round_8bit(picture), truth)


def round_8bit(picture: Tensor) -> Tensor:
    """Clip to [0, 1] and round to the nearest of 256 levels; in fp32, still in [0, 1]."""
    return (picture.float().clamp(0, 1) * 255).round() / 255


def ssim_matlab(picture: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity with a Gaussian window over channel, row and column at once.

        SSIM = (2 m_x m_y + C1)(2 cov + C2) / ((m_x^2 + m_y^2 + C1)(var_x + var_y + C2))

    m, var and cov are means under an 11 x 11 x 11 Gaussian (sigma 1.5) that sees the edge
    values repeated outwards, along the channels too; C1 = 0.01^2, C2 = 0.03^2.

    Args:
        picture, truth: (B, C, H, W) in [0, 1].

    Returns:
        (B,), averaged over the map, fp64.

    Source: "SSIM matlab" of DAIN and CAIN, which the tables of VFIMamba (arXiv 2407.02315) use.
    """
    x, y = picture.double(), truth.double()
    products = (x, y, x * x, y * y, x * y)
    similarity = _similarity(*map(_gaussian_mean, products))
    return similarity.mean(dim=(1, 2, 3))


def ssim_uniform(picture: Tensor, truth: Tensor) -> Tensor:
    """Structural similarity with a flat 7 x 7 window, each channel on its own.

    As `ssim_matlab`, but for the window, that variances are those of a sample (divided by 48,
    not 49), and that only windows that lie inside the picture count.

    Args:
        picture, truth: (B, C, H, W) in [0, 1], both sides at least 7 pixels.

    Returns:
        (B,), averaged over channels and windows, fp64.

    Source: `skimage.metrics.structural_similarity` with `channel_axis` and 8-bit pictures, which
    the Xiph tables of VFIMamba (arXiv 2407.02315) use.
    """
    x, y = picture.double(), truth.double()
    mean_x, mean_y, xx, yy, xy = (
        F.avg_pool2d(product, UNIFORM_WINDOW, stride=1) for product in (x, y, x * x, y * y, x * y)
    )
    count = UNIFORM_WINDOW**2
    similarity = _similarity(mean_x, mean_y, xx, yy, xy, sample=count / (count - 1))
    return similarity.mean(dim=(1, 2, 3))


def difference_error(made: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """Mean absolute error of the change from each frame to the next, in 8-bit levels.

    Args:
        made, truth: T frames (B, C, H, W) in [0, 1] each, in their order, with the given ones.

    Returns:
        (), fp64.
    """
    errors = (
        ((b.float() - a.float()) - (d.float() - c.float())).abs().mean()
        for (a, b), (c, d) in zip(pairwise(made), pairwise(truth), strict=True)
    )
    return 255 * torch.stack(list(errors)).mean().double()


def flicker(made: Sequence[Tensor], truth: Sequence[Tensor]) -> Tensor:
    """How much more the made frames flicker than the true ones, in 8-bit levels.

    Flicker is the mean absolute difference of each frame from the mean of its two neighbours,
    times two: what a smooth motion has little of. Below 0 where the made frames are smoother.

    Args:
        made, truth: as `difference_error` takes them, T at least 3.

    Returns:
        (), fp64.
    """
    return 255 * (_second_difference(made) - _second_difference(truth)).double()


def _second_difference(frames: Sequence[Tensor]) -> Tensor:
    triples = zip(frames, frames[1:], frames[2:], strict=False)
    changes = [(a.float() - 2 * b.float() + c.float()).abs().mean() for a, b, c in triples]
    return torch.stack(changes).mean()


def _similarity(
    mean_x: Tensor,
    mean_y: Tensor,
    xx: Tensor,
    yy: Tensor,
    xy: Tensor,
    *,
    sample: float = 1,
) -> Tensor:
    """The map of SSIM from local means; `sample` corrects variances for the window's size."""
    variances = sample * ((xx - mean_x.square()) + (yy - mean_y.square()))
    covariance = sample * (xy - mean_x * mean_y)
    similarity = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    return similarity / ((mean_x.square() + mean_y.square() + C1) * (variances + C2))


def _gaussian_mean(volume: Tensor) -> Tensor:
    """(N, C, H, W) -> same, the Gaussian mean over C, H and W; separable, so axis by axis."""
    offsets = torch.arange(WINDOW, dtype=volume.dtype, device=volume.device) - HALF
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2))
    weights = weights / weights.sum()
    for axis in (1, 2, 3):
        size = volume.shape[axis]
        places = torch.arange(-HALF, size + HALF, device=volume.device).clamp(0, size - 1)
        padded = volume.index_select(axis, places)
        volume = weights[HALF] * padded.narrow(axis, HALF, size)
        for k in range(HALF):  # the window is symmetric
            pair = padded.narrow(axis, k, size) + padded.narrow(axis, WINDOW - 1 - k, size)
            volume.addcmul_(pair, weights[k])
    return volume
