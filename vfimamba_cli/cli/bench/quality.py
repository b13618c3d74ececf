"""What `--dataset` prints."""

from pathlib import Path

import typer

from vfimamba_cli.cli.loading import loading
from vfimamba_cli.cli.output import write
from vfimamba_cli.errors import InputError, OptionError


def print_quality(
    dataset: str,
    models: list[str],
    methods: list[str],
    data: Path | None,
    device: str,
    dtypes: list[str],
    limit: int | None,
    json: Path | None,
    page: Path | None,
    *,
    lpips: bool,
) -> None:
    """PSNR and SSIM per method and protocol; scores of finished clips are kept beside `json`."""
    with loading(device):
        from vfimamba_cli.bench.session import Request, measure, open_session, report

    if len(dtypes) > 1:
        raise OptionError("--dataset takes one --dtype", hint="Run it once for each")
    request = Request(
        dataset=dataset,
        models=tuple(models),
        methods=tuple(methods),
        data=data,
        device=device,
        dtype=dtypes[0],
        limit=limit,
        lpips=lpips,
    )
    session = open_session(request)
    ledger = None if json is None else json.with_name(f"{json.name}.clips.jsonl")
    results = measure(session, ledger=ledger, announce=lambda text: typer.echo(text, err=True))
    typer.echo(results.table())
    write(json, results.to_json())
    if page is not None:
        write(page, report(session, results))
    if ledger is not None:
        ledger.unlink(missing_ok=True)  # the document has all of it


def print_inventory(dataset: str, data: Path | None) -> None:
    """What there is of a dataset, set by set.

    Raises:
        InputError: anything is missing.
    """
    from vfimamba_cli.bench.inventory import take_inventory
    from vfimamba_cli.bench.quality import protocols_of

    whole = True
    for inventory in take_inventory(protocols_of(dataset), data):
        whole &= inventory.is_whole
        for line in inventory.lines():
            typer.echo(line)
    if not whole:
        raise InputError(f"The dataset is not whole: {dataset}")


def draw_results(documents: list[Path], picture: Path | None) -> None:
    """A radar chart of what earlier runs wrote.

    Raises:
        OptionError: there is nowhere to draw to.
    """
    from vfimamba_cli.bench.radar import draw_radar

    if picture is None:
        raise OptionError("--radar draws, but where to?", hint="Add --plot FILE.svg")
    write(picture, draw_radar(documents))
