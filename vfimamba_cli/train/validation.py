"""How good the network is at the moment: PSNR on two tasks of DAVIS-7.

N clips of 9 frames, B of them at a time.
"""

import torch
from torch import Tensor

from vfimamba_cli.metrics import psnr_8bit
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.train.precision import Precision

TASKS = {"middle": (0, 4, 8), "step": (0, 1, 2)}
"""Task -> first frame, target, second frame; all of them ask for t = 0.5."""
AT_ONCE = 8


@torch.no_grad()
def validate(network: VFIMamba, clips: Tensor, precision: Precision) -> dict[str, float]:
    """Mean PSNR in dB per task, each picture rounded to 8 bits first.

    Args:
        clips: (N, 9, 3, H, W) uint8, on the network's device.
    """
    means = {}
    for task, frames in TASKS.items():
        parts = [
            measure(network, part[:, list(frames)], precision) for part in clips.split(AT_ONCE)
        ]
        means[f"{task}_psnr_db"] = torch.cat(parts).mean().item()
    return means


def measure(network: VFIMamba, triplets: Tensor, precision: Precision) -> Tensor:
    """(B, 3, 3, H, W) uint8, first frame, target, second frame -> PSNR in dB, (B,)."""
    first, target, second = (triplets / 255).unbind(1)
    half = torch.full((len(triplets),), 0.5, device=triplets.device)
    with precision.autocast():
        picture = network(torch.stack((first, second)), half).picture
    return psnr_8bit(picture, target)
