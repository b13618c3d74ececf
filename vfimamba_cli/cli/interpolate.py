"""`vfimamba interpolate in.mp4 --factor 4 -o out.mp4`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from vfimamba_cli.cli.errors import user_errors

FLOW_SCALES: dict[str, float | Literal["auto"]] = {
    "auto": "auto",
    "1": 1.0,
    "0.5": 0.5,
    "0.25": 0.25,
}


def interpolate(
    source: Annotated[Path, typer.Argument(metavar="IN", help="Video to read")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="Video to write [default: IN's name with the new rate]"
        ),
    ] = None,
    factor: Annotated[
        int, typer.Option("--factor", "-x", min=2, help="Times as many frames per second")
    ] = 2,
    model: Annotated[
        str,
        typer.Option(help="Name from `vfimamba weights list`, a .safetensors file, or a Hub ID"),
    ] = "vfimamba-s",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    scan: Annotated[str, typer.Option(help="auto, mamba_cuda, cpu, chunked or reference")] = "auto",
    flow_scale: Annotated[
        str, typer.Option(help="Size at which motion is found: auto, 1, 0.5 or 0.25")
    ] = "auto",
    tile: Annotated[
        int,
        typer.Option(min=0, help="Side of the tiles in pixels; 0 takes what fits the memory"),
    ] = 0,
    overwrite: Annotated[
        bool, typer.Option("--yes", "-y", help="Replace the output file if it exists")
    ] = False,
) -> None:
    """Insert frames between those of IN, keeping its sound, timing, length and colors."""
    with user_errors():
        from vfimamba_cli.pipeline import interpolate_video  # torch and av load here

        if flow_scale not in FLOW_SCALES:
            raise typer.BadParameter(
                f"{flow_scale!r} is not one of {', '.join(FLOW_SCALES)}", param_hint="--flow-scale"
            )
        report = interpolate_video(
            source,
            output,
            factor=factor,
            model=model,
            device=device,
            scan=scan,
            flow_scale=FLOW_SCALES[flow_scale],
            tile=tile,
            overwrite=overwrite,
            announce=lambda line: typer.echo(line, err=True),
            progress=True,
        )
        typer.echo(report.summary())
