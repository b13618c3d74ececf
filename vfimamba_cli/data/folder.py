"""Any folder of triplets, of image sequences, or of videos of a high frame rate, to measure by."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from vfimamba_cli.data.clips import PHOTO_SUFFIXES, VIDEO_SUFFIXES
from vfimamba_cli.data.measured import DecodedClip, Picture, StillClip, triplet_clip
from vfimamba_cli.errors import InputError
from vfimamba_cli.video.clip import decode_pictures

STRIDE = 8
LENGTH = STRIDE + 1
"""Sequences and videos are cut into clips of nine frames, which share their ends."""

EXPECTED = f"""At any depth below DIR, one or more of
  TRIPLET/    a folder of three images: first frame, the one in the middle, second frame
  SEQUENCE/   a folder of {LENGTH} or more images of one size, evenly timed
  NAME.mp4    a video of {LENGTH} or more frames, best of a high frame rate
images: {" ".join(sorted(PHOTO_SUFFIXES))}, in the order of their names
videos: {" ".join(sorted(VIDEO_SUFFIXES))}
"""


def triplet_folders(folder: Path) -> list[StillClip]:
    """Folders of three images.

    Raises:
        InputError: as `image_folders`.
    """
    found = image_folders(folder).items()
    return [triplet_clip(name, *files) for name, files in found if len(files) == 3]


def sequence_clips(folder: Path) -> Iterator[StillClip | DecodedClip]:
    """Sequences, then videos, in clips of nine frames; videos are decoded as one gets to them.

    Raises:
        InputError: as `image_folders`; or a video is too short, or cannot be decoded.
    """
    for name, files in image_folders(folder).items():
        for start in range(0, len(files) - STRIDE if len(files) > 3 else 0, STRIDE):
            yield StillClip(f"{name}/{start}", dict(enumerate(files[start : start + LENGTH])))
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in VIDEO_SUFFIXES and path.is_file():
            yield from video_clips(path, path.relative_to(folder).as_posix())


def video_clips(path: Path, name: str) -> Iterator[DecodedClip]:
    """Clips of nine frames, each from the last one of that before; what is left over is not used.

    Raises:
        InputError: it has fewer than nine frames, or cannot be decoded.
    """
    frames: list[Picture] = []
    count = 0
    for count, picture in enumerate(decode_pictures(path), 1):
        frames.append(picture)
        if len(frames) == LENGTH:
            yield DecodedClip(f"{name}/{count - LENGTH}", np.stack(frames))
            frames = [picture]
    if count < LENGTH:
        raise InputError(f"Has {count} frames, {LENGTH} or more are needed: {path}")


def image_folders(folder: Path) -> dict[str, list[Path]]:
    """The images of each folder below `folder`, by its path from there.

    Raises:
        InputError: a folder holds too many images for a triplet, too few for a sequence.
    """
    images: dict[Path, list[Path]] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in PHOTO_SUFFIXES and path.is_file():
            images.setdefault(path.parent, []).append(path)
    for parent, files in images.items():
        if len(files) != 3 and len(files) < LENGTH:
            raise InputError(
                f"Holds {len(files)} images, where 3 make a triplet and {LENGTH} or more "
                f"a sequence: {parent}",
                hint=EXPECTED,
            )
    return {
        parent.name if parent == folder else parent.relative_to(folder).as_posix(): files
        for parent, files in images.items()
    }
