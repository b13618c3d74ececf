"""What a benchmark found: a table for people, one JSON document for programs."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

from vfimamba_cli.bench.machine import Machine


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One method.

    Attributes:
        method: as it was asked for.
        psnr: task name -> mean PSNR in dB; tasks that do not apply are left out.
        settings: what was chosen for it (device, dtype, scan).
    """

    method: str
    psnr: dict[str, float]
    settings: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All methods on one dataset, over `clips` clips."""

    dataset: str
    clips: int
    rows: tuple[Row, ...]

    def table(self) -> str:
        """One line per method, one column per task, PSNR in dB."""
        tasks = list(dict.fromkeys(task for row in self.rows for task in row.psnr))
        lines = [("PSNR in dB", *tasks, "settings")]
        for row in self.rows:
            values = (f"{row.psnr[task]:.2f}" if task in row.psnr else "-" for task in tasks)
            lines.append((row.method, *values, " ".join(row.settings.values())))
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join((f"{self.dataset}, {self.clips} clips", *align(lines, widths)))

    def to_json(self) -> str:
        """The same as a JSON object."""
        return json.dumps(asdict(self), indent=2) + "\n"


class Measurement(Protocol):
    """A row of `document`."""

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values, each named with its unit."""
        ...


def align(lines: Iterable[Sequence[str]], widths: Sequence[int]) -> Iterable[str]:
    """Each line's cells in columns of these `widths`."""
    return ("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


def document(
    what: str,
    rows: Iterable[Measurement],
    *,
    settings: dict[str, Any],
    machine: Machine | None = None,
) -> str:
    """One JSON object: what was measured, how, on what, and every row."""
    content = {
        "measured": what,
        "machine": asdict(machine) if machine else None,
        "settings": settings,
        "rows": [row.to_dict() for row in rows],
    }
    return json.dumps(content, indent=2) + "\n"
