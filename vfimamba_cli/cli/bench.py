"""`vfimamba bench`: quality the way a published protocol measures it, and speed."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vfimamba_cli.cli.errors import user_errors
from vfimamba_cli.errors import OptionError, OutputError


class Dataset(StrEnum):
    """What quality can be measured on."""

    DAVIS7 = "davis7"


def bench(
    dataset: Annotated[Dataset | None, typer.Option(help="Measure quality on this")] = None,
    speed: Annotated[bool, typer.Option("--speed", help="Time a made frame")] = False,
    scan: Annotated[bool, typer.Option("--scan", help="Check and time the scan backends")] = False,
    data: Annotated[
        Path | None, typer.Option(help="Folder of the dataset; default VFIMAMBA_DATA/<dataset>")
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Name, path or Hub ID; may be repeated [vfimamba-s]")
    ] = None,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the frames for --speed")] = "640x352",
    runs: Annotated[int, typer.Option(min=1, help="Runs to take the median of")] = 5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    limit: Annotated[int | None, typer.Option(min=1, help="Use the first N clips only")] = None,
    json: Annotated[
        Path | None, typer.Option(help="Write the numbers of --dataset to this file too")
    ] = None,
) -> None:
    """Measure models: one of --dataset, --speed and --scan."""
    with user_errors():
        if (dataset is not None) + speed + scan != 1:
            raise OptionError(
                "Give exactly one of --dataset, --speed and --scan",
                hint="For example: vfimamba bench --speed --size 640x352",
            )
        models = model or ["vfimamba-s"]
        if speed:
            print_speed(models, size, device, runs)
        elif scan:
            print_scan(device, runs)
        else:
            print_quality(models, data, device, limit, json)


def print_quality(
    models: list[str], data: Path | None, device: str, limit: int | None, json: Path | None
) -> None:
    """PSNR per task."""
    from vfimamba_cli.bench.davis7 import run_davis7

    report = run_davis7(models, folder=data, device=device, limit=limit)
    typer.echo(report.table())
    if json is not None:
        try:
            json.write_text(report.to_json(), encoding="utf-8")
        except OSError as error:
            raise OutputError(f"Cannot write: {error.strerror}: {json}") from error


def print_speed(models: list[str], size: str, device: str, runs: int) -> None:
    """Milliseconds per made frame."""
    from vfimamba_cli.bench.speed import time_model

    width, cross, height = size.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) * int(height)):
        raise OptionError(f"Not a size: {size!r}", hint="Give WIDTHxHEIGHT, as 1280x720")
    for name in models:
        row = time_model(name, width=int(width), height=int(height), device=device, runs=runs)
        typer.echo(row.line())


def print_scan(device: str, runs: int) -> None:
    """Milliseconds per scan, of every backend that can run there."""
    from vfimamba_cli.bench.scan import ScanSize, time_backends
    from vfimamba_cli.ops.device import choose_device
    from vfimamba_cli.ops.scan import BACKENDS

    where = choose_device(device)
    names = [backend.name for backend in BACKENDS if backend.obstacle(where) is None]
    size = ScanSize()
    typer.echo(f"K={size.orders} D={size.channels} N={size.states} L={size.tokens}, batch 1, fp32")
    for row in time_backends(names, where, size=size, runs=runs):
        training = "-" if row.training_seconds is None else f"{1000 * row.training_seconds:.1f} ms"
        typer.echo(
            f"{row.backend:10}  forward {1000 * row.forward_seconds:8.1f} ms  "
            f"with gradients {training:>10}  error {row.error:.1e}"
        )
