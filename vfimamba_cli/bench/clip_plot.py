"""PSNR of every clip as SVG: a point per clip and method, the clips from the worst on."""

import math
from collections.abc import Iterator
from html import escape

from vfimamba_cli.bench.plot import COLORS
from vfimamba_cli.bench.protocol import Protocol
from vfimamba_cli.bench.results import Results

WIDTH, HEIGHT = 900, 260
"""Of the axes, in SVG pixels."""

LEFT, TOP, LEGEND_LINE = 48, 24, 18
NAMED = 400
"""Up to so many clips, points tell their clip and value when one points at them."""


def clip_plot(results: Results, protocol: Protocol, judged: str) -> str:
    """An SVG element, one color per method; exact frames, whose PSNR is infinite, are left out."""
    values: dict[str, dict[str, float]] = {}
    for score in results.scores:
        if score.protocol == protocol.name and math.isfinite(score.mean_psnr):
            values.setdefault(score.method, {})[score.clip] = score.mean_psnr
    own = values.get(judged, {})
    clips = dict.fromkeys(clip for psnr in values.values() for clip in psnr)
    order = sorted(clips, key=lambda clip: own.get(clip, math.inf))
    drawn = [value for psnr in values.values() for value in psnr.values()]
    if not drawn:
        return f"<p>{escape(protocol.name)}: all frames are exact.</p>"
    low, high, step = rounded(min(drawn), max(drawn))
    height = TOP + HEIGHT + 44 + LEGEND_LINE * len(values)
    lines = [
        f'<div class="wide" tabindex="0" role="region" aria-label="{escape(protocol.name)}, plot">'
        f'<svg viewBox="0 0 {LEFT + WIDTH + 12} {height}" font-size="12" role="img" '
        f'aria-label="PSNR of each clip by {escape(protocol.name)}">'
        f'<g transform="translate({LEFT} {TOP})">',
        f'<text x="0" y="-10">{escape(protocol.name)}: PSNR in dB</text>',
        *axis(low, high, step),
        f'<text x="{WIDTH / 2}" y="{HEIGHT + 24}" text-anchor="middle">{len(order)} clips</text>',
    ]
    for i, (method, psnr) in enumerate(values.items()):
        color = COLORS[i % len(COLORS)]
        points = [(at, clip, psnr[clip]) for at, clip in enumerate(order) if clip in psnr]
        lines += points_of(points, len(order), low, high, color, method)
        y = HEIGHT + 44 + LEGEND_LINE * i
        lines.append(f'<circle cx="6" cy="{y - 4}" r="4" fill="{color}"/>')
        lines.append(f'<text x="18" y="{y}">{escape(method)}</text>')
    return "".join((*lines, "</g></svg></div>"))


def rounded(least: float, most: float) -> tuple[int, int, int]:
    """Whole numbers around both, and a step that leads from one to the other in at most 8."""
    low = math.floor(least)
    step = max(1, math.ceil((most - low) / 8))
    return low, low + step * max(1, math.ceil((most - low) / step)), step


def axis(low: int, high: int, step: int) -> Iterator[str]:
    """Lines across at round values."""
    for value in range(low, high + 1, step):
        y = HEIGHT * (high - value) / (high - low)
        yield f'<path class="axis" d="M0 {y:.1f}H{WIDTH}"/>'
        yield f'<text x="-6" y="{y + 4:.1f}" text-anchor="end">{value}</text>'


def points_of(
    points: list[tuple[int, str, float]], count: int, low: int, high: int, color: str, method: str
) -> Iterator[str]:
    """(place, clip, value) of one method, of `count` places in all."""
    places = [
        (WIDTH * (at + 0.5) / count, HEIGHT * (high - value) / (high - low))
        for at, _, value in points
    ]
    if count > NAMED:
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
        yield f'<path d="M{path}" fill="none" stroke="{color}"/>'
        return
    for (x, y), (_, clip, value) in zip(places, points, strict=True):
        yield (
            f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{color}">'
            f"<title>{escape(clip)}, {escape(method)}: {value:.2f} dB</title></circle>"
        )
