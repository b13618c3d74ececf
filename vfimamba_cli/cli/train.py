"""`vfimamba train --stage clips --data FOLDER --minutes 20`."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vfimamba_cli.cli.errors import INTERRUPTED, user_errors


def train(
    data: Annotated[Path, typer.Option(help="Folder of videos, one shot each")],
    stage: Annotated[str, typer.Option(help="What to train: clips")] = "clips",
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photographs, moved as layers")
    ] = None,
    val: Annotated[
        Path | None, typer.Option(help="Folder of vidim_davis7.mp4, to measure progress on")
    ] = None,
    model: Annotated[str, typer.Option(help="Name from `vfimamba weights list`")] = "vfimamba-s",
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run [default: runs/MODEL]")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length by the clock")] = None,
    batch: Annotated[int, typer.Option(min=1, help="Samples in a step")] = 32,
    crop: Annotated[int, typer.Option(help="Height and width of a sample, in pixels")] = 256,
    lr: Annotated[float, typer.Option(help="Highest learning rate")] = 3e-4,
    init: Annotated[
        Path | None, typer.Option(help="Start from this .safetensors, not random weights")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out")] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    scan: Annotated[
        str, typer.Option(help="auto, triton, mamba_cuda, chunked or reference")
    ] = "auto",
    seed: Annotated[int, typer.Option(help="Of the first weights and every draw")] = 0,
) -> None:
    """Train a network on a folder of videos; Ctrl-C saves and stops."""
    from vfimamba_cli.train import recipes, session  # torch and av load here

    with user_errors():
        recipe = recipes.make_recipe(
            stage,
            model=model,
            steps=steps,
            minutes=minutes,
            batch=batch,
            crop=crop,
            lr=lr,
            seed=seed,
        )
        folders = session.Session(
            data=data,
            photos=photos,
            validation=val,
            out=out or Path("runs") / model,
            initial=init,
            resume=resume,
            device=device,
            scan=scan,
        )
        finished = session.train(
            folders,
            recipe,
            announce=lambda line: typer.echo(line, err=True),
            stopping=stop_on_signals,
        )
        if not finished:
            typer.echo("stopped; the same command with --resume goes on", err=True)
            raise typer.Exit(INTERRUPTED)
        typer.echo(folders.out / "ema.safetensors")


@contextmanager
def stop_on_signals() -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a polite kill has come, so that a run can save before it ends."""
    stopped = threading.Event()
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, lambda *_: stopped.set()) for kind in kinds]
    try:
        yield stopped.is_set
    finally:
        for kind, handler in zip(kinds, before, strict=True):
            signal.signal(kind, handler)
