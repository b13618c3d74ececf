"""Frames to time with: a random smooth texture that moves, as footage does and noise does not.

H x W pixels.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

CELLS = (8, 32, 128)
"""Sizes of the blobs that are added up, in pixels; each is as strong as the others."""

DISTANCES = (4, 16)
"""The texture moves this far between the two frames of a pair, at least and at most, in pixels."""


class MovingTexture:
    """Pairs of frames, a different one for each number, the same each time.

    The texture is kept in 8 bits and a pair is cut from it when asked for: it hardly counts
    towards the memory that is measured.
    """

    def __init__(self, height: int, width: int, device: torch.device) -> None:
        self.height, self.width = height, width
        generator = torch.Generator().manual_seed(0)
        shape = (height + 4 * DISTANCES[1], width + 4 * DISTANCES[1])
        canvas = torch.zeros(1, 3, *shape)
        for cell in CELLS:
            grid = torch.rand(1, 3, *(side // cell + 2 for side in shape), generator=generator)
            canvas += F.interpolate(grid, size=shape, mode="bicubic") / len(CELLS)
        self.canvas = (255 * canvas).round_().clamp_(0, 255).to(torch.uint8).to(device)

    def pair(self, number: int) -> tuple[Tensor, Tensor]:
        """Two (1, 3, H, W) fp32 frames in [0, 1], from the pair's own place, by its own motion."""
        generator = torch.Generator().manual_seed(number)
        least, most = DISTANCES
        distance = least + (most - least) * torch.rand((), generator=generator)
        angle = 2 * torch.pi * torch.rand((), generator=generator)
        down, right = round(float(distance * angle.sin())), round(float(distance * angle.cos()))
        top, left = torch.randint(most, 3 * most + 1, (2,), generator=generator).tolist()
        return self._cut(top, left), self._cut(top + down, left + right)

    def _cut(self, top: int, left: int) -> Tensor:
        part = self.canvas[..., top : top + self.height, left : left + self.width]
        return part.float().contiguous() / 255
