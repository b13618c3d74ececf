"""Planes of codes <-> R'G'B' on the device: matrix, range, bit depth, chroma siting, rounding.

H x W luma samples; h x w chroma samples; C color channels, 4 with alpha. Everything is computed
in fp32, without matrix products, whose precision PyTorch's settings can lower.

The values are those of the source's own transfer function, PQ and HLG too: nothing is made linear,
for the network was trained on codes as they are shown, and there and back nothing is lost.

Chroma goes up by linear interpolation and comes down by that interpolation's dual filter, so that
down(up(chroma)) = chroma exactly: a made frame of a still picture has the source's own chroma and
cannot flicker against it. The filter down is a proper low-pass, not a plain pick of samples.

Source: ITU-T H.273 (matrices, ranges); the biorthogonal spline wavelets of Cohen, Daubechies and
Feauveau (1992), 5/3 for co-sited and 3/1 for centered samples.
"""

from collections.abc import Iterable, Sequence
from functools import cache
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from vfimamba_cli.frame import HALVINGS, ColorSpec, Matrix, Plane, Planes

Weights = tuple[tuple[float, ...], ...]

LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "fcc": (0.30, 0.11),
    "smpte240m": (0.212, 0.087),
}
"""Share of red and of blue in luma; green has the rest."""

