"""Textures under moving cameras: where a picture shows which texel, and the picture itself.

S scenes, A layers in front, P pictures, K samples of each pixel; lengths are in pixels of the
crop unless said otherwise.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

PLACES = np.array([(-0.25, -0.25), (0.25, 0.25), (0.25, -0.25), (-0.25, 0.25)])
"""(K, 2), x and y of a pixel's samples from its middle: against aliasing."""

MOMENTS = np.array([-0.375, -0.125, 0.125, 0.375])
"""(K,), when each sample is taken, as a share of the exposure."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPath:
    """How layers move: everything changes linearly in t, the scale geometrically.

    Attributes:
        center: (..., 2), x and y at t = 0.5, from the middle of the crop.
        shift: (..., 2), moved from t = 0 to t = 1.
        angle, turn: (...), radians at t = 0.5, and turned from t = 0 to t = 1.
        growth: (...), logarithm of the scale at t = 1 over that at t = 0.
        tilt, tilting: (..., 2), slope of the plane in x and y at t = 0.5, and how it changes
            from t = 0 to t = 1: at half a crop from its middle, the plane is 1 + slope times
            as far away as in the middle.
        half: (...), half the size of the texture.
    """

    center: NDArray[np.float64]
    shift: NDArray[np.float64]
    angle: NDArray[np.float64]
    turn: NDArray[np.float64]
    growth: NDArray[np.float64]
    tilt: NDArray[np.float64]
    tilting: NDArray[np.float64]
    half: NDArray[np.float64]

    def homographies(
        self, t: NDArray[np.float64], crop: int, places: NDArray[np.float64] | None = None
    ) -> NDArray[np.float32]:
        """From crop to texture, both in [-1, 1]: (x, y, 1) -> (u, v, w), seen at u / w, v / w.

        A crop position p shows the texture at R(-angle) (p - center) / (scale half (1 + s . p)),
        s being the slopes over half a crop.

        Args:
            t, places: broadcast with the layers' shape (...) and (..., 2); `places` moves p.

        Returns:
            (..., 3, 3).
        """
        since = t - 0.5
        center = self.center + since[..., None] * self.shift
        if places is not None:
            center = center - places
        angle = self.angle + since * self.turn
        factor = 1 / (np.exp(since * self.growth) * self.half)
        cos, sin = np.cos(angle) * factor, np.sin(angle) * factor
        turned = np.stack((np.stack((cos, sin), -1), np.stack((-sin, cos), -1)), -2)
        offset = -(turned @ center[..., None])
        slope = np.broadcast_to(self.tilt + since[..., None] * self.tilting, center.shape)
        moved = np.zeros_like(center) if places is None else np.broadcast_to(places, center.shape)
        away = 1 + (slope * moved).sum(-1, keepdims=True) / (crop / 2)
        top = np.concatenate((turned * (crop / 2), offset), -1)
        bottom = np.concatenate((slope, away), -1)[..., None, :]
        return np.concatenate((top, bottom), -2).astype(np.float32)


def exposures(
    t: NDArray[np.float64], shutter: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """When and where in a pixel each of its K samples is taken.

    Args:
        t: (P, S), the middle of each exposure.
        shutter: (S,), its length, of the way from first to second picture; 0 is sharp.

    Returns:
        Times (P, S, K) and places (K, 2).
    """
    return t[..., None] + shutter[:, None] * MOMENTS, PLACES


def render(background: Tensor, layers: Tensor, behind: Tensor, front: Tensor, crop: int) -> Tensor:
    """Look up every texture where its homography says and lay the layers over one another.

    Args:
        background: (S, 3, k, k).
        layers: (S, A, 4, k, k), color times alpha, then alpha; later ones lie in front.
        behind: (P, S, K, 3, 3), front: (P, S, K, A, 3, 3), see `LayerPath.homographies`.

    Returns:
        (S, P, 3, crop, crop), the mean of the K samples.
    """
    canvas = look_up(background, behind, crop, "reflection")
    for i in range(layers.shape[1]):
        layer = look_up(layers[:, i], front[:, :, :, i], crop, "zeros")
        canvas = torch.addcmul(layer[:, :3], canvas, 1 - layer[:, 3:])
    return canvas.mean(3).transpose(1, 2)


def look_up(textures: Tensor, homographies: Tensor, crop: int, outside: str) -> Tensor:
    """(S, C, k, k) under (P, S, K, 3, 3) -> (S, C, P, K, crop, crop).

    Sums of products, not a matrix product: on GPUs those may round to ten bits. All pictures of
    a scene are looked up as one tall one, so that its texture need not be repeated.
    """
    axis = (torch.arange(crop, device=textures.device) * 2 + 1) / crop - 1
    m = homographies.transpose(0, 1)[..., None, None]  # (S, P, K, 3, 3, 1, 1)
    u, v, w = (  # added in this order, only one sum is of all pixels
        m[..., i, 0, :, :] * axis + (m[..., i, 1, :, :] * axis[:, None] + m[..., i, 2, :, :])
        for i in range(3)
    )
    grid = torch.empty((*w.shape, 2), device=w.device)  # (S, P, K, crop, crop, 2)
    torch.div(u, w, out=grid[..., 0])
    torch.div(v, w, out=grid[..., 1])
    seen = F.grid_sample(textures, grid.flatten(1, 3), padding_mode=outside, align_corners=False)
    return seen.unflatten(2, grid.shape[1:4])
