"""A video to time with: the moving texture, under grain, in H.264, the same each time."""

from collections.abc import Iterator
from fractions import Fraction
from math import cos, sin
from pathlib import Path

import numpy as np
import torch

from vfimamba_cli.bench.texture import DISTANCES, MovingTexture
from vfimamba_cli.engine.color import to_planes
from vfimamba_cli.frame import ColorSpec, Frame, Plane
from vfimamba_cli.video.clip import write_clip

RATE = Fraction(24)
COLOR = ColorSpec(matrix="bt709")

RADIUS = DISTANCES[1]
"""Of the circle that the texture moves along, in pixels."""

TURN = 0.4
"""Of it per frame, in radians: about 6 pixels."""

GRAIN = 4
"""Standard deviation of the luma's noise, in codes: a second at 1080p takes 15 Mbit, as of a film
in good quality."""

GRAIN_LIMIT = 15
"""Luma lies between 16 and 235, so that with the grain it still fits its 8 bits."""


def write_footage(path: Path, *, width: int, height: int, frames: int) -> None:
    """Write `frames` pictures of this size, both sides even, to an .mp4 file."""
    write_clip(path, moving_frames(width, height, frames), rate=RATE)


def moving_frames(width: int, height: int, count: int) -> Iterator[Frame]:
    """The texture walks along a circle; the grain is another one in each frame."""
    canvas = MovingTexture(height, width, torch.device("cpu")).canvas[0] / 255
    luma, cb, cr = to_planes(canvas, COLOR)
    rng = np.random.default_rng(0)
    grain = rng.normal(0, GRAIN, luma.shape).round().clip(-GRAIN_LIMIT, GRAIN_LIMIT)
    grain = grain.astype(np.int8).view(np.uint8)  # two's complement: adding it may subtract
    margin = luma.shape[0] - height

    def window(plane: Plane, top: int, left: int, halved: int = 1) -> Plane:
        top, left = top // halved, left // halved
        return plane[top : top + height // halved, left : left + width // halved]

    for index in range(count):
        top, left = (
            margin // 2 + 2 * round(RADIUS / 2 * turn(TURN * index)) for turn in (sin, cos)
        )
        noise = window(grain, *rng.integers(0, margin, 2))
        yield Frame(
            planes=(
                window(luma, top, left) + noise,
                window(cb, top, left, 2),
                window(cr, top, left, 2),
            ),
            pts_seconds=index / RATE,
            duration_seconds=1 / RATE,
            color=COLOR,
        )
