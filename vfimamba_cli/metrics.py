"""PSNR and SSIM, exactly as the published protocols of frame interpolation compute them.

B batch, C channels, H x W pixels; pictures are (B, C, H, W), values in [0, 1].
"""

import torch
from torch import Tensor
from torch.nn import functional as F

WINDOW = 11
SIGMA = 1.5
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
    moments = _blur(torch.stack((x, y, x * x, y * y, x * y)).flatten(0, 1))
    mean_x, mean_y, xx, yy, xy = moments.view(5, *x.shape).unbind(0)
    variances = (xx - mean_x.square()) + (yy - mean_y.square())
    covariance = xy - mean_x * mean_y
    similarity = (2 * mean_x * mean_y + C1) * (2 * covariance + C2)
    similarity /= (mean_x.square() + mean_y.square() + C1) * (variances + C2)
    return similarity.mean(dim=(1, 2, 3))


def _blur(volume: Tensor) -> Tensor:
    """(N, C, H, W) -> same, the Gaussian mean over C, H and W; separable, so axis by axis."""
    offsets = torch.arange(WINDOW, dtype=volume.dtype, device=volume.device) - WINDOW // 2
    weights = torch.exp(-offsets.square() / (2 * SIGMA**2))
    weights = weights / weights.sum()
    out = F.pad(volume[:, None], (WINDOW // 2,) * 6, mode="replicate")  # (N, 1, C, H, W)
    for axis in (2, 3, 4):
        shape = [1] * 5
        shape[axis] = WINDOW
        out = F.conv3d(out, weights.view(shape))
    return out[:, 0]
