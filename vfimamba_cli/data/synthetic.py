"""Pictures that move as layers: the exact in-between at any time, and any size of motion.

A background under a moving camera and up to three cut-outs of other pictures in front of it,
each moving, turning, growing and tilting steadily; sharp, or blurred by its motion. Geometry is
decided in NumPy, pixels are rendered on the device of the pictures' choice in a fixed number of
launches.

S scenes, A layers in front, P = 3 pictures (first, between, second); lengths are in pixels of
the crop unless said otherwise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.data.augment import to_device
from vfimamba_cli.data.clips import Clip
from vfimamba_cli.data.rendering import LayerPath, exposures, render

LAYERS = 3
BACKGROUND_SIZE = 1.25
"""Of the crop; what moves in from farther away is the mirrored texture."""
TEXELS_PER_PIXEL = 2
LAYER_TEXELS = 320
BLOB_CELLS = 6


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticRules:
    """How moving layers are made.

    Attributes:
        crop: height and width of a sample, in pixels.
        displacement: range of each layer's motion from first to second picture, in pixels,
            drawn log-uniformly.
        still_background: share of scenes whose camera does not move.
        turn, growth: standard deviation of the rotation, in radians, and of the logarithm of
            the scale, between the two pictures.
        tilt, tilting: standard deviation of a plane's slope (see `LayerPath`), and of its change
            between the two pictures.
        radius: range of the layers' half sizes, as shares of the crop.
        edge: range of the width of the layers' soft edges, in pixels.
        blurred: share of scenes whose pictures are exposed for a while.
        longest_blur: most that anything moves in an exposure, in pixels.
        midpoint_share: share of samples with t = 0.5; the others lie anywhere in between.
    """

    crop: int = 256
    displacement: tuple[float, float] = (1.0, 48.0)
    still_background: float = 0.25
    turn: float = 0.05
    growth: float = 0.04
    tilt: float = 0.05
    tilting: float = 0.03
    radius: tuple[float, float] = (0.1, 0.4)
    edge: tuple[float, float] = (1.0, 6.0)
    blurred: float = 0.2
    longest_blur: float = 6.0
    midpoint_share: float = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """A square of a picture that becomes a texture: frame, place and side, in its pixels."""

    picture: int
    frame: int
    top: int
    left: int
    side: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """All that is drawn for one sample.

    Attributes:
        t: when the picture in between is taken.
        shutter: length of the exposures, of the way from first to second picture.
        behind, front: paths of the background, of shape (), and of the layers, (A,).
        cuts: what the background shows, then what each layer shows.
        noise: (A, BLOB_CELLS, BLOB_CELLS), dents in the layers' outlines.
        steepness: (A,), of the layers' edges per half texture; 0 where there is no layer.
    """

    t: float
    shutter: float
    behind: LayerPath
    front: LayerPath
    cuts: tuple[Cut, ...]
    noise: NDArray[np.float64]
    steepness: NDArray[np.float64]


def draw_paths(
    rng: np.random.Generator, rules: SyntheticRules, shape: tuple[int, ...]
) -> LayerPath:
    """Paths of layers; a background's differ in center and size, see `draw_background`."""
    low, high = rules.displacement
    length = low * (high / low) ** rng.random(shape)
    heading = rng.uniform(0, 2 * np.pi, shape)
    return LayerPath(
        center=rng.uniform(-0.4, 0.4, (*shape, 2)) * rules.crop,
        shift=length[..., None] * np.stack((np.cos(heading), np.sin(heading)), -1),
        angle=rng.uniform(-0.5, 0.5, shape),
        turn=rng.normal(0, rules.turn, shape),
        growth=rng.normal(0, rules.growth, shape),
        tilt=rng.normal(0, rules.tilt, (*shape, 2)).clip(-0.2, 0.2),
        tilting=rng.normal(0, rules.tilting, (*shape, 2)).clip(-0.2, 0.2),
        half=rng.uniform(*rules.radius, shape) * rules.crop,
    )


def draw_background(rng: np.random.Generator, rules: SyntheticRules) -> LayerPath:
    """A camera path, upright at t = 0.5, or at rest."""
    path = draw_paths(rng, rules, ())
    moving = float(rng.random() >= rules.still_background)
    return LayerPath(
        center=np.zeros(2),
        shift=path.shift * moving,
        angle=np.zeros(()),
        turn=path.turn * moving / 2,
        growth=path.growth * moving,
        tilt=path.tilt,
        tilting=path.tilting * moving,
        half=np.array(rules.crop * BACKGROUND_SIZE / 2),
    )


def draw_cut(rng: np.random.Generator, pictures: Sequence[Clip], wanted: float) -> Cut:
    """A random square of about `wanted` to four times as many pixels a side."""
    index = int(rng.integers(len(pictures)))
    height, width = pictures[index].size
    side = round(min(wanted * rng.uniform(1, 4), height, width))
    return Cut(
        picture=index,
        frame=int(rng.integers(pictures[index].length)),
        top=int(rng.integers(height - side + 1)),
        left=int(rng.integers(width - side + 1)),
        side=side,
    )


