"""How good the network is at the moment: PSNR and SSIM on clips that are not trained on.

N clips of 9 frames, B of them at a time, H x W pixels.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.data.clips import estimate_speed, make_thumbnails
from vfimamba_cli.data.held_out import group_by_size, load_held_out
from vfimamba_cli.metrics import psnr_8bit, round_8bit, ssim_matlab
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.train.precision import Precision

TASKS = {"middle": (0, 4, 8), "step": (0, 1, 2)}
"""Task -> first frame, target, second frame; all of them ask for t = 0.5."""

BANDS = {"small": 4.0, "medium": 16.0, "large": float("inf")}
"""Name -> motion between the two given frames below which a sample belongs there, in pixels."""

AT_ONCE = 8
CLIPS = 40
STRIPS = 6


@dataclass(frozen=True, slots=True)
class ValidationSet:
    """Clips to measure progress on.

    Attributes:
        groups: (N, 9, 3, H, W) uint8 each, of clips of one size.
        speeds: (N,) for each group, typical motion in pixels per frame.
    """

    groups: tuple[Tensor, ...]
    speeds: tuple[Tensor, ...]

    def to(self, device: torch.device) -> "ValidationSet":
        """The same clips on `device`."""
        return ValidationSet(tuple(group.to(device) for group in self.groups), self.speeds)

    def triplets(self, task: str) -> Iterator[tuple[Tensor, Tensor]]:
        """(B, 3, 3, H, W) uint8, first frame, target, second frame; and their motion, (B,)."""
        first, target, second = TASKS[task]
        for clips, speeds in zip(self.groups, self.speeds, strict=True):
            frames = clips[:, [first, target, second]]
            yield from zip(frames.split(AT_ONCE), (speeds * second).split(AT_ONCE), strict=True)


@dataclass(frozen=True, slots=True)
class Findings:
    """What was measured.

    Attributes:
        means: name and unit -> mean over the samples of a task, or of a band of motion.
        strips: (STRIPS at most, H, 4 W, 3) uint8: first frame, made, true, second frame.
    """

    means: dict[str, float]
    strips: tuple[NDArray[np.uint8], ...]

    @property
    def score(self) -> float:
        """What the best weights are chosen by: mean PSNR over the tasks, in dB."""
        return sum(self.means[f"{task}_psnr_db"] for task in TASKS) / len(TASKS)

    def __str__(self) -> str:
        return "PSNR: " + ", ".join(
            f"{name.removesuffix('_psnr_db')} {value:.2f} dB"
            for name, value in self.means.items()
            if name.endswith("_psnr_db")
        )


def load_validation(folder: Path) -> ValidationSet:
    """As `load_held_out`, for `validate`."""
    return prepare(load_held_out(folder, CLIPS))


def prepare(clips: list[Tensor]) -> ValidationSet:
    """(9, 3, H, W) uint8 each, as `validate` takes them."""
    groups = tuple(group_by_size(clips))
    speeds = [[estimate_speed(make_thumbnails(clip)) for clip in group] for group in groups]
    return ValidationSet(groups, tuple(torch.tensor(row) for row in speeds))


@torch.no_grad()
def validate(network: VFIMamba, clips: ValidationSet, precision: Precision) -> Findings:
    """Means per task and per band of motion, each picture rounded to 8 bits for its PSNR."""
    scores: dict[str, list[tuple[float, float]]] = {}
    strips: list[NDArray[np.uint8]] = []
    for task in TASKS:
        for triplets, motion in clips.triplets(task):
            psnr, ssim, made = measure(network, triplets, precision)
            for i, moved in enumerate(motion.tolist()):
                band = next(name for name, limit in BANDS.items() if moved < limit)
                for name in (task, band):
                    scores.setdefault(name, []).append((psnr[i].item(), ssim[i].item()))
            if task == "middle":
                strips += make_strips(triplets, made)
    means: dict[str, float] = {}
    for name in (name for name in (*TASKS, *BANDS) if name in scores):
        psnr_db, ssim_mean = np.mean(scores[name], axis=0).tolist()
        means |= {f"{name}_psnr_db": psnr_db, f"{name}_ssim": ssim_mean}
    chosen = np.linspace(0, len(strips) - 1, min(STRIPS, len(strips))).round().astype(int)
    return Findings(means, tuple(strips[i] for i in chosen))


def measure(
    network: VFIMamba, triplets: Tensor, precision: Precision
) -> tuple[Tensor, Tensor, Tensor]:
    """(B, 3, 3, H, W) uint8 -> PSNR in dB and SSIM, (B,), and the pictures made, (B, 3, H, W)."""
    first, target, second = (triplets / 255).unbind(1)
    half = torch.full((len(triplets),), 0.5, device=triplets.device)
    with precision.autocast():
        picture = network(torch.stack((first, second)), half).picture
    return psnr_8bit(picture, target), ssim_matlab(picture, target), picture


def make_strips(triplets: Tensor, made: Tensor) -> list[NDArray[np.uint8]]:
    """(H, 4 W, 3) of each sample."""
    first, target, second = triplets.unbind(1)
    pictures = (round_8bit(made) * 255).to(torch.uint8)
    rows = torch.cat((first, pictures, target, second), dim=-1)
    return list(rows.permute(0, 2, 3, 1).cpu().numpy())
