"""Pictures that move as layers: the exact in-between at any time, and any size of motion.

A background under a moving camera and up to three cut-outs of other pictures in front of it,
each moving, turning and growing steadily. Geometry is decided in NumPy, pixels are rendered on
the device of the pictures' choice in a fixed number of launches.

S scenes, A layers in front, P = 3 pictures (first, between, second); lengths are in pixels of
the crop unless said otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.data.augment import to_device
from vfimamba_cli.data.clips import Clip

LAYERS = 3
SUPERSAMPLING = 2
BACKGROUND_SIZE = 1.25
"""Of the crop; what moves in from farther away is the mirrored texture."""
LAYER_TEXELS = 320
BLOB_CELLS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticRules:
    """How moving layers are made.

    Attributes:
        displacement: range of each layer's motion from first to second picture, in pixels,
            drawn log-uniformly.
        still_background: share of scenes whose camera does not move.
        turn, growth: standard deviation of the rotation, in radians, and of the logarithm of
            the scale, between the two pictures.
        radius: range of the layers' half sizes, as shares of the crop.
        edge: range of the width of the layers' soft edges, in pixels.
    """

    displacement: tuple[float, float] = (1.0, 48.0)
    still_background: float = 0.25
    turn: float = 0.05
    growth: float = 0.04
    radius: tuple[float, float] = (0.1, 0.4)
    edge: tuple[float, float] = (1.0, 6.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class LayerPath:
    """How layers move: everything changes linearly in t, the scale geometrically.

    Attributes:
        center: (..., 2), x and y at t = 0.5, from the middle of the crop.
        shift: (..., 2), moved from t = 0 to t = 1.
        angle, turn: (...), radians at t = 0.5, and turned from t = 0 to t = 1.
        growth: (...), logarithm of the scale at t = 1 over that at t = 0.
        half: (...), half the size of the texture.
    """

    center: NDArray[np.float64]
    shift: NDArray[np.float64]
    angle: NDArray[np.float64]
    turn: NDArray[np.float64]
    growth: NDArray[np.float64]
    half: NDArray[np.float64]

    def sampling_matrices(self, t: NDArray[np.float64], crop: int) -> NDArray[np.float32]:
        """From crop to texture, both in [-1, 1], as `affine_grid` takes it.

        A crop position p shows the texture at R(-angle) (p - center) / (scale half).

        Args:
            t: broadcasts with the layers' shape (...).

        Returns:
            (..., 2, 3).
        """
        since = t - 0.5
        center = self.center + since[..., None] * self.shift
        angle = self.angle + since * self.turn
        factor = 1 / (np.exp(since * self.growth) * self.half)
        cos, sin = np.cos(angle) * factor, np.sin(angle) * factor
        turned = np.stack((np.stack((cos, sin), -1), np.stack((-sin, cos), -1)), -2)
        offset = -(turned @ center[..., None])
        return np.concatenate((turned * (crop / 2), offset), -1).astype(np.float32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A square of a picture that becomes a texture: frame, place and side, in its pixels."""

    picture: int
    frame: int
    top: int
    left: int
    side: int


def draw_paths(
    rng: np.random.Generator, rules: SyntheticRules, shape: tuple[int, ...], crop: int
) -> LayerPath:
    """Paths of layers; a background's differ in center and size, see `draw_background`."""
    low, high = rules.displacement
    length = low * (high / low) ** rng.random(shape)
    heading = rng.uniform(0, 2 * np.pi, shape)
    return LayerPath(
        center=rng.uniform(-0.4, 0.4, (*shape, 2)) * crop,
        shift=length[..., None] * np.stack((np.cos(heading), np.sin(heading)), -1),
        angle=rng.uniform(-0.5, 0.5, shape),
        turn=rng.normal(0, rules.turn, shape),
        growth=rng.normal(0, rules.growth, shape),
        half=rng.uniform(*rules.radius, shape) * crop,
    )


def draw_backgrounds(
    rng: np.random.Generator, rules: SyntheticRules, scenes: int, crop: int
) -> LayerPath:
    """Camera paths, upright at t = 0.5, some of them at rest."""
    path = draw_paths(rng, rules, (scenes,), crop)
    moving = (rng.random(scenes) >= rules.still_background).astype(np.float64)
    return LayerPath(
        center=np.zeros((scenes, 2)),
        shift=path.shift * moving[:, None],
        angle=np.zeros(scenes),
        turn=path.turn * moving / 2,
        growth=path.growth * moving,
        half=np.full(scenes, crop * BACKGROUND_SIZE / 2),
    )


def draw_cut(rng: np.random.Generator, pictures: Sequence[Clip], wanted: float) -> Cut:
    """A random square of about `wanted` to four times as many pixels a side."""
    index = int(rng.integers(len(pictures)))
    frames = pictures[index].frames
    height, width = frames.shape[-2:]
    longest = min(height, width)
    side = round(min(wanted * rng.uniform(1, 4), longest))
    return Cut(
        picture=index,
        frame=int(rng.integers(len(frames))),
        top=int(rng.integers(height - side + 1)),
        left=int(rng.integers(width - side + 1)),
        side=side,
    )


