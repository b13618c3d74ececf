"""A folder of videos, decoded once and kept in memory.

T frames, H x W pixels, h x w thumbnail pixels.
"""

import math
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.data.shots import Pixels, split_shots
from vfimamba_cli.errors import InputError
from vfimamba_cli.host import host_bytes
from vfimamba_cli.video.clip import read_clip
from vfimamba_cli.video.estimate import decoded_bytes

VIDEO_SUFFIXES = frozenset({".avi", ".m4v", ".mkv", ".mov", ".mp4", ".webm"})
PHOTO_SUFFIXES = frozenset({".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"})
THUMBNAIL_SCALE = 8
SMALLEST_SIDE = 32
"""In pixels; what is smaller has no thumbnail worth the name."""
RESIDENT_SHARE = 0.5
"""Clips stay on the GPU while they take at most this share of its free memory."""


@dataclass(frozen=True, slots=True)
class Clip:
    """One decoded shot, or a photograph (T = 1).

    Attributes:
        name: file name, with the number of the shot where the file holds several.
        frames: (T, 3, H, W) uint8, R, G, B.
        thumbnails: (T, h, w) grey levels at 1 / THUMBNAIL_SCALE of the size, on the host.
        speed: typical motion of what moves, in pixels per frame; a crude figure.
    """

    name: str
    frames: Tensor
    thumbnails: NDArray[np.int16]
    speed: float
    is_stored = False

    @property
    def length(self) -> int:
        """In frames."""
        return len(self.frames)

    @property
    def size(self) -> tuple[int, int]:
        """Height and width, in pixels."""
        height, width = self.frames.shape[-2:]
        return height, width

    @property
    def nbytes(self) -> int:
        """Of all frames."""
        return self.frames.nbytes

    def square(self, frames: Sequence[int], top: int, left: int, side: int) -> Tensor:
        """(len(frames), 3, side, side) uint8, where the frames are kept."""
        ys, xs = slice(top, top + side), slice(left, left + side)
        return torch.stack([self.frames[i, :, ys, xs] for i in frames])

    def change(self, first: int, second: int, top: int, left: int, side: int) -> float:
        """Mean absolute difference of two frames in a square of `side` pixels, in 8-bit levels."""
        return change_within(self.thumbnails, first, second, (top, left, side))


def change_within(
    thumbnails: NDArray[np.int16], first: int, second: int, square: tuple[int, int, int]
) -> float:
    """See `Clip.change`; `square` is top, left and side."""
    top, left, side = square
    ys, xs = (
        slice(start // THUMBNAIL_SCALE, (start + side) // THUMBNAIL_SCALE) for start in (top, left)
    )
    difference = thumbnails[second, ys, xs] - thumbnails[first, ys, xs]
    return float(np.abs(difference).mean()) if difference.size else 0.0


@dataclass(frozen=True, slots=True)
class Footage:
    """All clips of a folder, and what could not be used.

    Attributes:
        clips: sorted by name.
        skipped: one message per file that cannot be used.
        device: where the frames are kept.
    """

    clips: tuple[Clip, ...]
    skipped: tuple[str, ...]
    device: torch.device

    @property
    def nbytes(self) -> int:
        """Of all frames."""
        return sum(clip.nbytes for clip in self.clips)

    @property
    def frame_count(self) -> int:
        """Of all clips together."""
        return sum(clip.length for clip in self.clips)


def load_clips(folder: Path, *, device: torch.device) -> Footage:
    """Decode every video of `folder`; a damaged file among good ones is skipped and named.

    Videos are split where the scene changes, and repeated frames are left out.

    Raises:
        InputError: if no file can be used, or all together are more than the host's memory.
    """
    return load(folder, VIDEO_SUFFIXES, "video", device)


def load_photos(folder: Path, *, device: torch.device) -> Footage:
    """Decode every photograph of `folder`, as clips of one frame.

    Raises:
        InputError: if no file can be used, or all together are more than the host's memory.
    """
    return load(folder, PHOTO_SUFFIXES, "photograph", device)


def load(folder: Path, suffixes: frozenset[str], kind: str, device: torch.device) -> Footage:
    """Decode the files of `folder` that end in one of `suffixes`, on all cores."""
    paths = find_files(folder, suffixes, kind)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        check_memory(folder, kind, sum(pool.map(decoded_bytes, paths)))
        results = dict(zip(paths, pool.map(try_read, paths), strict=True))
    skipped = tuple(result for result in results.values() if isinstance(result, str))
    decoded = {p.name: shots for p, shots in results.items() if not isinstance(shots, str)}
    del results  # the pixels of a clip are freed as soon as it is on its device
    if not decoded:
        raise InputError(
            f"None of the {len(paths)} {kind}s can be used: {folder}\n{skipped[0]}",
            hint=f"Put {kind}s there that play elsewhere, {SMALLEST_SIDE} pixels or more a side",
        )
    home = choose_home(sum(s.nbytes for shots in decoded.values() for s in shots), device)
    clips = [
        make_clip(name_shot(name, i, len(shots)), pixels, device, home)
        for name in sorted(decoded)
        for shots in [decoded.pop(name)]
        for i, pixels in enumerate(shots)
    ]
    return Footage(tuple(clips), skipped, home)


def name_shot(name: str, number: int, count: int) -> str:
    """Of shot `number` from 0 of a file's `count`."""
    return name if count == 1 else f"{name} shot {number + 1}"


def find_files(folder: Path, suffixes: frozenset[str], kind: str) -> Sequence[Path]:
    """The files of `folder` that end in one of `suffixes`, sorted by name."""
    if not folder.is_dir():
        what = "A file, not a folder" if folder.exists() else "No such folder"
        raise InputError(f"{what}: {folder}", hint=f"Name a folder of {kind}s")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in suffixes)
    if not paths:
        raise InputError(
            f"No {kind} in the folder: {folder}", hint=f"Looked for {', '.join(sorted(suffixes))}"
        )
    return paths


