"""Clips that stay on disk until a sample is drawn from them, for sets that no memory holds.

T frames, H x W pixels.
"""

import math
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.data.clips import RESIDENT_SHARE, VIDEO_SUFFIXES, Clip, make_clip
from vfimamba_cli.data.sampling import Shot
from vfimamba_cli.data.vimeo90k import read_triplets
from vfimamba_cli.errors import InputError
from vfimamba_cli.host import host_bytes
from vfimamba_cli.video.clip import read_frames
from vfimamba_cli.video.estimate import extent
from vfimamba_cli.video.still import read_still

FRAME_SUFFIXES = frozenset({".png", ".jpg", ".jpeg"})
VIMEO90K_SIZE = (256, 448)

X_TRAIN_EXPECTED = """X-TRAIN of https://github.com/JihyongOh/XVFI (X4K1000FPS, 240 GB), unpacked:
  DIR/002/occ008.320/0000.png ... 0064.png     4,408 clips of 65 frames at any depth,
  DIR/002/occ008.320.mp4                       or the same as videos
"""

Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class StoredClip:
    """One shot whose frames are read when they are asked for.

    Attributes:
        name: for messages.
        files: a picture each, or one video of all frames.
        length: in frames.
        size: height and width, in pixels.
    """

    name: str
    files: tuple[Path, ...]
    length: int
    size: tuple[int, int]
    speed = 0.0
    is_stored = True

    @property
    def nbytes(self) -> int:
        """Of all frames, decoded."""
        return self.length * math.prod(self.size) * 3

    def change(self, *_: int) -> float:
        """Not known before the frames are read: any place will do."""
        return math.inf

    def pixels(self, frames: Sequence[int]) -> NDArray[np.uint8]:
        """(len(frames), H, W, 3) of these frames, in their order.

        Raises:
            InputError: they cannot be read, or are not of the size that was expected.
        """
        if len(self.files) == 1:
            rising = sorted(set(frames))
            read = read_frames(self.files[0], rising)
            pixels = read[[rising.index(i) for i in frames]]
        else:
            pixels = np.stack([self.picture(i) for i in frames])
        return pixels

    def picture(self, number: int) -> NDArray[np.uint8]:
        """(H, W, 3), from a file of its own."""
        picture = read_still(self.files[number])
        if picture.shape[:2] != self.size:
            height, width = picture.shape[:2]
            raise InputError(
                f"{width} x {height} pixels, not {self.size[1]} x {self.size[0]} as the others: "
                f"{self.files[number]}"
            )
        return picture

    def square(self, frames: Sequence[int], top: int, left: int, side: int) -> Tensor:
        """(len(frames), 3, side, side) uint8, on the host."""
        pixels = self.pixels(frames)[:, top : top + side, left : left + side]
        return torch.from_numpy(np.ascontiguousarray(pixels.transpose(0, 3, 1, 2)))


def find_vimeo90k(folder: Path) -> list[StoredClip]:
    """The triplets of the training list, as clips of three frames.

    Raises:
        InputError: there is no such set; says where to get it.
    """
    triplets = read_triplets(folder, "train")
    return [StoredClip(name, files, 3, VIMEO90K_SIZE) for name, files in triplets.items()]


def find_x_train(folder: Path) -> list[StoredClip]:
    """Every video, and every folder of three pictures or more, at any depth; sorted by name.

    Raises:
        InputError: there is none; says where to get the set.
    """
    frames: dict[Path, list[Path]] = {}
    videos = []
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES:
            videos.append(path)
        elif path.suffix.lower() in FRAME_SUFFIXES:
            frames.setdefault(path.parent, []).append(path)
    groups: list[tuple[Path, tuple[Path, ...]]] = [(path, (path,)) for path in videos]
    groups += [(path, tuple(files)) for path, files in frames.items() if len(files) >= 3]
    found = in_threads(lambda group: measure(folder, *group), sorted(groups))
    clips = [clip for clip in found if min(clip.size)]
    if not clips:
        raise InputError(f"No clips of X-TRAIN: {folder}", hint=X_TRAIN_EXPECTED)
    return clips


def measure(folder: Path, path: Path, files: tuple[Path, ...]) -> StoredClip:
    """A clip by what its first file says of itself; of size 0 if that cannot be opened."""
    length, height, width = extent(files[0])
    name = str(path.relative_to(folder))
    return StoredClip(name, files, len(files) if len(files) > 1 else length, (height, width))


def hold(
    clips: Sequence[StoredClip], device: torch.device, processes: int
) -> tuple[tuple[Shot, ...], tuple[str, ...]]:
    """The clips in the memory of `device` if they fit well, else as they are.

    Args:
        processes: that do so, each on a GPU of its own, or all in the host's memory.

    Returns:
        The clips; and why some were left out, if they were read.
    """
    nbytes = sum(clip.nbytes for clip in clips)
    if nbytes > RESIDENT_SHARE * free_bytes(device, processes):
        return tuple(clips), ()
    held: list[Shot] = []
    skipped = []
    for clip, pixels in zip(clips, in_turn(try_pixels, clips), strict=True):
        if isinstance(pixels, str):
            skipped.append(pixels)
        else:
            held.append(unmeasured(make_clip(clip.name, pixels, device, device)))
    return tuple(held), tuple(skipped)


def try_pixels(clip: StoredClip) -> NDArray[np.uint8] | str:
    """All frames, (T, H, W, 3), or why there are none."""
    try:
        return clip.pixels(range(clip.length))
    except InputError as error:
        return str(error)


def unmeasured(clip: Clip) -> Clip:
    """The same clip drawn from as if it still lay on disk: the memory decides no samples."""
    return replace(clip, speed=0.0)


def free_bytes(device: torch.device, processes: int) -> int:
    """What the frames of a set may come to lie in, in each of `processes`."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    return host_bytes() // processes


def in_threads(work: Callable[[Item], Result], items: Iterable[Item]) -> list[Result]:
    """`work` on each item, on all cores; FFmpeg does not hold the interpreter while it decodes."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(pool.map(work, items))


def in_turn(work: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """As `in_threads`, one result after the other, so that the memory need not hold all."""
    count = os.cpu_count() or 1
    with ThreadPoolExecutor(count) as pool:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * count:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