OTHER_WEIGHTS: dict[Matrix, Weights] = {
    "ycgco": ((0.25, 0.5, 0.25), (-0.25, 0.5, -0.25), (0.5, 0.0, -0.5)),
    "rgb": ((0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (1.0, 0.0, 0.0)),
}
"""What each plane has of red, of green and of blue, where that is no matter of luma alone."""


def to_rgb(planes: Sequence[Plane], color: ColorSpec, device: torch.device | str) -> Tensor:
    """Decode planes to R'G'B'.

    Args:
        planes: as in `Frame.planes`.
        color: what their codes mean.
        device: where to compute, and where the result lies.

    Returns:
        (C, H, W) fp32, black at 0 and white at 1; alpha, if there is any, last. Codes beyond
        black, white or the most saturated colors, of which camera footage is full, give values a
        little below 0 or above 1: cut off, they would come back changed.
    """
    return decode_codes([torch.tensor(as_signed(plane), device=device) for plane in planes], color)


def to_planes(rgb: Tensor, color: ColorSpec) -> Planes:
    """Encode R'G'B' as planes, rounded to the nearest code; the inverse of `to_rgb`.

    Args:
        rgb: (C, H, W) fp32, nominally in [0, 1]. Alpha that `color` has not is left out, and
            where only `color` has it, all is opaque.
        color: what the codes are to mean.

    Returns:
        Of the shapes of `color.plane_shapes(H, W)`, in `color.dtype`.
    """
    codes = encode_codes(rgb, color).cpu()
    return tuple(part.numpy().view(color.dtype) for part in split(codes, rgb.shape[-2:], color))


def code_dtype(color: ColorSpec) -> torch.dtype:
    """Of codes on a device: few compute with uint16, so these cross as int16 and lose their sign.

    Codes cross as they are, which is the smallest.
    """
    return torch.uint8 if color.bit_depth == 8 else torch.int16


def as_signed(plane: Plane) -> npt.NDArray[Any]:
    """The same memory, in the type that `code_dtype` has for it."""
    return plane if plane.dtype == np.uint8 else plane.view(np.int16)


def split(codes: Tensor, size: Sequence[int], color: ColorSpec) -> list[Tensor]:
    """The planes of a picture of `size` (H, W) that lie one after the other in `codes`."""
    height, width = size
    shapes = color.plane_shapes(height, width)
    parts = codes.split([prod(shape) for shape in shapes])
    return [part.view(shape) for part, shape in zip(parts, shapes, strict=True)]


def decode_codes(planes: Sequence[Tensor], color: ColorSpec) -> Tensor:
    """`to_rgb` for planes that are on the device already, in `code_dtype(color)`."""
    if color.bit_depth == 16:  # the sign bit of int16 is one of theirs
        planes = [plane.int().bitwise_and_(0xFFFF) for plane in planes]
    height, width = planes[0].shape
    rgb = planes[0].new_empty((3 + color.alpha, height, width), dtype=torch.float32)
    if color.alpha:
        *planes, alpha = planes
        torch.mul(alpha, 1 / ((1 << color.bit_depth) - 1), out=rgb[3])
    _, offsets = plane_range(color)
    values = [planes[0] - offsets[0]]
    if len(planes) > 1:
        chroma = torch.stack((planes[1], planes[2])) - offsets[1]
        values += enlarge(chroma, height, width, color).unbind()
    for channel, row in zip(rgb, weights_to_rgb(color), strict=False):
        mix(values, row, channel)
    return rgb


def encode_codes(rgb: Tensor, color: ColorSpec) -> Tensor:
    """`to_planes` for planes that stay on the device, in `code_dtype(color)`, to be `split`."""
    rgb = rgb.float()
    shapes = color.plane_shapes(*rgb.shape[-2:])
    codes = rgb.new_empty(sum(prod(shape) for shape in shapes))
    planes = split(codes, rgb.shape[-2:], color)
    peak = (1 << color.bit_depth) - 1
    if color.alpha:
        alpha = planes.pop()
        torch.mul(rgb[3], peak, out=alpha) if len(rgb) == 4 else alpha.fill_(peak)
    luma_row, *chroma_rows = weights_to_planes(color)
    _, offsets = plane_range(color)
    mix(rgb, luma_row, planes[0])
    planes[0].add_(offsets[0])
    if chroma_rows:
        chroma = rgb.new_empty((2, *rgb.shape[-2:]))
        for plane, row in zip(chroma, chroma_rows, strict=True):
            mix(rgb, row, plane)
        for plane, target in zip(shrink(chroma, color), planes[1:], strict=True):
            torch.add(plane, offsets[1], out=target)
    codes.round_().clamp_(0, peak)
    return (codes.int() if color.bit_depth == 16 else codes).to(code_dtype(color))


def mix(sources: Iterable[Tensor], weights: Sequence[float], out: Tensor) -> None:
    """Write the weighted sum of some planes to `out`."""
    (first, weight), *others = [
        (source, weight) for source, weight in zip(sources, weights, strict=False) if weight
    ]
    torch.mul(first, weight, out=out)
    for source, weight in others:
        out.add_(source, alpha=weight)


@cache
def plane_range(color: ColorSpec) -> tuple[npt.NDArray[np.float64], tuple[float, float]]:
    """Codes that one unit takes in each plane but alpha; the code of 0 in luma and in chroma."""
    neutral = float(1 << (color.bit_depth - 1))
    step = float(1 << (color.bit_depth - 8))
    full = float((1 << color.bit_depth) - 1)
    luma, chroma = (full, full) if color.full_range else (219 * step, 224 * step)
    black = 0.0 if color.full_range else 16 * step
    if color.matrix == "rgb":
        chroma, neutral = luma, black
    planes = [luma] if color.subsampling == "400" else [luma, chroma, chroma]
    return np.array(planes), (black, neutral)


@cache
def weights_to_planes(color: ColorSpec) -> Weights:
    """What a code of each plane but alpha has of red, of green and of blue, its offset aside."""
    scales, _ = plane_range(color)
    return _as_weights(scales[:, None] * _matrix(color.matrix)[: len(scales)])


@cache
def weights_to_rgb(color: ColorSpec) -> Weights:
    """What red, green and blue have of each plane but alpha, its offset taken off."""
    scales, _ = plane_range(color)
    if color.subsampling == "400":
        return ((1 / float(scales[0]),),) * 3
    return _as_weights(np.linalg.inv(_matrix(color.matrix)) / scales)


def _as_weights(matrix: npt.NDArray[np.float64]) -> Weights:
    small = 1e-12 * np.abs(matrix).max()  # what inverting leaves of a zero
    return tuple(tuple(float(x) if abs(x) > small else 0.0 for x in row) for row in matrix)


def _matrix(name: Matrix) -> npt.NDArray[np.float64]:
    """(3, 3): planes of unit range from R'G'B'."""
    if name in OTHER_WEIGHTS:
        return np.array(OTHER_WEIGHTS[name])
    red, blue = LUMA_WEIGHTS[name]
    luma = np.array((red, 1 - red - blue, blue))
    cb = (np.array((0, 0, 1)) - luma) / (2 * (1 - blue))
    cr = (np.array((1, 0, 0)) - luma) / (2 * (1 - red))
    return np.stack((luma, cb, cr))


def enlarge(chroma: Tensor, height: int, width: int, color: ColorSpec) -> Tensor:
    """(2, h, w) -> (2, H, W), where its location says that its samples lie."""
    down, across = HALVINGS[color.subsampling]
    for halvings in reversed(range(down)):
        centered = color.chroma_location != "topleft"
        chroma = _up(chroma, -(-height >> halvings), axis=-2, centered=centered)
    for halvings in reversed(range(across)):
        centered = color.chroma_location == "center"
        chroma = _up(chroma, -(-width >> halvings), axis=-1, centered=centered)
    return chroma


def shrink(chroma: Tensor, color: ColorSpec) -> Tensor:
    """(2, H, W) -> (2, h, w), so that `shrink(enlarge(chroma)) == chroma`."""
    down, across = HALVINGS[color.subsampling]
    for _ in range(across):
        chroma = _down(chroma, axis=-1, centered=color.chroma_location == "center")
    for _ in range(down):
        chroma = _down(chroma, axis=-2, centered=color.chroma_location != "topleft")
    return chroma


def _up(x: Tensor, length: int, *, axis: int, centered: bool) -> Tensor:
    """Double an axis by linear interpolation and cut it to `length`.

    Centered samples lie in the middle of the pair that they stand for, co-sited ones on its first.
    """
    count, odd_count = x.shape[axis], length - x.shape[axis]
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, count - 1, 1)
    shape = list(x.shape)
    shape[axis] = length
    out = x.new_empty(shape)
    even, odd = out.movedim(axis, -1)[..., 0::2], out.movedim(axis, -1)[..., 1::2]
    after = torch.cat((x, last), dim=axis).movedim(axis, -1)[..., 1 : odd_count + 1]
    here = x.movedim(axis, -1)
    if centered:
        before = torch.cat((first, x), dim=axis).movedim(axis, -1)[..., :count]
        torch.lerp(before, here, 0.75, out=even)
        torch.lerp(after, here[..., :odd_count], 0.75, out=odd)
    else:
        even.copy_(here)
        torch.lerp(here[..., :odd_count], after, 0.5, out=odd)
    return out


def _down(x: Tensor, *, axis: int, centered: bool) -> Tensor:
    """Halve an axis so that `_down(_up(c)) == c`, at the borders and for odd lengths too."""
    length = x.shape[axis]
    first, last = x.narrow(axis, 0, 1), x.narrow(axis, length - 1, 1)
    end = last
    if length % 2 and length > 1 and centered:
        # The sample that `_up` cut off lies half a step on.
        end = torch.lerp(x.narrow(axis, length - 2, 1), last, 1.5)
    more = [end] * (length % 2 + 1)
    if centered:
        x = torch.cat((first, x, *more), dim=axis).movedim(axis, -1)
        inner = x[..., 1:-1:2] + x[..., 2::2]
        outer = x[..., :-2:2] + x[..., 3::2]
        half = inner.mul_(0.75).sub_(outer, alpha=0.25)
    else:
        x = torch.cat((first, first, x, *more), dim=axis).movedim(axis, -1)
        near = x[..., 1:-2:2] + x[..., 3::2]
        far = x[..., :-4:2] + x[..., 4::2]
        half = near.mul_(0.25).add_(x[..., 2:-1:2], alpha=0.75).sub_(far, alpha=0.125)
    return half.movedim(-1, axis)
