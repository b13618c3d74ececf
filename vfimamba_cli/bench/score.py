"""How good the frames are that a method made for one clip.

T timesteps, H x W pixels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from vfimamba_cli.bench.geometry import arrange
from vfimamba_cli.bench.loading import LoadedClip
from vfimamba_cli.bench.method import Method, MethodError, Question
from vfimamba_cli.bench.perceptual import Lpips
from vfimamba_cli.bench.protocol import Protocol
from vfimamba_cli.metrics import (
    difference_error,
    flicker,
    psnr,
    round_8bit,
    ssim_matlab,
    ssim_uniform,
)

PIXELS_AT_ONCE = 1 << 20
SMALL = 64  # pixels a side of what is rehearsed with

SSIM = {"matlab": ssim_matlab, "uniform": ssim_uniform}


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """One method on one clip by one protocol.

    Attributes:
        protocol, method, clip: their names.
        size: height and width of the frames that were compared.
        motion: between the given frames, in % of the width, see `motion_percent`.
        psnr, ssim: by the number of the made frame; PSNR in dB, infinite where it is exact.
        difference_error, flicker: of the sequence, in 8-bit levels, see `metrics`; None where the
            made frames do not follow one another.
        lpips: by the number of the made frame, see `Lpips`; None where it is not measured.
    """

    protocol: str
    method: str
    clip: str
    size: tuple[int, int]
    motion: float
    psnr: dict[int, float]
    ssim: dict[int, float]
    difference_error: float | None = None
    flicker: float | None = None
    lpips: dict[int, float] | None = None

    @property
    def key(self) -> tuple[str, str, str]:
        """Protocol, method and clip: another for each score."""
        return self.protocol, self.method, self.clip

    @property
    def mean_psnr(self) -> float:
        """Over the made frames, in dB."""
        return sum(self.psnr.values()) / len(self.psnr)

    @property
    def mean_ssim(self) -> float:
        """Over the made frames."""
        return sum(self.ssim.values()) / len(self.ssim)

    @property
    def mean_lpips(self) -> float | None:
        """Over the made frames, if it is measured."""
        return None if self.lpips is None else sum(self.lpips.values()) / len(self.lpips)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values; `from_dict` takes them back."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Raises `KeyError`, `TypeError` or `ValueError` on values that make no score."""
        frames = {
            name: {int(number): float(value) for number, value in values[name].items()}
            for name in ("psnr", "ssim", "lpips")
            if name != "lpips" or ("lpips" in values and values["lpips"] is not None)
        }
        height, width = values["size"]
        return cls(**{**values, **frames, "size": (height, width)})


def arranged(clip: LoadedClip, protocol: Protocol) -> dict[int, Tensor]:
    """The clip's frames as the protocol compares them, by number, (1, 3, H, W) in [0, 1]."""
    return {n: arrange(clip.frames[n], protocol, origin=clip.name) for n in protocol.numbers}


@torch.inference_mode()
def make_frames(
    method: Method, protocol: Protocol, clip: str, frames: Mapping[int, Tensor]
) -> dict[int, Tensor]:
    """The frames asked for, by number, (1, 3, H, W); rounded to 8 bits where the protocol says so.

    Raises:
        MethodError: they are not of the shape that they should be, or not all finite.
    """
    made: dict[int, Tensor] = {}
    for pair in protocol.pairs:
        question = Question(
            protocol=protocol,
            clip=clip,
            pair=pair,
            first=frames[pair.first],
            second=frames[pair.second],
        )
        pictures = method.make(question)
        check(pictures, method, question)
        made |= zip(pair.targets, pictures.to(question.first.device), strict=True)
    return {n: round_8bit(picture) if protocol.to_8bit else picture for n, picture in made.items()}


def check(pictures: object, method: Method, question: Question) -> None:
    """Raises MethodError on pictures that are none, or not of the shape asked for."""
    shape = (len(question.pair.targets), *question.first.shape)
    if not isinstance(pictures, Tensor) or tuple(pictures.shape) != shape:
        found = tuple(pictures.shape) if isinstance(pictures, Tensor) else type(pictures).__name__
        raise MethodError(
            f"{method.name} returned {found} where {shape} was asked for: {question}",
            hint="It must return (timesteps, 1, 3, height, width)",
        )
    if not torch.isfinite(pictures).all():
        raise MethodError(f"{method.name} made pixels that are not numbers: {question}")


def compare(
    made: list[Tensor], truth: list[Tensor], protocol: Protocol, lpips: Lpips | None
) -> Tensor:
    """PSNR, SSIM, and LPIPS if there is one, of (1, 3, H, W) each: (2 or 3, T).

    Small frames are compared several at once: on a GPU, starting the many short operations takes
    longer than doing them.
    """
    height, width = made[0].shape[-2:]
    step = max(1, PIXELS_AT_ONCE // (height * width))
    parts = []
    for start in range(0, len(made), step):
        pictures, expected = (torch.cat(x[start : start + step]) for x in (made, truth))
        values = [psnr(pictures, expected), SSIM[protocol.ssim](pictures, expected)]
        if lpips is not None:
            values.append(lpips(pictures, expected).double())
        parts.append(torch.stack(values))
    return torch.cat(parts, dim=1)


@torch.inference_mode()
def rehearse(protocols: Sequence[Protocol], device: torch.device) -> None:
    """Compare small pictures: a GPU loads each operation's code when it is first asked for.

    Args:
        protocols: say what is compared.
        device: a CPU has nothing to load.
    """
    if device.type != "cuda":
        return
    pictures = [torch.rand(1, 3, SMALL, SMALL, device=device) for _ in range(3)]
    for protocol in protocols:
        compare([round_8bit(picture) for picture in pictures], pictures, protocol, None).tolist()
        if protocol.is_sequence:
            difference_error(pictures, pictures)
            flicker(pictures, pictures)


@torch.inference_mode()
def score(
    method: Method,
    protocol: Protocol,
    clip: LoadedClip,
    frames: dict[int, Tensor],
    lpips: Lpips | None = None,
) -> Score:
    """Make the frames and compare them.

    Args:
        method: makes them.
        protocol: says which.
        clip: its name and motion.
        frames: of the clip, as `arranged` gives them.
        lpips: measured as well, if there is one.

    Raises:
        VfimambaError: the method cannot make them, or makes something else.
    """
    made = make_frames(method, protocol, clip.name, frames)
    height, width = next(iter(frames.values())).shape[-2:]
    truths = [frames[n] for n in made]
    values = compare(list(made.values()), truths, protocol, lpips).tolist()
    steadiness = {}
    if protocol.is_sequence:
        sequence = [made.get(n, frames[n]) for n in protocol.numbers]
        truth = [frames[n] for n in protocol.numbers]
        steadiness = {
            "difference_error": difference_error(sequence, truth),
            "flicker": flicker(sequence, truth),
        }
    return Score(
        protocol=protocol.name,
        method=method.name,
        clip=clip.name,
        size=(int(height), int(width)),
        motion=clip.motion_of(protocol),
        psnr=dict(zip(made, values[0], strict=True)),
        ssim=dict(zip(made, values[1], strict=True)),
        lpips=dict(zip(made, values[2], strict=True)) if lpips else None,
        **steadiness,
    )
