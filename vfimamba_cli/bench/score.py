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


@dataclass(frozen=True, slots=True, kw_only=True)
class Pending:
    """A score that a GPU may be at work on still: `score` waits for it.

    So the host prepares the next method meanwhile.

    Attributes:
        method, protocol, clip, size: see `Score`.
        numbers: of the made frames.
        finite: (), whether all their pixels are numbers.
        values: (2 or 3, T), see `compare`.
        steadiness: () each, what a sequence has besides, by its name in `Score`.
    """

    method: str
    protocol: Protocol
    clip: LoadedClip
    size: tuple[int, int]
    numbers: tuple[int, ...]
    finite: Tensor
    values: Tensor
    steadiness: dict[str, Tensor]

    def score(self) -> Score:
        """Raises MethodError if a pixel is not a number."""
        if not self.finite:
            where = f"{self.clip.name}, {self.protocol.name}"
            raise MethodError(
                f"{self.method} made pixels that are not numbers: {where}",
                hint="Call it on that clip's given frames alone, and see where they come from",
            )
        psnr, ssim, *lpips = (
            dict(zip(self.numbers, row, strict=True)) for row in self.values.tolist()
        )
        return Score(
            protocol=self.protocol.name,
            method=self.method,
            clip=self.clip.name,
            size=self.size,
            motion=self.clip.motion_of(self.protocol),
            psnr=psnr,
            ssim=ssim,
            lpips=lpips[0] if lpips else None,
            **{name: value.item() for name, value in self.steadiness.items()},
        )


@dataclass(frozen=True, slots=True)
class Made:
    """Frames that a method made.

    Attributes:
        frames: by number, (1, 3, H, W); rounded to 8 bits where the protocol says so.
        finite: (), whether all their pixels were numbers.
    """

    frames: dict[int, Tensor]
    finite: Tensor


def arranged(clip: LoadedClip, protocol: Protocol) -> dict[int, Tensor]:
    """The clip's frames as the protocol compares them, by number, (1, 3, H, W) in [0, 1]."""
    return {n: arrange(clip.frames[n], protocol, origin=clip.name) for n in protocol.numbers}


@torch.inference_mode()
def make_frames(
    method: Method, protocol: Protocol, clip: str, frames: Mapping[int, Tensor]
) -> Made:
    """The frames asked for.

    Raises:
        MethodError: they are not of the shape that they should be.
    """
    made: dict[int, Tensor] = {}
    finite = []
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
        pictures = pictures.to(question.first.device)
        finite.append(pictures.isfinite().all())
        made |= zip(pair.targets, pictures, strict=True)
    if protocol.to_8bit:
        made = {n: round_8bit(picture) for n, picture in made.items()}
    return Made(made, torch.stack(finite).all())


def check(pictures: object, method: Method, question: Question) -> None:
    """Raises MethodError on pictures that are none, or not of the kind or shape asked for."""
    shape = (len(question.pair.targets), *question.first.shape)
    if not isinstance(pictures, Tensor) or tuple(pictures.shape) != shape:
        found = tuple(pictures.shape) if isinstance(pictures, Tensor) else type(pictures).__name__
        raise MethodError(
            f"{method.name} returned {found} where {shape} was asked for: {question}",
            hint="It must return a torch.Tensor (timesteps, 1, 3, height, width)",
        )
    if not pictures.is_floating_point():
        raise MethodError(
            f"{method.name} returned {str(pictures.dtype).removeprefix('torch.')} values: "
            f"{question}",
            hint="It must return R'G'B' in [0, 1], as it was given",
        )


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
        device: the GPU.
    """
    pictures = [torch.rand(1, 3, SMALL, SMALL, device=device) for _ in range(3)]
    for protocol in protocols:
        compare([round_8bit(picture) for picture in pictures], pictures, protocol, None).tolist()
        torch.stack([picture.isfinite().all() for picture in pictures]).all().item()
        if protocol.is_sequence:
            difference_error(pictures, pictures)
            flicker(pictures, pictures)


@torch.inference_mode()
def begin_score(
    method: Method,
    protocol: Protocol,
    clip: LoadedClip,
    frames: dict[int, Tensor],
    lpips: Lpips | None = None,
) -> Pending:
    """Make the frames and compare them; a GPU may be at work on it when this returns.

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
    truths = [frames[n] for n in made.frames]
    steadiness = {}
    if protocol.is_sequence:
        sequence = [made.frames.get(n, frames[n]) for n in protocol.numbers]
        truth = [frames[n] for n in protocol.numbers]
        steadiness = {
            "difference_error": difference_error(sequence, truth),
            "flicker": flicker(sequence, truth),
        }
    return Pending(
        method=method.name,
        protocol=protocol,
        clip=clip,
        size=(int(height), int(width)),
        numbers=tuple(made.frames),
        finite=made.finite,
        values=compare(list(made.frames.values()), truths, protocol, lpips),
        steadiness=steadiness,
    )
