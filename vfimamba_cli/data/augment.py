"""Random changes that leave a triplet a triplet: the same for its three pictures.

B samples, P = 3 pictures each, C = 3 channels, H = W.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Augmentation:
    """What is done to each of B samples.

    Attributes:
        switches: (B, 4) of 0 or 1: transpose, mirror left-right, mirror up-down (together all
            flips and quarter turns of a square), and B, G, R instead of R, G, B.
        exposure: (B, 2), gain and gamma, both about 1.
    """

    switches: NDArray[np.float32]
    exposure: NDArray[np.float32]

    @classmethod
    def draw(cls, rngs: Sequence[np.random.Generator]) -> Self:
        """One sample for each generator."""
        return cls(
            switches=np.array([rng.integers(2, size=4) for rng in rngs], np.float32),
            exposure=np.exp([rng.uniform(-0.2, 0.2, 2) for rng in rngs]).astype(np.float32),
        )

    def apply(self, pictures: Tensor) -> Tensor:
        """(B, P, C, H, W) in [0, 1] -> the same shape and range."""
        packed = np.concatenate((self.switches, self.exposure), axis=1)  # one copy for both
        numbers = to_device(packed, pictures.device)[..., None, None, None, None]
        switches, gain, gamma = numbers[:, :4] > 0, numbers[:, 4], numbers[:, 5]
        origins = find_origins(switches[:, :, 0], pictures.shape[-1]).flatten(1)
        flat = pictures.flatten(2)
        moved = flat.gather(2, origins[:, None].expand_as(flat)).view_as(pictures)
        return moved.clamp_(min=1e-4).pow_(gamma).mul_(gain).clamp_(0, 1)


def find_origins(switches: Tensor, side: int) -> Tensor:
    """Where each value comes from when the switches are applied one after another, (B, 3, H, W).

    One pass over the pictures then does what would be one for each switch.

    Args:
        switches: (B, 4, 1, 1, 1), boolean.
        side: H and W.

    Returns:
        Indices into a sample's flattened (3, H, W).
    """
    transposed, left_right, up_down, channels = switches.unbind(1)
    places = torch.arange(side, device=switches.device)
    x = torch.where(left_right, side - 1 - places, places)
    y = torch.where(up_down, side - 1 - places, places).mT
    c = torch.arange(3, device=switches.device)[:, None, None]
    c = torch.where(channels, 2 - c, c)
    across, down = torch.where(transposed, side, 1), torch.where(transposed, 1, side)
    return c * side**2 + (y * down + x * across)


def to_device(values: NDArray[np.float32], device: torch.device) -> Tensor:
    """A copy of `values` on `device` that the host does not wait for."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
