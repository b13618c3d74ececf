"""`vfimamba bench`: measure quality the way a published protocol does."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vfimamba_cli.cli.errors import user_errors
from vfimamba_cli.errors import OutputError


class Dataset(StrEnum):
    """What can be measured on."""

    DAVIS7 = "davis7"


def bench(
    dataset: Annotated[Dataset, typer.Option(help="What to measure on")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of the dataset; default VFIMAMBA_DATA/<dataset>")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Name, path or Hub ID; may be repeated [vfimamba-s]")
    ] = None,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N clips only")] = None,
    json: Annotated[Path | None, typer.Option(help="Write the numbers to this file too")] = None,
) -> None:
    """Measure models on DATASET and print PSNR per task."""
    with user_errors():
        from vfimamba_cli.bench.davis7 import run_davis7

        assert dataset is Dataset.DAVIS7
        report = run_davis7(model or ["vfimamba-s"], folder=data, device=device, limit=limit)
        typer.echo(report.table())
        if json is not None:
            try:
                json.write_text(report.to_json(), encoding="utf-8")
            except OSError as error:
                raise OutputError(f"Cannot write: {error.strerror}: {json}") from error
