"""What of a decoded clip can be learned from: single shots, without repeated frames.

T frames, H x W pixels.
"""

from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from vfimamba_cli.frame import ColorSpec, Frame
from vfimamba_cli.video.cuts import changes

Pixels = NDArray[np.uint8]

AS_LUMA = ColorSpec(matrix="bt709", full_range=True, subsampling="444")
"""Of pictures whose green stands for their luma."""


def split_shots(pixels: Pixels) -> list[Pixels]:
    """(T, H, W, 3), R, G, B -> its shots, each without the frames that repeat the one before.

    A clip of one shot in which nothing is repeated comes back as it is, uncopied. A triplet
    across a cut has no picture in between, and one with a repeated frame is wrong about time.
    """
    shots: list[list[int]] = []
    for number, (_, change) in enumerate(changes(green_frames(pixels))):
        if change == "cut":
            shots.append([])
        if change != "none":
            shots[-1].append(number)
    if len(shots) == 1 and len(shots[0]) == len(pixels):
        return [pixels]
    return [pixels[numbers] for numbers in shots]


def green_frames(pixels: Pixels) -> Iterator[Frame]:
    """The pictures as `video.cuts` looks at them."""
    return (green_frame(picture) for picture in pixels)


def green_frame(picture: Pixels) -> Frame:
    """(H, W, 3); its time is of no interest there."""
    red, green, blue = np.moveaxis(picture, -1, 0)
    return Frame(
        planes=(green, red, blue),
        pts_seconds=Fraction(0),
        duration_seconds=Fraction(1),
        color=AS_LUMA,
    )
