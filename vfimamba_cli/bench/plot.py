"""Line plots as SVG: panels side by side, a legend under each."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT = 360, 260
"""Of a panel's axes, in SVG pixels."""

LEFT, TOP, GAP, LEGEND_LINE = 64, 40, 56, 18

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00")
"""Told apart by the color-blind too (Okabe and Ito)."""

MOST_X = 6
"""Of marks that stand at the points themselves; more are round numbers instead."""

WIDTHS = (4, 2)
"""In turn, so that a line shows where another lies on it."""


@dataclass(frozen=True, slots=True)
class Line:
    """Points (x, y) joined in their order; lines of one `color` belong together."""

    label: str
    color: int
    points: Sequence[tuple[float, float]]
    dashed: bool = False

    @property
    def paint(self) -> str:
        """The SVG value of its color."""
        return COLORS[self.color % len(COLORS)]

    @property
    def stroke(self) -> str:
        """Its SVG attributes as a path."""
        dashes = ' stroke-dasharray="5 4"' if self.dashed else ""
        width = WIDTHS[self.color % len(WIDTHS)]
        return f'stroke="{self.paint}" stroke-width="{width}" fill="none"{dashes}'


@dataclass(frozen=True, slots=True)
class Panel:
    """One pair of axes; values lie on a logarithmic one, and above 0, unless it is `linear`."""

    title: str
    x_label: str
    lines: Sequence[Line]
    linear: bool = False

    def marks(self, low: float, high: float) -> list[float]:
        """Round values from the last at or below `low` to the first at or above `high`."""
        return even_ticks(low, high) if self.linear else ticks(low, high)

    def height_of(self, y: float, low: float, high: float) -> float:
        """Where `y` lies between `low` (0) and `high` (1)."""
        if self.linear:
            return (y - low) / (high - low)
        return math.log(y / low) / math.log(high / low)


def draw(panels: Sequence[Panel]) -> str:
    """An SVG document."""
    width = len(panels) * (LEFT + WIDTH + 24)
    entries = max(len(panel.lines) for panel in panels)
    height = TOP + HEIGHT + GAP + LEGEND_LINE * entries
    body = [line for i, panel in enumerate(panels) for line in _panel(panel, i)]
    return "\n".join(
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
            f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
            f'<rect width="{width}" height="{height}" fill="white"/>',
            *body,
            "</svg>\n",
        )
    )


def ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times powers of ten, from the last at or below `low` to the first at or above
    `high`; only the powers themselves where that would be many.
    """
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if high <= 1000 * low else (1,)
    every = [step * 10.0**decade for decade in decades for step in steps]
    first = max(i for i, tick in enumerate(every) if tick <= low * (1 + 1e-9))
    last = min(i for i, tick in enumerate(every) if tick >= high * (1 - 1e-9))
    return every[first : max(last, first + 1) + 1]


def even_ticks(low: float, high: float) -> list[float]:
    """Multiples of 1, 2 or 5 times a power of ten, five steps at most between `low` and `high`;
    the ends lie outside.
    """
    least = (high - low) / 5 or 1.0
    power = 10.0 ** math.floor(math.log10(least))
    step = next(power * i for i in (1, 2, 5, 10) if power * i >= least * (1 - 1e-9))
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [step * i for i in range(first, max(last, first + 1) + 1)]


def _panel(panel: Panel, number: int) -> list[str]:
    points = [point for line in panel.lines for point in line.points]
    xs = sorted({x for x, _ in points})
    marks = panel.marks(min(y for _, y in points), max(y for _, y in points))
    span = xs[-1] - xs[0] or 1.0

    def at(x: float, y: float) -> tuple[float, float]:
        across = (x - xs[0]) / span
        up = panel.height_of(y, marks[0], marks[-1])
        return WIDTH * across, HEIGHT * (1 - up)

    lines = [f'<g transform="translate({number * (LEFT + WIDTH + 24) + LEFT} {TOP})">']
    lines.append(_text(WIDTH / 2, -16, panel.title, "middle"))
    lines.append(_text(WIDTH / 2, HEIGHT + 36, panel.x_label, "middle"))
    for mark in marks:
        _, y = at(xs[0], mark)
        lines.append(f'<path d="M0 {y:.1f}H{WIDTH}" stroke="#ddd"/>')
        lines.append(_text(-6, y + 4, f"{mark:g}", "end"))
    inside = [x for x in even_ticks(xs[0], xs[-1]) if xs[0] <= x <= xs[-1]]
    for x in xs if len(xs) <= MOST_X else inside:
        across, _ = at(x, marks[0])
        lines.append(_text(across, HEIGHT + 18, f"{x:.0f}", "middle"))
    for line in panel.lines:
        corners = [at(x, y) for x, y in line.points]
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in corners)
        lines.append(f'<path d="M{path}" {line.stroke}/>')
        lines += [
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{line.paint}"/>' for x, y in corners
        ]
    return [*lines, *_legend(panel), "</g>"]


def _legend(panel: Panel) -> list[str]:
    lines = []
    for i, line in enumerate(panel.lines):
        y = HEIGHT + GAP + LEGEND_LINE * i
        lines.append(f'<path d="M0 {y - 4}h28" {line.stroke}/>')
        lines.append(_text(34, y, line.label, "start"))
    return lines


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'
