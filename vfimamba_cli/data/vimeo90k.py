"""Vimeo90K: triplets of 448 x 256 frames with small motion, to train on and to measure by.

Source: Xue et al., Video Enhancement with Task-Oriented Flow (IJCV 2019); the triplet set.
"""

from pathlib import Path
from typing import Literal

from vfimamba_cli.errors import InputError

Split = Literal["train", "test"]

LISTS: dict[Split, str] = {"train": "tri_trainlist.txt", "test": "tri_testlist.txt"}

EXPECTED = """The triplet set of http://toflow.csail.mit.edu (vimeo_triplet.zip, 33 GB), unpacked:
  DIR/tri_testlist.txt, tri_trainlist.txt    one NNNNN/NNNN a line
  DIR/sequences/00001/0001/im1.png, im2.png, im3.png
"""

Triplet = tuple[Path, Path, Path]
"""First frame, the one in the middle, second frame."""


def read_triplets(folder: Path, split: Split) -> dict[str, Triplet]:
    """The files of a split by their sequence's name, as `00001/0266`, in the order of its list.

    Whether the files exist is not asked: there are 220,000.

    Raises:
        InputError: there is no list, or it names nothing.
    """
    path = folder / LISTS[split]
    try:
        lines = path.read_text(encoding="utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"No Vimeo90K: cannot read its list: {path}", hint=EXPECTED) from error
    if not lines:
        raise InputError(f"The list names no triplet: {path}", hint=EXPECTED)
    sequences = folder / "sequences"
    return {name: triplet(sequences / name) for name in lines}


def triplet(folder: Path) -> Triplet:
    """The three files of one sequence."""
    return folder / "im1.png", folder / "im2.png", folder / "im3.png"
