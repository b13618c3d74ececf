"""How far things move between two frames: a crude figure, good for sorting clips.

H x W pixels, h x w of the reduced grey pictures.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

WIDTH = 96
"""Of the pictures that are searched, in pixels: one is about 1 % of the frame's width."""

REACH = 12
BLOCK = 8
CROWDED = 0.95
"""Share of the blocks that move less than the figure."""

STILL = 0.02
"""Favors the nearer of two places that match as well, per pixel, in 8-bit levels: flat areas stay
where they are."""

BANDS = ((0, 1), (1, 3), (3, 8), (8, 100))
"""From and to, in % of the width."""


def motion_percent(first: NDArray[np.uint8], second: NDArray[np.uint8]) -> float:
    """95th percentile of the blocks' displacements, in % of the frame's width.

    Each block of 8 x 8 pixels, of grey pictures 96 pixels wide, is looked for up to 12 pixels
    around: 12.5 % and a bit by the diagonal is the most that can be found.

    Args:
        first, second: (H, W, 3) uint8, on the host.
    """
    here, there = reduced(first), reduced(second)
    size = here.shape[-2:]
    there = F.pad(there[None], (REACH,) * 4, mode="replicate")[0, 0]
    moved = there.unfold(0, size[0], 1).unfold(1, size[1], 1)  # (2 R + 1, 2 R + 1, h, w)
    offsets = torch.arange(-REACH, REACH + 1).float()
    distances = torch.hypot(offsets[:, None], offsets)
    costs = F.avg_pool2d((moved - here[0]).abs(), BLOCK) + STILL * distances[..., None, None]
    best = costs.flatten(0, 1).flatten(1).argmin(0)
    return 100 / WIDTH * distances.flatten()[best].quantile(CROWDED).item()


def reduced(picture: NDArray[np.uint8]) -> Tensor:
    """Grey levels of it, 96 pixels wide: (1, h, w)."""
    height, width = picture.shape[:2]
    red, green, blue = picture.transpose(2, 0, 1)
    levels = red.astype(np.int16) + green + blue  # a ninth of the time of a mean in floats
    grey = torch.from_numpy(levels).float() / 3
    size = max(BLOCK, round(height * WIDTH / width)), WIDTH
    return F.interpolate(grey[None, None], size, mode="area")[0]


def band_of(percent: float) -> str:
    """The band's name, as `1-3 %`."""
    low, high = next((low, high) for low, high in reversed(BANDS) if percent >= low)
    return f"over {low} %" if high == BANDS[-1][1] else f"{low}-{high} %"
