"""`vfimamba train --stage clips --data FOLDER --minutes 20`, alone or under torchrun."""

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vfimamba_cli.cli.errors import ENDINGS, handling, user_errors
from vfimamba_cli.errors import OptionError


class ColumnMerge(StrEnum):
    """As `ModelConfig` has it."""

    PUBLISHED = "published"
    EXACT = "exact"


class Arrangement(StrEnum):
    """As `ModelConfig` has it."""

    INTERLEAVED = "interleaved"
    SEQUENTIAL = "sequential"


def train(
    data: Annotated[Path, typer.Option(help="Folder of videos, or of vimeo90k/ and x-train/")],
    stage: Annotated[
        str, typer.Option(help="vimeo, sequential, mixed, curriculum, clips or finetune")
    ] = "clips",
    photos: Annotated[
        Path | None, typer.Option(help="Folder of photographs, moved as layers")
    ] = None,
    synthetic_share: Annotated[
        float | None, typer.Option(help="Of samples that are moving layers [default: the stage's]")
    ] = None,
    val: Annotated[
        Path | None,
        typer.Option(help="Folder of vidim_davis7.mp4 or videos, to measure progress on"),
    ] = None,
    val_every: Annotated[
        int | None, typer.Option(min=1, help="Steps between two of these [default: 3 minutes]")
    ] = None,
    model: Annotated[str, typer.Option(help="Name from `vfimamba weights list`")] = "vfimamba-s",
    column_merge: Annotated[
        ColumnMerge | None, typer.Option(help="Of the scans [default: the model's]")
    ] = None,
    arrangement: Annotated[
        Arrangement | None, typer.Option(help="Of the frames' tokens [default: the model's]")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of the run [default: runs/MODEL]")
    ] = None,
    steps: Annotated[int | None, typer.Option(min=1, help="Length of the run")] = None,
    minutes: Annotated[float | None, typer.Option(help="Length by the clock")] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Samples in a step, of all processes together")
    ] = 32,
    crop: Annotated[int, typer.Option(help="Height and width of a sample, in pixels")] = 256,
    lr: Annotated[
        float | None, typer.Option(help="Highest learning rate [default: the stage's]")
    ] = None,
    init: Annotated[
        Path | None, typer.Option(help="Start from this .safetensors, not random weights")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the plan with its cost, and stop")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    scan: Annotated[
        str, typer.Option(help="auto, triton, mamba_cuda, chunked or reference")
    ] = "auto",
    seed: Annotated[
        int, typer.Option(min=0, max=2**63 - 1, help="Of the first weights and every draw")
    ] = 0,
) -> None:
    """Train a network on a folder of videos; Ctrl-C saves and stops.

    With several GPUs: torchrun --nproc-per-node N -m vfimamba_cli train ...
    """
    from vfimamba_cli.train import distributed, recipes, session, sources  # torch and av load here

    with user_errors():
        if val_every is not None and val is None:
            raise OptionError(
                "--val-every says when to validate, but nothing says on what",
                hint="Name a folder of videos to hold out with --val",
            )
        recipe = recipes.make_recipe(
            stage,
            real=sources.has_published_sets(data) and stage in recipes.STRATEGIES,
            photos=photos is not None,
            synthetic_share=synthetic_share,
            model=model,
            column_merge=column_merge and column_merge.value,
            arrangement=arrangement and arrangement.value,
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
            validate_every=val_every,
            out=out or Path("runs") / model,
            initial=init,
            resume=resume,
            device=device,
            scan=scan,
        )
        if dry_run:
            session.dry_run(folders, recipe, announce=typer.echo)
            return
        came: list[int] = []
        finished = session.train(
            folders,
            recipe,
            announce=lambda line: typer.echo(line, err=True),
            stopping=lambda: stop_on_signals(came),
        )
        speaks = distributed.is_first_process()
        if not finished:
            if speaks:
                typer.echo("stopped; the same command with --resume goes on", err=True)
            raise typer.Exit(128 + (came[0] if came else signal.SIGINT))
        if speaks:
            typer.echo(folders.out / "ema.safetensors")


@contextmanager
def stop_on_signals(came: list[int]) -> Iterator[Callable[[], bool]]:
    """Whether Ctrl-C or a polite kill has come, so that a run can save before it ends.

    Args:
        came: gets their numbers.
    """
    with handling([signal.SIGINT, *ENDINGS], lambda kind, _: came.append(kind)):
        yield lambda: bool(came)
