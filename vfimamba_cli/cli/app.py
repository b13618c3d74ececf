"""The `vfimamba` command. Sub-commands load what they need when they run: --help stays fast."""

import os
from importlib.metadata import version
from typing import Annotated

import typer

from vfimamba_cli.cli import info, interpolate, runs, train, weights
from vfimamba_cli.cli.bench.command import bench

app = typer.Typer(
    name="vfimamba",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command("interpolate")(interpolate.interpolate)
app.command("info")(info.info)
app.command("train")(train.train)
app.command("bench")(bench)
app.add_typer(weights.app, name="weights")
app.add_typer(runs.app, name="runs")


def print_version(wanted: bool) -> None:
    """Print the version and stop, where `--version` was given."""
    if wanted:
        typer.echo(f"vfimamba {version('vfimamba-cli')}")
        raise typer.Exit


@app.callback()
def options(
    _version: Annotated[
        bool, typer.Option("--version", callback=print_version, is_eager=True, help="Print version")
    ] = False,
) -> None:
    """Video frame interpolation with VFIMamba, a selective state-space network."""


def main() -> None:
    """What the installed command starts."""
    # torch's threads share the cores with the decoder's and encoder's: those that wait should not
    # spin for long, nor sleep at once, which slows the many short operations of `chunked`.
    # Read once, when torch is loaded, by GNU OpenMP.
    os.environ.setdefault("GOMP_SPINCOUNT", "20000")
    os.environ.setdefault("SVT_LOG", "1")  # of SVT-AV1, which writes to standard error: errors only
    app()
