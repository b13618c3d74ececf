"""The clips progress is measured on."""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vfimamba_cli.errors import InputError
from vfimamba_cli.video.clip import read_clip

DAVIS7_FILE = "vidim_davis7.mp4"
DAVIS7_LENGTH = 9


def load_davis7(folder: Path, *, clips: int) -> Tensor:
    """`clips` of DAVIS-7's clips of nine frames, spread evenly over the set.

    Returns:
        (clips, 9, 3, H, W) uint8, R, G, B, on the host.

    Raises:
        InputError: if the file is missing, damaged, or does not hold whole clips.

    Source: VIDIM (arXiv 2404.01203), whose evaluation uses these clips.
    """
    path = folder / DAVIS7_FILE
    if not path.is_file():
        raise InputError(f"No such file: {path}", hint=f"--val takes the folder of {DAVIS7_FILE}")
    pixels = read_clip(path)
    count, rest = divmod(len(pixels), DAVIS7_LENGTH)
    if rest:
        raise InputError(f"{len(pixels)} frames are not clips of {DAVIS7_LENGTH}: {path}")
    whole = pixels.reshape(count, DAVIS7_LENGTH, *pixels.shape[1:])
    chosen = np.linspace(0, count - 1, min(clips, count)).round().astype(int)
    return torch.from_numpy(whole[chosen]).permute(0, 1, 4, 2, 3).contiguous()