def draw_scene(rng: np.random.Generator, rules: SyntheticRules, pictures: Sequence[Clip]) -> Scene:
    """One sample."""
    behind, front = draw_background(rng, rules), draw_paths(rng, rules, (LAYERS,))
    halves = (float(behind.half), *front.half.tolist())
    present = np.arange(LAYERS) < rng.integers(LAYERS + 1)
    fastest = max(np.hypot(*behind.shift), np.hypot(*front.shift.T).max())
    exposed = rng.random() < rules.blurred
    return Scene(
        t=0.5 if rng.random() < rules.midpoint_share else rng.uniform(0.05, 0.95),
        shutter=min(rng.uniform(0, 0.5), rules.longest_blur / fastest) if exposed else 0.0,
        behind=behind,
        front=front,
        cuts=tuple(draw_cut(rng, pictures, 2 * half) for half in halves),
        noise=rng.normal(0, 0.3, (LAYERS, BLOB_CELLS, BLOB_CELLS)),
        steepness=np.where(present, front.half / rng.uniform(*rules.edge, LAYERS), 0),
    )


@dataclass(frozen=True, slots=True)
class SyntheticScenes:
    """Makes moving layers out of `pictures` (photographs, and frames of clips)."""

    pictures: Sequence[Clip]
    rules: SyntheticRules

    def draw(self, rng: np.random.Generator) -> Scene:
        """One sample."""
        return draw_scene(rng, self.rules, self.pictures)

    def name(self, scene: Scene) -> str:
        """For messages: of the background's picture."""
        return f"{self.pictures[scene.cuts[0].picture].name} moved"

    def make(self, scenes: Sequence[Scene], device: torch.device) -> Tensor:
        """Render `scenes`: (S, P, 3, crop, crop) in [0, 1]."""
        crop = self.rules.crop
        behind, front = join([s.behind for s in scenes]), join([s.front for s in scenes])
        t = np.array([[0.0] * len(scenes), [s.t for s in scenes], [1.0] * len(scenes)])
        times, places = exposures(t, np.array([s.shutter for s in scenes]))
        wide = spread(behind, 1).homographies(times, crop, places)
        narrow = spread(front, 1).homographies(times[..., None], crop, places[:, None])
        alphas = blobs(
            to_device(np.stack([s.noise for s in scenes]).astype(np.float32), device),
            to_device(np.stack([s.steepness for s in scenes]).astype(np.float32), device),
        )
        colors = [self.textures(s.cuts[1:], LAYER_TEXELS, device) for s in scenes]
        texels = round(BACKGROUND_SIZE * crop * TEXELS_PER_PIXEL)
        return render(
            self.textures([s.cuts[0] for s in scenes], texels, device),
            torch.cat((torch.stack(colors) * alphas, alphas), dim=2),
            to_device(wide, device),
            to_device(narrow, device),
            crop,
        )

    def textures(self, cuts: Sequence[Cut], texels: int, device: torch.device) -> Tensor:
        """(len(cuts), 3, texels, texels) in [0, 1]."""
        return torch.cat([cut_texture(self.pictures, cut, texels, device) for cut in cuts])


def join(paths: Sequence[LayerPath]) -> LayerPath:
    """One path of all scenes: S stands before the shape of each."""
    names = [field.name for field in fields(LayerPath)]
    return LayerPath(**{n: np.stack([getattr(path, n) for path in paths]) for n in names})


def spread(path: LayerPath, axis: int) -> LayerPath:
    """The same path with an axis of length 1 put in, to broadcast over samples."""
    names = [field.name for field in fields(LayerPath)]
    return LayerPath(**{n: np.expand_dims(getattr(path, n), axis) for n in names})


def cut_texture(pictures: Sequence[Clip], cut: Cut, texels: int, device: torch.device) -> Tensor:
    """(1, 3, texels, texels) in [0, 1]."""
    square = pictures[cut.picture].square([cut.frame], cut.top, cut.left, cut.side)
    square = square.to(device, non_blocking=True)
    return F.interpolate(square / 255, size=texels, mode="bilinear", antialias=True)


def blobs(noise: Tensor, steepness: Tensor) -> Tensor:
    """Round shapes dented by smooth noise; nothing touches the texture's border.

    Args:
        noise: (S, A, c, c), about 0.
        steepness: (S, A), of the edge per half texture; 0 leaves the texture empty.

    Returns:
        (S, A, 1, LAYER_TEXELS, LAYER_TEXELS) in [0, 1].
    """
    dents = F.interpolate(noise, size=LAYER_TEXELS, mode="bicubic").clamp(-0.5, 0.5)
    axis = torch.linspace(-1, 1, LAYER_TEXELS, device=noise.device)
    radius = torch.hypot(axis[:, None], axis)
    steepness = steepness[..., None, None]
    inside = (0.6 + dents - radius) * steepness + 0.5
    inside = torch.minimum(inside, (0.98 - radius) * steepness)
    return (inside.clamp(0, 1) * (steepness > 0))[:, :, None]
