"""Where tiles lie, and the two passes that run tile by tile; the result is the whole frame's.

Only what is local is tiled: the convolutional features and the synthesis. Motion and the scans
see the whole frame. A tile is computed with a halo as wide as what it depends on and the halo is
thrown away, so nothing is blended and no seam can be.

F = 2 frames, B batch, C channels, H x W pixels.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from vfimamba_cli.model.interface import Features, InterpolationModel, Motion, Region


@dataclass(frozen=True, slots=True)
class Tile:
    """A part of the frame that is kept, and the larger one it is computed from."""

    inner: Region
    outer: Region


def plan_tiles(height: int, width: int, tile: int, *, halo: int, align: int) -> list[Tile]:
    """Tiles that cover the frame once, row by row.

    Args:
        height, width: of the frame, in pixels, multiples of `align`.
        tile: side of the inner squares, in pixels; rounded up to a multiple of `align`. Those at
            the right and at the bottom may be smaller.
        halo: pixels around them that they depend on, a multiple of `align`; less at the border.
        align: all edges lie on multiples of this.
    """
    if any(size % align for size in (height, width, halo)):
        raise ValueError(f"{height}x{width} with a halo of {halo}: not multiples of {align}")
    side = max(-(-tile // align) * align, align)
    tiles = []
    for top in range(0, height, side):
        for left in range(0, width, side):
            bottom, right = min(top + side, height), min(left + side, width)
            first, start = max(top - halo, 0), max(left - halo, 0)
            outer = Region(
                first, start, min(bottom + halo, height) - first, min(right + halo, width) - start
            )
            tiles.append(Tile(Region(top, left, bottom - top, right - left), outer))
    return tiles


def encode(model: InterpolationModel, frames: Tensor, tile: int | None) -> Features:
    """`model.encode`, its shallow levels tile by tile, or at once if `tile` is None.

    (F, B, 3, H, W) -> levels of (F, B, C, H / 2^i, W / 2^i).
    """
    if tile is None:
        return model.encode(frames)
    height, width = frames.shape[-2:]
    levels: list[Tensor] = []
    for part in plan_tiles(height, width, tile, halo=model.encode_halo, align=model.multiple_of):
        shallow = model.encode_shallow(part.outer.of(frames))
        for i, piece in enumerate(shallow):
            if len(levels) == i:
                shape = (2 * piece.shape[1], piece.shape[2], height >> i, width >> i)
                level = torch.empty(
                    shape,
                    dtype=piece.dtype,
                    device=piece.device,
                    memory_format=torch.channels_last,
                )
                levels.append(level.unflatten(0, (2, -1)))
            kept = part.inner.within(part.outer).of(piece, i)
            part.inner.of(levels[i], i).copy_(kept)
    return (*levels, *model.encode_deep(levels[-1]))


def synthesize(
    model: InterpolationModel,
    frames: Tensor,
    features: Features,
    motion: Motion,
    tile: int | None,
) -> Tensor:
    """`model.synthesize` tile by tile, or at once if `tile` is None: (B, 3, H, W) fp32."""
    if tile is None:
        return model.synthesize(frames, features, motion)
    height, width = frames.shape[-2:]
    picture = torch.empty_like(frames[0], dtype=torch.float32)
    for part in plan_tiles(height, width, tile, halo=model.synthesis_halo, align=model.multiple_of):
        piece = model.synthesize(frames, features, motion, part.outer)
        part.inner.of(picture).copy_(part.inner.within(part.outer).of(piece))
    return picture
