"""Methods over many protocols as a radar chart, from the documents of earlier runs."""

import json
import math
from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path

from vfimamba_cli.bench.plot import COLORS
from vfimamba_cli.bench.results import PUBLISHED
from vfimamba_cli.errors import InputError, OptionError

RADIUS, MARGIN, LEGEND_LINE = 200, 160, 20
"""In SVG pixels: of the outer ring, and around it."""

INNER = 0.25
"""Where the worst method of an axis is drawn; the best one lies on the outer ring."""

LEAST = 3
"""Axes: fewer make no area."""

Values = dict[str, dict[str, float]]
"""Method -> protocol -> PSNR in dB."""


def draw_radar(documents: Sequence[Path]) -> str:
    """An SVG document: an axis per protocol, a polygon per method that was measured on all.

    Each axis goes from the worst to the best PSNR on it. Published numbers are methods of their
    own, drawn dashed.

    Args:
        documents: as `--dataset --json` writes them; later ones win.

    Raises:
        InputError: a document cannot be read, or is no such one.
        OptionError: there are fewer than three protocols, or no method has all of them.
    """
    values: Values = {}
    for path in documents:
        for method, protocol, psnr in read_values(path):
            values.setdefault(method, {})[protocol] = psnr
    axes = list(dict.fromkeys(axis for psnr in values.values() for axis in psnr))
    whole = {method: psnr for method, psnr in values.items() if len(psnr) == len(axes)}
    if len(axes) < LEAST or not whole:
        raise OptionError(
            f"A radar chart needs {LEAST} protocols or more and a method measured on all of them: "
            f"here are {len(axes)} and {len(whole)}",
            hint="Give the --json files of several runs",
        )
    return chart(axes, whole)


def read_values(path: Path) -> Iterator[tuple[str, str, float]]:
    """Method, protocol and PSNR in dB of every row; those of exact pictures are left out.

    Raises:
        InputError: the file cannot be read, or is no result of `--dataset`.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        rows = [(row["method"], row["protocol"], row["psnr"]) for row in found["summary"]]
        rows += [
            (f"{entry['method']} ({PUBLISHED})", name, entry["psnr"])
            for name, protocol in found["protocols"].items()
            for entry in protocol["published"]
        ]
    except OSError as error:
        raise InputError(f"Cannot read: {error.strerror}: {path}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"Not the numbers of a dataset: {path}", hint="Give what --dataset --json wrote"
        ) from error
    yield from (row for row in rows if row[2] is not None)


def chart(axes: Sequence[str], values: Values) -> str:
    """The SVG document."""
    side = 2 * (RADIUS + MARGIN)
    height = side + LEGEND_LINE * len(values)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{side}" height="{height}" '
        f'viewBox="{-side / 2} {-side / 2} {side} {height}" font-family="sans-serif" '
        'font-size="13">',
        f'<rect x="{-side / 2}" y="{-side / 2}" width="{side}" height="{height}" fill="white"/>',
    ]
    for at, axis in enumerate(axes):
        found = [psnr[axis] for psnr in values.values()]
        lines += axis_lines(axis, at / len(axes), min(found), max(found))
    for i, (method, psnr) in enumerate(values.items()):
        corners = []
        for at, axis in enumerate(axes):
            found = [other[axis] for other in values.values()]
            x, y = place(at / len(axes), level(psnr[axis], min(found), max(found)))
            corners.append(f"{x:.1f} {y:.1f}")
        color = COLORS[i % len(COLORS)]
        dashes = ' stroke-dasharray="5 4"' if method.endswith(f"({PUBLISHED})") else ""
        stroke = f'stroke="{color}" stroke-width="2" fill="none"{dashes}'
        lines.append(f'<path class="method" d="M{"L".join(corners)}Z" {stroke}/>')
        y = side / 2 - 10 + LEGEND_LINE * i
        lines.append(f'<path d="M{-RADIUS} {y - 4}h28" {stroke}/>')
        lines.append(f'<text x="{36 - RADIUS}" y="{y}">{escape(method)}</text>')
    return "\n".join((*lines, "</svg>\n"))


def axis_lines(axis: str, turn: float, least: float, most: float) -> Iterator[str]:
    """One axis with its bounds, `turn` of a whole turn from the top."""
    (x, y), (far_x, far_y) = place(turn, 1), place(turn, 1.12)
    yield f'<path d="M0 0L{x:.1f} {y:.1f}" stroke="#ccc"/>'
    anchor = "middle" if abs(x) < 1 else "start" if x > 0 else "end"
    bounds = f"{least:.2f}" if least == most else f"{least:.2f}-{most:.2f}"
    yield (
        f'<text x="{far_x:.1f}" y="{far_y:.1f}" text-anchor="{anchor}">{escape(axis)}'
        f'<tspan x="{far_x:.1f}" dy="15" fill="#555">{bounds} dB</tspan></text>'
    )


def level(psnr: float, least: float, most: float) -> float:
    """How far out: `INNER` for the worst, 1 for the best."""
    return 1 if most == least else INNER + (1 - INNER) * (psnr - least) / (most - least)


def place(turn: float, out: float) -> tuple[float, float]:
    """x and y of a point; `out` is a share of the radius."""
    angle = 2 * math.pi * turn
    return RADIUS * out * math.sin(angle), -RADIUS * out * math.cos(angle)
