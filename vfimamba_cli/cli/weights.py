"""`vfimamba weights`: which models there are, fetch them, check them, convert published ones."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vfimamba_cli.cli.errors import user_errors
from vfimamba_cli.errors import OptionError, OutputError

app = typer.Typer(help="List, fetch, check and convert model weights.", no_args_is_help=True)


class Size(StrEnum):
    """The two published networks."""

    VFIMAMBA_S = "vfimamba-s"
    VFIMAMBA = "vfimamba"


@app.command("list")
def list_models() -> None:
    """Show the known models and whether their weights are here."""
    with user_errors():
        from vfimamba_cli.checkpoint.local import local_path
        from vfimamba_cli.checkpoint.manifest import read_manifest

        table = [("NAME", "SIZE", "LICENSE", "TIMESTEPS", "HERE", "SOURCE")]
        for entry in read_manifest().values():
            table.append(
                (
                    entry.name,
                    f"{entry.megabytes:.0f} MB",
                    entry.license,
                    "any" if entry.spec.arbitrary_time else "0.5",
                    "yes" if local_path(entry).is_file() else "no",
                    entry.source,
                )
            )
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        typer.echo("  ".join(map(str.ljust, row, widths)).rstrip())


@app.command()
def pull(name: Annotated[str, typer.Argument(help="Model name, or owner/repo on the Hub")]) -> None:
    """Fetch NAME from the Hub, verify and convert it, and print where it lies."""
    with user_errors():
        from vfimamba_cli.checkpoint.load import find_weights
        from vfimamba_cli.checkpoint.store import read_checkpoint

        path = find_weights(name)
        spec = read_checkpoint(path).spec
        times = "any timestep" if spec.arbitrary_time else "t = 0.5, others by halving"
        typer.echo(
            f"{spec.name}: width {spec.config.width}, {spec.channel_order.upper()}, {times}",
            err=True,
        )
        typer.echo(path)


@app.command()
def verify(
    name: Annotated[str, typer.Argument(help="Model name; without one, all that are here")] = "",
) -> None:
    """Check bundled and cached weights against the manifest, without network."""
    with user_errors():
        from vfimamba_cli.checkpoint.load import unknown_model
        from vfimamba_cli.checkpoint.local import local_path
        from vfimamba_cli.checkpoint.local import verify as verify_entry
        from vfimamba_cli.checkpoint.manifest import read_manifest

        entries = read_manifest()
        if name and name not in entries:
            raise unknown_model(name, entries)
        for entry in [entries[name]] if name else entries.values():
            if name or entry.bundled or local_path(entry).is_file():
                typer.echo(f"{entry.name}: intact: {verify_entry(entry)}")
            else:
                typer.echo(f"{entry.name}: not here")


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(metavar="IN.pkl", help="Published-style pickle")],
    target: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="File to write")],
    model: Annotated[Size, typer.Option(help="Which of the published networks it holds")],
    overwrite: Annotated[
        bool, typer.Option("--yes", "-y", help="Replace OUT.safetensors if it exists")
    ] = False,
) -> None:
    """Convert the published pickle IN.pkl to a checkpoint of ours."""
    with user_errors():
        if target.suffix != ".safetensors":
            raise OptionError(
                f"The output must be named .safetensors: {target}", hint="That is what it will be"
            )
        if target.exists() and not overwrite:
            raise OutputError(
                f"The output exists already: {target}", hint="Pass --yes to replace it"
            )
        from vfimamba_cli.checkpoint.official import PUBLISHED, convert_file

        convert_file(source, target, spec=PUBLISHED[model])
        typer.echo(target)
