"""The clips that went worst, made once more to be looked at.

H x W pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from vfimamba_cli.bench.loading import LoadedClip, load_clips
from vfimamba_cli.bench.method import Method
from vfimamba_cli.bench.protocol import Protocol
from vfimamba_cli.bench.quality import Group
from vfimamba_cli.bench.score import Score, arranged, make_frames

SIDE = 256
"""Of the square that is shown, in pixels."""

MOST = 12
"""Cases in all, shared by the protocols."""

AMPLIFIED = 4
"""Errors are shown so many times larger: a quarter of the range is as bright as can be."""

Picture = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Case:
    """One made frame, cut to where the method in question is worst.

    Attributes:
        score: of that method.
        number: of the frame.
        top, left: of the square, in pixels.
        psnr: of the whole frame, in dB, by method.
        views: (h, w, 3) uint8 by title: overlay of the given frames, truth, methods, their errors.
    """

    score: Score
    number: int
    top: int
    left: int
    psnr: dict[str, float]
    views: dict[str, Picture]


def worst_cases(
    groups: Sequence[Group],
    methods: Sequence[Method],
    scores: Sequence[Score],
    *,
    judged: str,
    device: torch.device,
) -> list[Case]:
    """The frames of lowest PSNR, each of another clip, from worst on, protocol by protocol.

    Args:
        groups: protocols and their clips, which are read again.
        methods: make them again.
        scores: of all methods and clips.
        judged: the method whose worst frames these are.
        device: to work on.

    Raises:
        VfimambaError: as `run_protocols`.
    """
    protocols = [protocol for group in groups for protocol in group.protocols]
    share = max(1, MOST // len(protocols))
    found = {}
    for group in groups:
        wanted = {p.name: lowest(scores, p.name, judged)[:share] for p in group.protocols}
        for case in group_cases(group, methods, wanted, scores, device):
            found[case.score.key] = case
    order = [s for protocol in protocols for s in lowest(scores, protocol.name, judged)[:share]]
    return [found[score.key] for score in order]


def lowest(scores: Sequence[Score], protocol: str, method: str) -> list[Score]:
    """The clips of one method by one protocol, from the worst on."""
    own = [score for score in scores if (score.protocol, score.method) == (protocol, method)]
    return sorted(own, key=lambda score: min(score.psnr.values()))


def group_cases(
    group: Group,
    methods: Sequence[Method],
    wanted: dict[str, list[Score]],
    scores: Sequence[Score],
    device: torch.device,
) -> Iterator[Case]:
    """The wanted cases of a group, in the order of its clips."""
    names = {score.clip for listed in wanted.values() for score in listed}
    psnr = {score.key: score.psnr for score in scores}
    clips = (clip for clip in group.clips if clip.name in names)
    with load_clips(clips, group.protocols, device) as loaded:
        for clip in loaded:
            for protocol in group.protocols:
                for score in wanted[protocol.name]:
                    if score.clip == clip.name:
                        number = min(score.psnr, key=score.psnr.__getitem__)
                        of_frame = {
                            method.name: psnr[protocol.name, method.name, clip.name][number]
                            for method in methods
                        }
                        yield show(clip, protocol, methods, score, number, of_frame)


def show(
    clip: LoadedClip,
    protocol: Protocol,
    methods: Sequence[Method],
    score: Score,
    number: int,
    psnr: dict[str, float],
) -> Case:
    """Make the frame by every method and cut all of them alike."""
    frames = arranged(clip, protocol)
    pair = next(pair for pair in protocol.pairs if number in pair.targets)
    protocol = replace(protocol, pairs=(replace(pair, targets=(number,)),))  # no other frame
    made = {m.name: make_frames(m, protocol, clip.name, frames).frames[number] for m in methods}
    truth = frames[number]
    errors = {name: (picture.float() - truth).abs() for name, picture in made.items()}
    top, left = worst_square(errors[score.method])
    pictures = {
        "overlay of the given frames": (frames[pair.first] + frames[pair.second]) / 2,
        "truth": truth,
        **made,
        **{f"error of {name}, x{AMPLIFIED}": AMPLIFIED * errors[name] for name in made},
    }
    views = {
        title: as_bytes(picture[..., top : top + SIDE, left : left + SIDE])
        for title, picture in pictures.items()
    }
    return Case(score, number, top, left, psnr, views)


def worst_square(error: Tensor) -> tuple[int, int]:
    """First row and column of the square with the largest squared error, (1, 3, H, W)."""
    height, width = error.shape[-2:]
    window = min(SIDE, height), min(SIDE, width)
    step = SIDE // 8
    sums = F.avg_pool2d(error.square().mean(1, keepdim=True), window, stride=step)[0, 0]
    row, column = divmod(int(sums.argmax()), sums.shape[1])
    return row * step, column * step


def as_bytes(picture: Tensor) -> Picture:
    """(1, 3, h, w) in [0, 1], or a little outside -> (h, w, 3)."""
    codes = (picture.float().clamp(0, 1) * 255).round().byte()
    return codes[0].permute(1, 2, 0).cpu().numpy()
