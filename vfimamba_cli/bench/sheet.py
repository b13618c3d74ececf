"""Hard pairs, made by several models, beside one another as a picture to look at.

N pairs of H x W pixels.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.data.held_out import group_by_size, load_held_out
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.metrics import psnr_8bit, round_8bit
from vfimamba_cli.video.still import encode_png

TASKS = ((0, 4, 8), (0, 1, 2))
"""First frame, the one to make, second frame: rows take turns."""

AT_ONCE = 8
ALL = 10**6


@dataclass(frozen=True, slots=True)
class Pair:
    """Two frames of a clip and the one between them, by their numbers from 0."""

    clip: int
    frames: tuple[int, int, int]

    def __str__(self) -> str:
        first, target, second = self.frames
        return f"clip {self.clip}, frame {target} from {first} and {second}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What was made of the hard pairs.

    Attributes:
        picture: (N H, columns W, 3) uint8.
        columns: what each column shows, from the left.
        pairs: of each row, from the top.
        psnr: of the average and of each model, (N,) in dB.
    """

    picture: NDArray[np.uint8]
    columns: tuple[str, ...]
    pairs: tuple[Pair, ...]
    psnr: dict[str, Tensor]

    def to_png(self) -> bytes:
        """The picture as a file."""
        return encode_png(self.picture)

    def table(self) -> str:
        """A line a row, and the five that the last model does worst at."""
        lines = [f"columns: {', '.join(self.columns)}", "PSNR in dB, from the top:"]
        for row, pair in enumerate(self.pairs):
            values = ", ".join(f"{name} {psnr[row]:.2f}" for name, psnr in self.psnr.items())
            lines.append(f"  row {row + 1}, {pair}: {values}")
        name, last = list(self.psnr.items())[-1]
        worst = last.argsort()[:5].tolist()
        rows = "; ".join(f"row {row + 1} ({self.pairs[row]})" for row in worst)
        return "\n".join((*lines, f"worst of {name}: {rows}"))


def make_sheet(models: Sequence[str], *, folder: Path, pairs: int, device: str) -> Sheet:
    """The hardest pair of each of `pairs` parts of a set.

    Hard is what the average of the two frames is bad at; in parts, so that no scene fills the
    sheet, and in turns of frames that lie far apart and close together.

    Args:
        models: names, paths or Hub IDs.
        folder: of the DAVIS-7 file or of videos.

    Raises:
        InputError: no clips there.
        CheckpointError, DeviceError: a model cannot be had, or cannot run here.
    """
    engines = {name: Interpolator(load_model(name), device=device) for name in models}
    clips = max(group_by_size(load_held_out(folder, ALL)), key=len)
    chosen = hardest_of_each_part(clips, pairs)
    first, target, second = (
        torch.stack([clips[pair.clip, pair.frames[i]] for pair in chosen]) / 255 for i in range(3)
    )
    made = {"average": (first + second) / 2}
    for name, engine in engines.items():
        parts = [
            engine.interpolate(a, b, [Fraction(1, 2)])[0].cpu()
            for a, b in zip(first.split(AT_ONCE), second.split(AT_ONCE), strict=True)
        ]
        made[name] = torch.cat(parts)
    columns = {"first frame": first, **made, "truth": target, "second frame": second}
    levels = [(round_8bit(pictures) * 255).to(torch.uint8) for pictures in columns.values()]
    rows = torch.cat(levels, dim=-1).permute(0, 2, 3, 1).flatten(0, 1)
    return Sheet(
        picture=rows.numpy(),
        columns=tuple(columns),
        pairs=tuple(chosen),
        psnr={name: psnr_8bit(pictures, target) for name, pictures in made.items()},
    )


def hardest_of_each_part(clips: Tensor, count: int) -> list[Pair]:
    """Of as many parts in a row, the clip whose two frames' average is farthest from the truth."""
    scores = []
    for first, target, second in TASKS:
        average = clips[:, [first, second]].float().mean(1) / 255
        scores.append(psnr_8bit(average, clips[:, target] / 255))
    parts = torch.arange(len(clips)).tensor_split(min(count, len(clips)))
    return [
        Pair(int(part[scores[i % len(TASKS)][part].argmin()]), TASKS[i % len(TASKS)])
        for i, part in enumerate(parts)
    ]
