"""What `--dataset` prints."""

from pathlib import Path

import typer

from vfimamba_cli.cli.bench.output import write


def print_quality(
    models: list[str], data: Path | None, device: str, limit: int | None, json: Path | None
) -> None:
    """PSNR per task."""
    from vfimamba_cli.bench.davis7 import run_davis7

    report = run_davis7(models, folder=data, device=device, limit=limit)
    typer.echo(report.table())
    write(json, report.to_json())
