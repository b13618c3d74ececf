"""DAVIS-7: 355 clips of nine frames with real motion, 256 x 256, to measure progress on.

Source: VIDIM (arXiv 2404.01203), whose evaluation uses these clips.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from vfimamba_cli.data.measured import DecodedClip
from vfimamba_cli.errors import InputError
from vfimamba_cli.video.clip import read_clip

FILE = "vidim_davis7.mp4"
COUNT = 355
CLIP_LENGTH = 9
EXPECTED = f"""Clips of https://vidim-interpolation.github.io, made from DAVIS (research use only):
  DIR/{FILE}: {COUNT} clips of {CLIP_LENGTH} frames, 256x256, one after the other
"""


def find_davis7(folder: Path) -> Path:
    """The file of all clips.

    Raises:
        InputError: it is not there; says where to get it.
    """
    path = folder / FILE
    if not path.is_file():
        raise InputError(f"No DAVIS-7 clips: no such file: {path}", hint=EXPECTED)
    return path


def read_davis7(path: Path) -> NDArray[np.uint8]:
    """(clips, 9, H, W, 3), R, G, B.

    Raises:
        InputError: it cannot be decoded, or is not a number of whole clips.
    """
    frames = read_clip(path)
    if len(frames) % CLIP_LENGTH:
        raise InputError(f"Holds {len(frames)} frames, no multiple of {CLIP_LENGTH}: {path}")
    return frames.reshape(-1, CLIP_LENGTH, *frames.shape[1:])


def davis7_clips(folder: Path) -> list[DecodedClip]:
    """Every clip, by its number from 000 on.

    Raises:
        InputError: as `find_davis7` and `read_davis7`.
    """
    clips = read_davis7(find_davis7(folder))
    return [DecodedClip(f"{number:03}", frames) for number, frames in enumerate(clips)]


def spread(clips: NDArray[np.uint8], count: int) -> NDArray[np.uint8]:
    """`count` of the clips, or all if they are fewer, spread evenly over the set."""
    return clips[np.linspace(0, len(clips) - 1, min(count, len(clips))).round().astype(int)]
