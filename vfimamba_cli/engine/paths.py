"""The two published multi-scale paths, as compositions of a network's four calls.

F = 2 frames, B batch, C channels, H x W pixels.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from vfimamba_cli.engine.tiling import encode, synthesize
from vfimamba_cli.model.interface import Features, InterpolationModel, Motion
from vfimamba_cli.ops.resize import resize, resize_flow
from vfimamba_cli.ops.warp import warp_pair

RefineAt = Literal["flow", "full"]


@dataclass(frozen=True, slots=True, kw_only=True)
class PathOptions:
    """How motion is found.

    Attributes:
        flow_scale: size at which motion is estimated, 1, 0.5 or 0.25 of the frame.
        refine_at: where the local blocks run: at the flow's size (published for X-TEST) or on
            the full frame (published for SNU-FILM and Xiph). The same at flow scale 1.
        local: whether the local blocks run at all.
        tta: average with the pair rotated by 180 degrees.
        tile: side of the tiles that shallow features and pictures are made in, in pixels; all at
            once if None. The result is the same.
    """

    flow_scale: float = 1.0
    refine_at: RefineAt = "flow"
    local: bool = True
    tta: bool = False
    tile: int | None = None

    def __post_init__(self) -> None:
        if self.flow_scale not in (1.0, 0.5, 0.25):
            raise ValueError(f"flow_scale must be 1, 0.5 or 0.25, got {self.flow_scale}")
        if self.refine_at not in ("flow", "full"):
            raise ValueError(f"refine_at must be 'flow' or 'full', got {self.refine_at!r}")


Once = Callable[[Tensor, Sequence[float], PathOptions], Iterator[Tensor]]


def predict(
    model: InterpolationModel,
    frames: Tensor,
    times: Sequence[float],
    options: PathOptions,
    once: Once | None = None,
) -> Iterator[Tensor]:
    """The pictures at `times`, one after the other; features are computed once for all of them.

    Args:
        model: the network.
        frames: (F, B, C, H, W), H and W multiples of `model.multiple_of / flow_scale`; C is 3, or
            4 with alpha.
        times: in (0, 1).
        options: the path's.
        once: what runs the path without augmentation; `predict_once` if none.

    Yields:
        One (B, C, H, W) fp32 per time, no further outside [0, 1] than the frames.
    """
    once = once or partial(predict_once, model)
    if not options.tta:
        yield from once(frames, times, options)
        return
    upright = list(once(frames, times, options))
    rotated = once(frames.flip((-1, -2)), times, options)
    for a, b in zip(upright, rotated, strict=True):
        yield (a + b.flip((-1, -2))) / 2


def predict_once(
    model: InterpolationModel, frames: Tensor, times: Sequence[float], options: PathOptions
) -> Iterator[Tensor]:
    """`predict` without test-time augmentation, tile by tile where the options say so."""
    given, frames = frames, colors(frames)
    low = resize(frames.flatten(0, 1), options.flow_scale).unflatten(0, (2, -1))
    features = encode(model, low, options.tile)
    motions: Iterable[Motion]
    motions = (find_motion(model, low, features, time, options) for time in times)
    if options.flow_scale != 1:
        motions = list(motions)  # so that these features make room for the full-size ones
        features = encode(model, frames, options.tile)
    for motion in motions:
        motion = enlarge(motion, 1 / options.flow_scale)
        if options.local and options.refine_at == "full":
            motion = model.refine_motion(frames, motion)
        yield with_alpha(synthesize(model, frames, features, motion, options.tile), given, motion)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What all pictures of a pair share: frames and features at the flow's size and at theirs.

    `given` are the frames with their alpha, if they have one; the others are colors alone.
    """

    low: Tensor
    low_features: Features
    frames: Tensor
    features: Features
    given: Tensor


def encode_pair(model: InterpolationModel, frames: Tensor, options: PathOptions) -> Encoded:
    """The part of `predict_once` that no time enters."""
    given, frames = frames, colors(frames)
    low = resize(frames.flatten(0, 1), options.flow_scale).unflatten(0, (2, -1))
    features = encode(model, low, options.tile)
    full = features if options.flow_scale == 1 else encode(model, frames, options.tile)
    return Encoded(low, features, frames, full, given)


def picture(model: InterpolationModel, encoded: Encoded, t: Tensor, options: PathOptions) -> Tensor:
    """The rest of it, for times (B,): (B, C, H, W) fp32."""
    motion = find_motion(model, encoded.low, encoded.low_features, t, options)
    motion = enlarge(motion, 1 / options.flow_scale)
    if options.local and options.refine_at == "full":
        motion = model.refine_motion(encoded.frames, motion)
    made = synthesize(model, encoded.frames, encoded.features, motion, options.tile)
    return with_alpha(made, encoded.given, motion)


def colors(frames: Tensor) -> Tensor:
    """What a network sees of (F, B, C, H, W): (F, B, 3, H, W)."""
    return frames if frames.shape[2] == 3 else frames[:, :, :3].contiguous()


def with_alpha(made: Tensor, frames: Tensor, motion: Motion) -> Tensor:
    """(B, 3, H, W) with the alpha of (F, B, C, H, W) if there is one: (B, C, H, W).

    Alpha moves as the colors do, or edges would come apart: both frames' by the same flow, then
    blended by the same mask. The network is not asked for more, having never seen any.
    """
    if frames.shape[2] == 3:
        return made
    first, second = warp_pair(frames[:, :, 3:], motion.flow).chunk(2, dim=1)
    return torch.cat((made, torch.lerp(second, first, motion.mask.float().sigmoid())), dim=1)


def find_motion(
    model: InterpolationModel,
    low: Tensor,
    features: Features,
    time: float | Tensor,
    options: PathOptions,
) -> Motion:
    """Motion of the flow's size.

    Args:
        model: the network.
        low: (F, B, 3, h, w), the frames at `options.flow_scale`.
        features: of `low`.
        time: one for all samples, or (B,).
        options: the path's.
    """
    t = torch.full((low.shape[1],), time, device=low.device) if isinstance(time, float) else time
    motion = model.estimate_motion(low, features, t)
    if options.local and options.refine_at == "flow":
        motion = model.refine_motion(low, motion)
    return motion


def enlarge(motion: Motion, scale: float) -> Motion:
    """Motion at `scale` times the size."""
    if scale == 1:
        return motion
    return Motion(resize_flow(motion.flow, scale), resize(motion.mask, scale))