@dataclass(frozen=True, slots=True)
class SyntheticScenes:
    """Makes moving layers out of `pictures` (photographs, and frames of clips)."""

    pictures: Sequence[Clip]
    rules: SyntheticRules
    crop: int

    def make(
        self, rng: np.random.Generator, t: NDArray[np.float64], device: torch.device
    ) -> tuple[Tensor, list[str]]:
        """Render one scene per entry of `t` (S,).

        Returns:
            (S, P, 3, crop, crop) in [0, 1], and the name of each background's picture.
        """
        scenes = len(t)
        behind = draw_backgrounds(rng, self.rules, scenes, self.crop)
        front = draw_paths(rng, self.rules, (scenes, LAYERS), self.crop)
        cuts = [draw_cut(rng, self.pictures, half) for half in 2 * behind.half]
        front_cuts = [draw_cut(rng, self.pictures, half) for half in 2 * front.half.flatten()]
        alphas = self.draw_alphas(rng, front.half, device)
        colors = self.textures(front_cuts, LAYER_TEXELS, device)
        times = np.stack((np.zeros(scenes), t, np.ones(scenes)))  # (P, S)
        picture = render(
            self.textures(cuts, round(BACKGROUND_SIZE * self.crop * SUPERSAMPLING), device),
            torch.cat((colors * alphas, alphas), dim=1).unflatten(0, (scenes, LAYERS)),
            to_device(behind.sampling_matrices(times, self.crop), device),
            to_device(front.sampling_matrices(times[..., None], self.crop), device),
            self.crop,
        )
        return picture.transpose(0, 1), [self.pictures[cut.picture].name for cut in cuts]

    def textures(self, cuts: Sequence[Cut], texels: int, device: torch.device) -> Tensor:
        """(len(cuts), 3, texels, texels) in [0, 1]."""
        return torch.cat([cut_texture(self.pictures, cut, texels, device) for cut in cuts])

    def draw_alphas(
        self, rng: np.random.Generator, half: NDArray[np.float64], device: torch.device
    ) -> Tensor:
        """Blobs with soft edges, (S * A, 1, LAYER_TEXELS, LAYER_TEXELS); some are empty."""
        scenes, layers = half.shape
        present = np.arange(layers) < rng.integers(layers + 1, size=scenes)[:, None]
        edge = rng.uniform(*self.rules.edge, half.shape)
        noise = rng.normal(0, 0.3, (half.size, 1, BLOB_CELLS, BLOB_CELLS))
        steepness = np.where(present, half / edge, 0).reshape(-1, 1, 1, 1)
        return blobs(
            to_device(noise.astype(np.float32), device),
            to_device(steepness.astype(np.float32), device),
        )


def cut_texture(pictures: Sequence[Clip], cut: Cut, texels: int, device: torch.device) -> Tensor:
    """(1, 3, texels, texels) in [0, 1]."""
    frames = pictures[cut.picture].frames
    square = frames[cut.frame, :, cut.top : cut.top + cut.side, cut.left : cut.left + cut.side].to(
        device, non_blocking=True
    )
    return F.interpolate(square[None] / 255, size=texels, mode="bilinear", antialias=True)


def blobs(noise: Tensor, steepness: Tensor) -> Tensor:
    """Round shapes dented by smooth noise; nothing touches the texture's border.

    Args:
        noise: (N, 1, c, c), about 0.
        steepness: (N, 1, 1, 1), of the edge per half texture; 0 leaves the texture empty.
    """
    dents = F.interpolate(noise, size=LAYER_TEXELS, mode="bicubic").clamp(-0.5, 0.5)
    axis = torch.linspace(-1, 1, LAYER_TEXELS, device=noise.device)
    radius = torch.hypot(axis[:, None], axis)
    inside = (0.6 + dents - radius) * steepness + 0.5
    inside = torch.minimum(inside, (0.98 - radius) * steepness)
    return inside.clamp(0, 1) * (steepness > 0)


def render(background: Tensor, layers: Tensor, behind: Tensor, front: Tensor, crop: int) -> Tensor:
    """Sample every texture where its matrix says and lay the layers over one another.

    Twice the size is rendered and averaged down, against aliasing and the blur of sampling.

    Args:
        background: (S, 3, k, k).
        layers: (S, A, 4, k, k), colour times alpha, then alpha; later ones lie in front.
        behind: (P, S, 2, 3), front: (P, S, A, 2, 3), see `LayerPath.sampling_matrices`.

    Returns:
        (P, S, 3, crop, crop).
    """
    pictures, scenes, count = front.shape[:3]
    size = crop * SUPERSAMPLING
    canvas = sample(background, behind, size, "reflection")
    for i in range(count):
        layer = sample(layers[:, i], front[:, :, i], size, "zeros")
        canvas = canvas * (1 - layer[:, 3:]) + layer[:, :3]
    return F.avg_pool2d(canvas, SUPERSAMPLING).unflatten(0, (pictures, scenes))


def sample(textures: Tensor, matrices: Tensor, size: int, outside: str) -> Tensor:
    """(S, C, k, k) under (P, S, 2, 3) -> (P * S, C, size, size)."""
    grid = F.affine_grid(
        matrices.flatten(0, 1), [matrices[..., 0, 0].numel(), 1, size, size], align_corners=False
    )
    repeated = textures.repeat(len(matrices), 1, 1, 1)
    return F.grid_sample(repeated, grid, padding_mode=outside, align_corners=False)
