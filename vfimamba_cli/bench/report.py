"""What a benchmark found: a table for people, one JSON document for programs."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from vfimamba_cli.bench.machine import Machine


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
