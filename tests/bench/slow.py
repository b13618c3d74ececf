"""The published protocols once more: slowly, in NumPy, from the network's four calls on.

Pictures are (H, W, 3) fp64 in [0, 1], R, G, B.
"""

import numpy as np
import torch
import torch.nn.functional as F

from vfimamba_cli.model.interface import Motion


def middle(network, first, second, *, scale, refine_at, local, tta):
    """The frame half-way between two padded ones."""
    if not tta:
        return middle_once(network, first, second, scale, refine_at, local)
    turned = [np.rot90(frame, 2) for frame in (first, second)]
    again = middle_once(network, *turned, scale, refine_at, local)
    return (middle_once(network, first, second, scale, refine_at, local) + np.rot90(again, 2)) / 2


@torch.no_grad()
def middle_once(network, first, second, scale, refine_at, local):
    stack = np.stack((first, second))
    if network.spec.channel_order == "bgr":
        stack = stack[..., ::-1]
    frames = torch.from_numpy(np.ascontiguousarray(stack)).float().permute(0, 3, 1, 2)
    low = frames
    if scale != 1:
        low = F.interpolate(frames, scale_factor=scale, mode="bilinear", align_corners=False)
    frames, low = frames[:, None], low[:, None]
    motion = network.estimate_motion(low, network.encode(low), torch.tensor([0.5]))
    if local and refine_at == "flow":
        motion = network.refine_motion(low, motion)
    flow, mask = motion.flow, motion.mask
    if scale != 1:
        up = {"scale_factor": 1 / scale, "mode": "bilinear", "align_corners": False}
        flow, mask = F.interpolate(flow, **up) / scale, F.interpolate(mask, **up)
    motion = Motion(flow, mask)
    if local and refine_at == "full":
        motion = network.refine_motion(frames, motion)
    made = network.synthesize(frames, network.encode(frames), motion)[0].clamp(0, 1)
    made = made.permute(1, 2, 0).numpy().astype(np.float64)
    return made[..., ::-1] if network.spec.channel_order == "bgr" else made


def pad(frame, multiple):
    """To a multiple, edges repeated, centered; and what undoes it."""
    height, width = frame.shape[:2]
    down, across = -height % multiple, -width % multiple
    top, left = down // 2, across // 2
    padded = np.pad(frame, ((top, down - top), (left, across - left), (0, 0)), mode="edge")
    return padded, (slice(top, top + height), slice(left, left + width))


def triplet(network, first, second, *, multiple, **path):
    first, inside = pad(first, multiple)
    second, _ = pad(second, multiple)
    return middle(network, first, second, **path)[inside]


def eightfold(network, first, last, *, multiple, **path):
    """Seven frames between by three halvings, cut once at the end."""
    first, inside = pad(first, multiple)
    last, _ = pad(last, multiple)
    frames = {0: first, 8: last}
    for step in (4, 2, 1):
        for i in range(step, 8, 2 * step):
            frames[i] = middle(network, frames[i - step], frames[i + step], **path)
    return [frames[i][inside] for i in range(1, 8)]


def to_8bit(picture):
    return np.round(np.clip(picture, 0, 1) * 255) / 255


def halve(picture):
    """Each pixel the mean of four."""
    height, width, _ = picture.shape
    return picture.reshape(height // 2, 2, width // 2, 2, 3).mean((1, 3))


def psnr(a, b):
    return -10 * np.log10(np.mean((a - b) ** 2))


def similarity(mean, a, b, bessel=1):
    x, y = mean(a), mean(b)
    variance_x, variance_y = (bessel * (mean(p * p) - mean(p) ** 2) for p in (a, b))
    covariance = bessel * (mean(a * b) - x * y)
    numerator = (2 * x * y + 0.01**2) * (2 * covariance + 0.03**2)
    return np.mean(numerator / ((x**2 + y**2 + 0.01**2) * (variance_x + variance_y + 0.03**2)))


def ssim_matlab(a, b):
    """An 11 x 11 x 11 window over rows, columns and channels, at once and not axis by axis."""
    bell = np.exp(-((np.arange(11) - 5.0) ** 2) / (2 * 1.5**2))
    bell /= bell.sum()
    window = bell[:, None, None] * bell[:, None] * bell

    def mean(volume):
        padded = np.pad(volume, 5, mode="edge")
        places = np.lib.stride_tricks.sliding_window_view(padded, window.shape)
        return np.einsum("hwcijk,ijk->hwc", places, window)

    return similarity(mean, a, b)


def ssim_uniform(a, b):
    """A flat 7 x 7 window wherever it fits in."""

    def mean(picture):
        windows = np.lib.stride_tricks.sliding_window_view(picture, (7, 7), axis=(0, 1))
        return windows.mean((-2, -1))

    return similarity(mean, a, b, bessel=49 / 48)
