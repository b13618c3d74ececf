"""What a run of protocols found: tables for people, one JSON document for programs."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from vfimamba_cli.bench.busy import Busy
from vfimamba_cli.bench.machine import Machine
from vfimamba_cli.bench.protocol import Protocol
from vfimamba_cli.bench.report import align
from vfimamba_cli.bench.score import Score
from vfimamba_cli.bench.summary import Summary, finite, summarize

PUBLISHED = "published"
"""Marks rows that others measured."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Results:
    """All methods by all protocols of a dataset.

    Attributes:
        dataset: as it was asked for.
        protocols: what was measured.
        methods: name -> what was chosen for it, in the table's order.
        scores: of every clip, method and protocol.
        limit: how many clips were taken of each set; None for all.
        settings: everything else that was asked for.
        machine: that it ran on.
        busy: how long measuring took, and how busy GPUs were; of this run alone, where it went on
            with an interrupted one.
    """

    dataset: str
    protocols: tuple[Protocol, ...]
    methods: dict[str, dict[str, str]]
    scores: tuple[Score, ...]
    limit: int | None
    settings: dict[str, Any]
    machine: Machine
    busy: Busy

    @property
    def summaries(self) -> dict[tuple[str, str], Summary]:
        """By the names of protocol and method."""
        return {(row.protocol, row.method): row for row in summarize(self.scores)}

    @property
    def measured(self) -> tuple[Protocol, ...]:
        """The protocols that found clips: a folder may have some for a part of them only."""
        found = {score.protocol for score in self.scores}
        return tuple(protocol for protocol in self.protocols if protocol.name in found)

    def clip_counts(self) -> dict[str, int]:
        """Protocol -> how many clips."""
        return {name: row.clips for (name, _), row in self.summaries.items()}

    def title(self) -> str:
        """What was measured, and whether it can be compared."""
        counts = self.clip_counts()
        same = len(set(counts.values())) == 1
        clips = (
            f"{next(iter(counts.values()))}"
            if same
            else ", ".join(f"{name} {count}" for name, count in counts.items())
        )
        part = "" if self.limit is None else ", the first ones only: not to be compared"
        other = "".join(f"; {text}: not to be compared" for text in self.other_sizes())
        return f"{self.dataset}: PSNR in dB and SSIM over clips: {clips}{part}{other}"

    def other_sizes(self) -> Iterator[str]:
        """Where the frames are not of the size that the published ones are."""
        for protocol in self.measured:
            sizes = {score.size for score in self.scores if score.protocol == protocol.name}
            if protocol.size is not None and (found := sizes - {protocol.size}):
                height, width = min(found)
                is_published = f"{protocol.size[1]}x{protocol.size[0]} as published"
                yield f"{protocol.name} on frames of {width}x{height}, not {is_published}"

    def table(self) -> str:
        """The main table, then one of details per protocol."""
        return "\n\n".join((self.main_table(), *map(self.details, self.measured)))

    def main_table(self) -> str:
        """One line per method, one column per protocol; published ones last."""
        return "\n".join((self.title(), *columns(self.main_lines())))

    def main_lines(self) -> list[tuple[str, ...]]:
        """Its cells."""
        lines: list[tuple[str, ...]] = [
            ("method", *(protocol.name for protocol in self.measured), "settings")
        ]
        for method, facts in self.methods.items():
            cells = (self.summaries[p.name, method].cell() for p in self.measured)
            chosen = (facts[key] for key in ("device", "dtype", "scan") if key in facts)
            lines.append((method, *cells, " ".join(chosen)))
        return lines + self.published_lines()

    def published_lines(self) -> list[tuple[str, ...]]:
        """By method, marked; a dash where a paper has none."""
        rows: dict[str, dict[str, str]] = {}
        for protocol in self.measured:
            for entry in protocol.published:
                ssim = "" if entry.ssim is None else f" {entry.ssim:.4f}"
                cell = f"{'~' if entry.about else ''}{entry.psnr:.2f}{ssim}"
                rows.setdefault(entry.method, {})[protocol.name] = cell
        return [
            (method, *(cells.get(p.name, "-") for p in self.measured), PUBLISHED)
            for method, cells in rows.items()
        ]

    def details(self, protocol: Protocol) -> str:
        """PSNR by motion, and steadiness where there is any."""
        title, lines = self.detail_lines(protocol)
        return "\n".join((title, *columns(lines)))

    def detail_lines(self, protocol: Protocol) -> tuple[str, list[tuple[str, ...]]]:
        """Its title and cells."""
        rows = [self.summaries[protocol.name, method] for method in self.methods]
        heads = [f"{band.motion} ({band.clips})" for band in rows[0].bands]
        steady = ["change error", "flicker"] if protocol.is_sequence else []
        perceptual = ["LPIPS"] if rows[0].lpips is not None else []
        lines: list[tuple[str, ...]] = [("", *heads, *steady, *perceptual)]
        for row in rows:
            values = [f"{band.psnr:.2f}" for band in row.bands]
            if row.difference_error is not None and row.flicker is not None:
                values += [f"{row.difference_error:.2f}", f"{row.flicker:+.2f}"]
            if row.lpips is not None:
                values.append(f"{row.lpips:.4f}")
            lines.append((row.method, *values))
        about = "; change error and flicker in 8-bit levels" if steady else ""
        return f"{protocol.name}: PSNR by motion in % of the width (clips){about}", lines

    def to_json(self) -> str:
        """Everything; a PSNR is null where the picture is exact."""
        content = {
            "measured": "quality",
            "dataset": self.dataset,
            "machine": asdict(self.machine),
            "seconds": self.busy.seconds,
            "gpu_busy_percent": self.busy.percent,
            "settings": self.settings,
            "methods": self.methods,
            "protocols": {p.name: asdict(p) for p in self.measured},
            "summary": [row.to_dict() for row in self.summaries.values()],
            "clips": [finite(score.to_dict()) for score in self.scores],
        }
        return json.dumps(content, indent=2, allow_nan=False) + "\n"


def columns(lines: Sequence[Sequence[str]]) -> Iterator[str]:
    """The lines, their cells below one another."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    yield from align(lines, widths)
