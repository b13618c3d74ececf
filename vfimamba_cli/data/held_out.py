"""Clips to judge a network by, which it is not trained on.

H x W pixels.
"""

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from vfimamba_cli.data.clips import Clip, load_clips
from vfimamba_cli.data.davis7 import CLIP_LENGTH, FILE, read_davis7, spread
from vfimamba_cli.errors import InputError


def load_held_out(folder: Path, most: int) -> list[Tensor]:
    """The DAVIS-7 clips in `folder`, or else nine frames of each of its videos; `most` of them.

    Returns:
        (9, 3, H, W) uint8 each, spread evenly over what there is; multiples of 16 pixels.

    Raises:
        InputError: there is neither, or no video of nine frames.
    """
    if (folder / FILE).is_file():
        clips = spread(read_davis7(folder / FILE), most)
        return list(torch.from_numpy(clips).permute(0, 1, 4, 2, 3).contiguous())
    footage = load_clips(folder, device=torch.device("cpu"))
    cut = [middle_of(clip) for clip in footage.clips if clip.length >= CLIP_LENGTH]
    if not cut:
        raise InputError(
            f"No video of {CLIP_LENGTH} frames or more to judge by: {folder}",
            hint=f"Name a folder of longer videos, or of {FILE}",
        )
    chosen = np.linspace(0, len(cut) - 1, min(most, len(cut))).round().astype(int)
    return [cut[i] for i in chosen]


def middle_of(clip: Clip) -> Tensor:
    """(9, 3, H, W) uint8: the frames in the middle, cut to multiples of 16 round their center."""
    start = (clip.length - CLIP_LENGTH) // 2
    height, width = (side // 16 * 16 for side in clip.size)
    top, left = (clip.size[0] - height) // 2, (clip.size[1] - width) // 2
    part = clip.frames[start : start + CLIP_LENGTH]
    return part[..., top : top + height, left : left + width]


def group_by_size(clips: list[Tensor]) -> list[Tensor]:
    """(N, 9, 3, H, W) of each size, in the order of their first clips."""
    sizes: dict[torch.Size, list[Tensor]] = {}
    for clip in clips:
        sizes.setdefault(clip.shape, []).append(clip)
    return [torch.stack(group) for group in sizes.values()]
