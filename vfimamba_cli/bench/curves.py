"""How runs of training went, side by side in one plot."""

from collections.abc import Mapping, Sequence

from vfimamba_cli.bench.plot import Line, Panel, draw

MEASURES = {
    "middle_psnr_db": "frame 4 from 0 and 8, PSNR in dB",
    "step_psnr_db": "frame 1 from 0 and 2, PSNR in dB",
}
"""What validation writes down, and its panel's title."""


def draw_curves(runs: Sequence[tuple[str, Sequence[Mapping[str, float]]]]) -> str:
    """An SVG document: a panel for each task of validation, a line for each run.

    Args:
        runs: labels, and what validation wrote down, in order.
    """
    panels = [
        Panel(
            title=title,
            x_label="step",
            lines=[
                Line(label=name, color=number, points=[(e["step"], e[measure]) for e in log])
                for number, (name, log) in enumerate(runs)
            ],
            linear=True,
        )
        for measure, title in MEASURES.items()
    ]
    return draw(panels)
