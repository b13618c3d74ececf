"""Random changes that leave a triplet a triplet: the same for its three pictures.

B samples, P = 3 pictures each, C = 3 channels, H = W.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

SWITCHES: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda pictures: pictures.mT,
    lambda pictures: pictures.flip(-1),
    lambda pictures: pictures.flip(-2),
    lambda pictures: pictures.flip(-3),
)


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
        for bit, switch in enumerate(SWITCHES):
            pictures = torch.where(numbers[:, bit] > 0, switch(pictures), pictures)
        gain, gamma = numbers[:, 4], numbers[:, 5]
        return (pictures.clamp(min=1e-4).pow(gamma) * gain).clamp(0, 1)


def to_device(values: NDArray[np.float32], device: torch.device) -> Tensor:
    """A copy of `values` on `device` that the host does not wait for."""
    tensor = torch.from_numpy(values)
    return tensor.pin_memory().to(device, non_blocking=True) if device.type == "cuda" else tensor
