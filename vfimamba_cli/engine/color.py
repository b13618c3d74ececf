"""Planes of codes <-> R'G'B' on the device: matrix, range, bit depth, chroma siting, rounding.

H x W luma samples; h x w chroma samples. Everything is computed in fp32.

Chroma goes up by linear interpolation and comes down by that interpolation's dual filter, so that
down(up(chroma)) = chroma exactly: a made frame of a still picture has the source's own chroma and
cannot flicker against it. The filter down is a proper low-pass, not a plain pick of samples.

Source: ITU-T H.273 (matrices, ranges); the biorthogonal spline wavelets of Cohen, Daubechies and
Feauveau (1992), 5/3 for co-sited and 3/1 for centered samples.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from vfimamba_cli.frame import ColorSpec, Matrix, Plane

LUMA_WEIGHTS: dict[Matrix, tuple[float, float]] = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
}
"""Share of red and of blue in luma; green has the rest."""


def to_rgb(planes: Sequence[Plane], color: ColorSpec, device: torch.device | str) -> Tensor:
    """Decode planes to R'G'B'.

    Args:
        planes: Y' (H, W), Cb and Cr (h, w), as in `Frame.planes`.
        color: what their codes mean.
        device: where to compute, and where the result lies.

    Returns:
        (3, H, W) fp32, black at 0 and white at 1. Codes beyond black, white or the most saturated
        colors, of which camera footage is full, give values a little below 0 or above 1: cut off,
        they would come back changed.
    """
    return decode_codes([torch.tensor(as_signed(plane), device=device) for plane in planes], color)


def to_planes(rgb: Tensor, color: ColorSpec) -> tuple[Plane, Plane, Plane]:
    """Encode R'G'B' as planes, rounded to the nearest code; the inverse of `to_rgb`.

    Args:
        rgb: (3, H, W) fp32, nominally in [0, 1].
        color: what the codes are to mean.

    Returns:
        Y' (H, W), Cb and Cr (h, w), in `color.dtype`.
    """
    luma, cb, cr = (codes.cpu().numpy().view(color.dtype) for codes in encode_codes(rgb, color))
    return luma, cb, cr


def code_dtype(color: ColorSpec) -> torch.dtype:
    """Of codes on a device: few compute with uint16, so these cross as int16 and lose their sign.

    Codes cross as they are, which is the smallest.
    """
    return torch.uint8 if color.bit_depth == 8 else torch.int16


def as_signed(plane: Plane) -> npt.NDArray[Any]:
    """The same memory, in the type that `code_dtype` has for it."""
    return plane if plane.dtype == np.uint8 else plane.view(np.int16)


def decode_codes(planes: Sequence[Tensor], color: ColorSpec) -> Tensor:
    """`to_rgb` for planes that are on the device already, in `code_dtype(color)`."""
    luma, cb, cr = (_unsigned(plane).float() for plane in planes)
    height, width = luma.shape
    scale, black, chroma_scale, neutral = _code_range(color)
    chroma = torch.stack((cb, cr)).sub_(neutral).div_(chroma_scale)
    if color.subsampling == "420":
        centered = color.chroma_location != "topleft"
        chroma = _up(chroma.mT, height, centered=centered).mT
    if color.subsampling != "444":
        chroma = _up(chroma, width, centered=color.chroma_location == "center")
    luma = luma.sub_(black).div_(scale)
    cb, cr = chroma
    red_weight, blue_weight = LUMA_WEIGHTS[color.matrix]
    green_weight = 1 - red_weight - blue_weight
    red = luma + 2 * (1 - red_weight) * cr
    blue = luma + 2 * (1 - blue_weight) * cb
    green = (luma - red_weight * red - blue_weight * blue) / green_weight
    return torch.stack((red, green, blue))


def encode_codes(rgb: Tensor, color: ColorSpec) -> tuple[Tensor, Tensor, Tensor]:
    """`to_planes` for planes that stay on the device, in `code_dtype(color)`."""
    red, green, blue = rgb.float()
    red_weight, blue_weight = LUMA_WEIGHTS[color.matrix]
    luma = red_weight * red + (1 - red_weight - blue_weight) * green + blue_weight * blue
    chroma = torch.stack(
        ((blue - luma) / (2 * (1 - blue_weight)), (red - luma) / (2 * (1 - red_weight)))
    )
    if color.subsampling != "444":
        chroma = _down(chroma, centered=color.chroma_location == "center")
    if color.subsampling == "420":
        chroma = _down(chroma.mT, centered=color.chroma_location != "topleft").mT
    scale, black, chroma_scale, neutral = _code_range(color)
    cb, cr = chroma.mul_(chroma_scale).add_(neutral)
    return (
        _rounded(luma.mul_(scale).add_(black), color),
        _rounded(cb, color),
        _rounded(cr, color),
    )


def _code_range(color: ColorSpec) -> tuple[float, float, float, float]:
    """Codes from black to white, the code of black, codes from -0.5 to 0.5 of chroma, and of 0."""
    neutral = float(1 << (color.bit_depth - 1))
    if color.full_range:
        scale = float((1 << color.bit_depth) - 1)
        return scale, 0.0, scale, neutral
    step = float(1 << (color.bit_depth - 8))
    return 219 * step, 16 * step, 224 * step, neutral


def _up(x: Tensor, length: int, *, centered: bool) -> Tensor:
    """Double the last axis by linear interpolation and cut it to `length`.

    Centered samples lie in the middle of the pair that they stand for, co-sited ones on its first.
    """
    padded = F.pad(x, (1, 1), mode="replicate")
    before, after = padded[..., :-2], padded[..., 2:]
    if centered:
        even, odd = torch.lerp(before, x, 0.75), torch.lerp(after, x, 0.75)
    else:
        even, odd = x, torch.lerp(x, after, 0.5)
    return torch.stack((even, odd), dim=-1).flatten(-2)[..., :length]


def _down(x: Tensor, *, centered: bool) -> Tensor:
    """Halve the last axis so that `_down(_up(c)) == c`, at the borders and for odd lengths too."""
    if x.shape[-1] % 2 and x.shape[-1] > 1:
        # The sample that `_up` cut off: half a step on where centered, the same one otherwise.
        last, before = x[..., -1:], x[..., -2:-1]
        x = torch.cat((x, last + 0.5 * (last - before) if centered else last), dim=-1)
    elif x.shape[-1] == 1:
        x = torch.cat((x, x), dim=-1)
    if centered:
        x = F.pad(x, (1, 1), mode="replicate")
        outer = x[..., :-2:2] + x[..., 3::2]
        inner = x[..., 1:-1:2] + x[..., 2::2]
        return 0.75 * inner - 0.25 * outer
    x = F.pad(x, (2, 1), mode="replicate")
    middle = x[..., 2:-1:2]
    near = x[..., 1:-2:2] + x[..., 3::2]
    far = x[..., :-4:2] + x[..., 4::2]
    return 0.75 * middle + 0.25 * near - 0.125 * far


def _unsigned(codes: Tensor) -> Tensor:
    """Codes that crossed as int16 get the sign bit back as a bit of theirs."""
    return codes if codes.dtype == torch.uint8 else codes.int().bitwise_and_(0xFFFF)


def _rounded(codes: Tensor, color: ColorSpec) -> Tensor:
    """(H, W) fp32 rounded to the nearest code."""
    codes = codes.round_().clamp_(0, (1 << color.bit_depth) - 1)
    return codes.to(torch.uint8) if color.bit_depth == 8 else codes.to(torch.int32).to(torch.int16)
