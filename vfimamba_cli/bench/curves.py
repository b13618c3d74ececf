"""How runs of training went, side by side in one plot."""

import json
from collections.abc import Sequence
from pathlib import Path

from vfimamba_cli.bench.plot import Line, Panel, draw
from vfimamba_cli.errors import InputError

LOG = "metrics.jsonl"
MEASURES = {
    "middle_psnr_db": "frame 4 from 0 and 8, PSNR in dB",
    "step_psnr_db": "frame 1 from 0 and 2, PSNR in dB",
}
"""What validation writes down, and its panel's title."""


def draw_curves(runs: Sequence[Path]) -> str:
    """An SVG document: a panel for each task of validation, a line for each run.

    Args:
        runs: folders of `vfimamba train --out`, labeled by their names.

    Raises:
        InputError: a folder holds no log of a run, or one without validation.
    """
    logs = {run.name: read_validations(run) for run in runs}
    panels = [
        Panel(
            title=title,
            x_label="step",
            lines=[
                Line(label=name, color=number, points=[(e["step"], e[measure]) for e in log])
                for number, (name, log) in enumerate(logs.items())
            ],
            linear=True,
        )
        for measure, title in MEASURES.items()
    ]
    return draw(panels)


def read_validations(run: Path) -> list[dict[str, float]]:
    """The entries that validation made, in order.

    Raises:
        InputError: as `draw_curves`.
    """
    path = run / LOG
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
        entries = [json.loads(line) for line in lines]
        found = [entry for entry in entries if entry["kind"] == "validation"]
    except OSError as error:
        raise InputError(f"No log of a run: {path}", hint="Name folders of --out") from error
    except (ValueError, TypeError, KeyError) as error:
        raise InputError(f"The log of the run is damaged ({error!r}): {path}") from error
    if not found:
        raise InputError(
            f"The run was never validated: {path}", hint="Train with --val, and perhaps --val-every"
        )
    return found
