"""Means over clips: what a method's row in a table says."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

from vfimamba_cli.bench.motion import BANDS, band_of
from vfimamba_cli.bench.score import Score


@dataclass(frozen=True, slots=True)
class Band:
    """The clips whose motion lies between two bounds.

    Attributes:
        motion: the bounds, as `1-3 %` of the width.
        clips: how many they are.
        psnr: their mean, in dB.
    """

    motion: str
    clips: int
    psnr: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """One method by one protocol.

    Each clip's mean over its made frames counts once, as published.

    Attributes:
        protocol, method: their names.
        clips: how many.
        psnr: in dB, infinite if any frame was exact.
        ssim: likewise.
        difference_error, flicker: in 8-bit levels; None where they do not apply.
        bands: the clips by their motion, those that have any.
        lpips: likewise as PSNR; None where it was not measured.
    """

    protocol: str
    method: str
    clips: int
    psnr: float
    ssim: float
    difference_error: float | None
    flicker: float | None
    bands: tuple[Band, ...]
    lpips: float | None = None

    @classmethod
    def of(cls, scores: Sequence[Score]) -> Self:
        """The mean of the scores of one method by one protocol."""
        return cls(
            protocol=scores[0].protocol,
            method=scores[0].method,
            clips=len(scores),
            psnr=mean(score.mean_psnr for score in scores),
            ssim=mean(score.mean_ssim for score in scores),
            difference_error=mean_known(score.difference_error for score in scores),
            flicker=mean_known(score.flicker for score in scores),
            bands=tuple(bands(scores)),
            lpips=mean_known(score.mean_lpips for score in scores),
        )

    def cell(self) -> str:
        """PSNR and SSIM for people."""
        return f"{self.psnr:.2f} {self.ssim:.4f}"

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return finite(asdict(self))


def summarize(scores: Iterable[Score]) -> list[Summary]:
    """Each protocol's methods, in the order they come first."""
    rows: dict[tuple[str, str], list[Score]] = {}
    for score in scores:
        rows.setdefault((score.protocol, score.method), []).append(score)
    return [Summary.of(row) for row in rows.values()]


def bands(scores: Sequence[Score]) -> Iterable[Band]:
    """The scores by their clip's motion, from slow to fast."""
    for low, _ in BANDS:
        name = band_of(low)
        if values := [score.mean_psnr for score in scores if band_of(score.motion) == name]:
            yield Band(name, len(values), mean(values))


def mean(values: Iterable[float]) -> float:
    """Of at least one value."""
    listed = list(values)
    return math.fsum(listed) / len(listed)


def mean_known(values: Iterable[float | None]) -> float | None:
    """Of those that are not None; None if all are."""
    known = [value for value in values if value is not None]
    return mean(known) if known else None


def finite(value: Any) -> Any:
    """The same, with None for numbers that JSON does not have: the PSNR of an exact picture."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: finite(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [finite(entry) for entry in value]
    return value
