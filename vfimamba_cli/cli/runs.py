"""`vfimamba runs`: what came of training, to look at."""

from pathlib import Path
from typing import Annotated

import typer

from vfimamba_cli.cli.errors import user_errors
from vfimamba_cli.cli.output import check, write

app = typer.Typer(help="Look at what came of training.", no_args_is_help=True)


@app.command()
def curves(
    runs: Annotated[list[Path], typer.Argument(help="Folders of `train --out`")],
    output: Annotated[Path, typer.Option("--output", "-o", help="SVG to write")],
) -> None:
    """Draw the validation of several runs into one plot."""
    with user_errors():
        check((output, ".svg"))
        from vfimamba_cli.bench.curves import draw_curves
        from vfimamba_cli.train.logbook import read_validations
        from vfimamba_cli.train.run_folder import RunFolder

        names = [run.resolve().name for run in runs]
        labels = names if len(set(names)) == len(names) else map(str, runs)
        logs = [read_validations(RunFolder(run).metrics) for run in runs]
        write(output, draw_curves(list(zip(labels, logs, strict=True))))
        typer.echo(output)


@app.command()
def table(
    runs: Annotated[list[Path], typer.Argument(help="Folders of `train --out`")],
    json: Annotated[Path | None, typer.Option(help="Write the numbers to this file too")] = None,
) -> None:
    """Compare how several runs were trained, and their last validation: PSNR in dB."""
    with user_errors():
        check((json, ""))
        from vfimamba_cli.bench.report import document
        from vfimamba_cli.bench.results import columns
        from vfimamba_cli.train.run_table import HEADS, RunRow

        rows = [RunRow.of(run) for run in runs]
        typer.echo("\n".join(columns([HEADS, *(row.cells() for row in rows)])))
        write(json, document("runs", rows, settings={"runs": [str(run) for run in runs]}))


@app.command()
def sheet(
    models: Annotated[list[str], typer.Argument(help="Names or paths of weights, the newest last")],
    data: Annotated[Path, typer.Option(help="Folder of vidim_davis7.mp4, or of videos")],
    output: Annotated[Path, typer.Option("--output", "-o", help="PNG to write")],
    pairs: Annotated[int, typer.Option(min=1, help="Rows")] = 24,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
) -> None:
    """Make hard pairs with several models, beside the average and the truth."""
    with user_errors():
        check((output, ".png"))
        from vfimamba_cli.bench.sheet import make_sheet
        from vfimamba_cli.checkpoint.store import write_atomically

        made = make_sheet(models, folder=data, pairs=pairs, device=device)
        write_atomically(output, made.to_png())
        typer.echo(made.table())