def check_memory(folder: Path, kind: str, needed: int) -> None:
    """Refuse what the host cannot hold, before hours of decoding end in a kill."""
    if needed > (available := host_bytes()):
        raise InputError(
            f"The {kind}s decoded take about {needed / 1e9:.1f} GB, and this machine has "
            f"{available / 1e9:.1f} GB of memory: {folder}",
            hint="Use fewer, shorter or smaller ones",
        )


def try_read(path: Path) -> list[Pixels] | str:
    """The pixels of each shot, (T, H, W, 3), or why there are none."""
    try:
        pixels = read_clip(path)
    except InputError as error:
        return str(error)
    height, width = pixels.shape[1:3]
    if min(height, width) < SMALLEST_SIDE:
        return f"Smaller than {SMALLEST_SIDE} pixels: {width} x {height}: {path}"
    return split_shots(pixels)


def choose_home(nbytes: int, device: torch.device) -> torch.device:
    """The training device if `nbytes` fit well into its free memory, else the host."""
    if device.type != "cuda":
        return torch.device("cpu")
    free, _ = torch.cuda.mem_get_info(device)
    return device if nbytes <= RESIDENT_SHARE * free else torch.device("cpu")


def make_clip(
    name: str, pixels: NDArray[np.uint8], device: torch.device, home: torch.device
) -> Clip:
    """Keep `pixels` (T, H, W, 3) planar at `home`; what is measured is measured on `device`."""
    frames = torch.from_numpy(pixels).to(device).permute(0, 3, 1, 2).contiguous()
    thumbnails = make_thumbnails(frames)
    return Clip(
        name=name,
        frames=frames.to(home),
        thumbnails=thumbnails.round().to(torch.int16).cpu().numpy(),
        speed=estimate_speed(thumbnails),
    )


def make_thumbnails(frames: Tensor) -> Tensor:
    """(T, 3, H, W) uint8 -> (T, h, w) mean grey levels of blocks, in [0, 255]."""
    grey = [F.avg_pool2d(part.float(), THUMBNAIL_SCALE).mean(1) for part in frames.split(16)]
    return torch.cat(grey)


def estimate_speed(thumbnails: Tensor) -> float:
    """Typical motion of what moves, in pixels of the full size per frame.

    Median over frame pairs of the 90th percentile of the normal flow |dI/dt| / |grad I|, which
    sorts clips about as a dense optical flow does (correlation of logarithms 0.90 on 233 clips)
    at next to no cost.

    Args:
        thumbnails: (T, h, w), grey levels.
    """
    if len(thumbnails) < 2:
        return 0.0
    over_time = (thumbnails[1:] - thumbnails[:-1])[:, 1:-1, 1:-1].abs()
    dx = (thumbnails[:-1, 1:-1, 2:] - thumbnails[:-1, 1:-1, :-2]) / 2
    dy = (thumbnails[:-1, 2:, 1:-1] - thumbnails[:-1, :-2, 1:-1]) / 2
    flow = over_time / (torch.hypot(dx, dy) + 1)  # + 1 level: flat areas tell nothing
    flow = flow.flatten(1)
    fast = flow.kthvalue(math.ceil(0.9 * flow.shape[1]), dim=1).values
    return THUMBNAIL_SCALE * fast.median().item()
