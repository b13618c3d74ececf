"""`vfimamba info in.mp4`."""

from pathlib import Path
from typing import Annotated

import typer

from vfimamba_cli.cli.errors import user_errors


def info(
    source: Annotated[Path, typer.Argument(metavar="IN", readable=False, help="Video to look at")],
) -> None:
    """Say what is seen of IN, and what `interpolate` would make of it."""
    with user_errors():
        from vfimamba_cli.pipeline.describe import describe_video  # torch and av load here

        for line in describe_video(source):
            typer.echo(line)
