"""What a training step is fed: two frames, the true picture between them, and when it was."""

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class TripletBatch:
    """B samples on the training device.

    Attributes:
        frames: (F, B, 3, H, W), F = 2, in [0, 1].
        target: (B, 3, H, W), in [0, 1].
        t: (B,), when the target was taken: 0 at frame 0, 1 at frame 1.
        origins: where each sample came from, for messages.
    """

    frames: Tensor
    target: Tensor
    t: Tensor
    origins: tuple[str, ...]
