"""Batches of triplets, each decided by the seed and the step alone.

No generator state lives from step to step, so a run that stops and resumes sees what it would
have seen without stopping.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.data.augment import Augmentation, to_device
from vfimamba_cli.data.clips import Clip
from vfimamba_cli.data.sampling import Draw, TripletSampler
from vfimamba_cli.data.synthetic import SyntheticScenes
from vfimamba_cli.data.triplet import TripletBatch


@dataclass(frozen=True, slots=True)
class TripletBatches:
    """Assembles batches on `device`.

    Attributes:
        sampler: what is drawn from clips.
        scenes: moving layers, the last `synthetic` samples of a batch; None where there are none.
        size: samples in a batch, B.
    """

    sampler: TripletSampler
    scenes: SyntheticScenes | None
    size: int
    synthetic: int
    seed: int
    device: torch.device

    def fingerprint(self) -> dict[str, int | str]:
        """What a resumed run must find again, by the name of each thing, as plain JSON values."""
        pictures = self.scenes.pictures if self.scenes else ()
        clips = self.sampler.clips
        names = "\n".join(clip.name for clip in (*clips, *pictures))
        return {
            "clips": len(clips),
            "frames of clips": sum(len(clip.frames) for clip in clips),
            "pictures to move": len(pictures),
            "moving layers in a batch": self.synthetic if self.scenes else 0,
            "SHA-256 of file names": hashlib.sha256(names.encode(errors="replace")).hexdigest(),
        }

    def at(self, step: int) -> TripletBatch:
        """The batch of optimiser step `step`."""
        rng = np.random.default_rng((self.seed, step))
        clips, rules = self.sampler.clips, self.sampler.rules
        synthetic = self.synthetic if self.scenes else 0
        draws = [self.sampler.draw(rng) for _ in range(self.size - synthetic)]
        parts = [cut_triplet(clips[d.clip], d, rules.crop, self.device) for d in draws]
        origins = [f"{clips[d.clip].name} frames {d.frames}" for d in draws]
        times = np.array([draw.t for draw in draws])
        if self.scenes and synthetic:
            more = draw_times(rng, synthetic, rules.midpoint_share)
            pictures, names = self.scenes.make(rng, more, self.device)
            parts.append(pictures)
            origins += [f"{name} moved" for name in names]
            times = np.concatenate((times, more))
        pictures = Augmentation.draw(rng, self.size).apply(torch.cat(parts))
        first, target, second = pictures.unbind(1)
        return TripletBatch(
            frames=torch.stack((first, second)),
            target=target.contiguous(),
            t=to_device(times.astype(np.float32), self.device),
            origins=tuple(origins),
        )


def draw_times(rng: np.random.Generator, count: int, midpoint_share: float) -> NDArray[np.float64]:
    """Times of synthetic in-betweens."""
    return np.where(rng.random(count) < midpoint_share, 0.5, rng.uniform(0.05, 0.95, count))


def cut_triplet(clip: Clip, draw: Draw, crop: int, device: torch.device) -> Tensor:
    """(1, P, 3, crop, crop) in [0, 1]: first frame, target, second frame."""
    ys, xs = slice(draw.top, draw.top + draw.side), slice(draw.left, draw.left + draw.side)
    square = torch.stack([clip.frames[i, :, ys, xs] for i in draw.frames])
    if square.device != device:
        square = square.pin_memory().to(device, non_blocking=True)
    pictures = square / 255
    if draw.side != crop:
        pictures = F.interpolate(pictures, size=crop, mode="bilinear", antialias=True)
    return pictures[None]
