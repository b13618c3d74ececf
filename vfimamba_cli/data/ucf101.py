"""UCF101 as frame interpolation measures by it: 379 triplets of 256 x 256.

Source: Liu et al., Deep Voxel Flow (arXiv 1702.02463).
"""

from pathlib import Path

from vfimamba_cli.data.measured import StillClip, triplet_clip
from vfimamba_cli.errors import InputError

COUNT = 379
EXPECTED = f"""The UCF101 test triplets of Deep Voxel Flow (https://github.com/liuziwei7/voxel-flow,
ucf101_interp_ours.zip), unpacked, {COUNT} folders:
  DIR/1/frame_00.png, frame_01_gt.png, frame_02.png
"""


def ucf101_clips(folder: Path) -> list[StillClip]:
    """Every triplet, by its folder's name, in the order of their numbers.

    Raises:
        InputError: there is none.
    """
    found = {path.parent for path in folder.glob("*/frame_0*.png")}
    if not found:
        raise InputError(f"No UCF101 triplets: no files {folder}/*/frame_00.png", hint=EXPECTED)
    folders = sorted(found, key=lambda path: (len(path.name), path.name))
    names = ("frame_00.png", "frame_01_gt.png", "frame_02.png")
    return [triplet_clip(path.name, *(path / name for name in names)) for path in folders]
