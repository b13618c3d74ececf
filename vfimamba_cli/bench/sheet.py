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

FIRST, TARGET, SECOND = 0, 4, 8
AT_ONCE = 8
ALL = 10**6


@dataclass(frozen=True, slots=True, kw_only=True)
class Sheet:
    """What was made of the hard pairs.

    Attributes:
        picture: (N H, columns W, 3) uint8.
        columns: what each column shows, from the left.
        clips: number of each row's clip, from the top.
        psnr: of the average and of each model, (N,) in dB.
    """

    picture: NDArray[np.uint8]
    columns: tuple[str, ...]
    clips: tuple[int, ...]
    psnr: dict[str, Tensor]

    def to_png(self) -> bytes:
        """The picture as a file."""
        return encode_png(self.picture)

    def table(self) -> str:
        """A line a row, and the five that the last model does worst at."""
        lines = [f"columns: {', '.join(self.columns)}", "PSNR in dB, from the top:"]
        for row, clip in enumerate(self.clips):
            values = ", ".join(f"{name} {psnr[row]:.2f}" for name, psnr in self.psnr.items())
            lines.append(f"  row {row + 1}, clip {clip}: {values}")
        name, last = list(self.psnr.items())[-1]
        worst = last.argsort()[:5].tolist()
        rows = ", ".join(f"row {row + 1} (clip {self.clips[row]})" for row in worst)
        return "\n".join((*lines, f"worst of {name}: {rows}"))


def make_sheet(models: Sequence[str], *, folder: Path, pairs: int, device: str) -> Sheet:
    """Frame 4 from frames 0 and 8 of the hardest clip of each of `pairs` parts of a set.

    Hard is what the average of the two frames is bad at; in parts, so that no scene fills the
    sheet.

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
    first, target, second = (clips[chosen][:, i] / 255 for i in (FIRST, TARGET, SECOND))
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
        clips=tuple(chosen),
        psnr={name: psnr_8bit(pictures, target) for name, pictures in made.items()},
    )


def hardest_of_each_part(clips: Tensor, count: int) -> list[int]:
    """Of as many parts in a row, the clip whose two frames' average is farthest from the truth."""
    ends = clips[:, [FIRST, SECOND]].float().mean(1) / 255
    scores = psnr_8bit(ends, clips[:, TARGET] / 255)
    parts = torch.arange(len(clips)).tensor_split(min(count, len(clips)))
    return [int(part[scores[part].argmin()]) for part in parts]
