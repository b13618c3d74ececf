"""What `--speed` and `--end-to-end` print."""

from pathlib import Path
from typing import Any, Literal

import typer

from vfimamba_cli.cli.output import write

FlowScale = float | Literal["auto"]
Sizes = list[tuple[int, int]]


def print_speed(
    models: list[str],
    sizes: Sizes,
    dtypes: list[str],
    flow_scale: FlowScale,
    tile: int,
    device: str,
    runs: int | None,
    json: Path | None,
) -> None:
    """Milliseconds per made frame; each row as soon as it is known."""
    from vfimamba_cli.bench import speed
    from vfimamba_cli.bench.machine import Machine
    from vfimamba_cli.bench.report import document
    from vfimamba_cli.ops.device import choose_device

    where = choose_device(device)
    usual, machine = speed.defaults(where), Machine.of(where)
    settings = {
        "models": models,
        "sizes": sizes or usual.sizes,
        "dtypes": dtypes,
        "device": str(where),
        "flow_scale": flow_scale,
        "tile": tile,
        "runs": runs or usual.runs,
    }
    typer.echo(f"{machine.line()}\nper made frame, median of {settings['runs']} runs")
    typer.echo(speed.line(speed.HEADS, models))
    rows = []
    for row in speed.time_models(
        models,
        sizes=sizes or usual.sizes,
        dtypes=dtypes,
        device=where,
        flow_scale=flow_scale,
        tile=tile,
        runs=runs or usual.runs,
        announce=lambda text: typer.echo(text, err=True),
    ):
        typer.echo(speed.line(row.cells(), models))
        rows.append(row)
        write(json, document("speed", rows, settings=settings, machine=machine))


def print_end_to_end(
    models: list[str],
    video: Path | None,
    sizes: Sizes,
    flow_scale: FlowScale,
    tile: int,
    device: str,
    limit: int | None,
    json: Path | None,
) -> None:
    """Frames per second of a video beside those of the engine alone."""
    from vfimamba_cli.bench import end_to_end
    from vfimamba_cli.bench.machine import Machine
    from vfimamba_cli.bench.report import document
    from vfimamba_cli.ops.device import choose_device

    where = choose_device(device)
    usual, machine = end_to_end.defaults(where), Machine.of(where)
    settings: dict[str, Any] = {
        "models": models,
        "video": str(video) if video else None,
        "sizes": sizes or usual.sizes,
        "frames": limit or (None if video else usual.runs),
        "device": str(where),
        "flow_scale": flow_scale,
        "tile": tile,
        "factor": 2,
    }
    typer.echo(f"{machine.line()}\nmade frames per second, frame rate doubled, frames discarded")
    typer.echo(end_to_end.line(end_to_end.HEADS, models))
    rows = []
    for row in end_to_end.time_videos(
        models,
        video=video,
        sizes=sizes or usual.sizes,
        frames=settings["frames"],
        device=where,
        flow_scale=flow_scale,
        tile=tile,
        announce=lambda text: typer.echo(text, err=True),
    ):
        typer.echo(end_to_end.line(row.cells(), models))
        rows.append(row)
        write(json, document("end to end", rows, settings=settings, machine=machine))
