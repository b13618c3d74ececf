"""`vfimamba bench`: quality the way a published protocol measures it, speed, and cost."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from vfimamba_cli.bench.protocol import DATASETS
from vfimamba_cli.cli.bench.kernels import print_cost, print_receptive_fields, print_scan
from vfimamba_cli.cli.bench.quality import draw_results, print_inventory, print_quality
from vfimamba_cli.cli.bench.timing import print_end_to_end, print_speed
from vfimamba_cli.cli.errors import user_errors
from vfimamba_cli.cli.interpolate import FLOW_SCALES
from vfimamba_cli.cli.output import check
from vfimamba_cli.errors import OptionError

TAKES = {
    "--dataset": (
        *("--data", "--model", "--method", "--dtype", "--device", "--limit", "--lpips", "--verify"),
        *("--json", "--report"),
    ),
    "--speed": (
        *("--model", "--size", "--dtype", "--flow-scale", "--tile", "--device", "--runs"),
        "--json",
    ),
    "--end-to-end": (
        *("--data", "--model", "--size", "--flow-scale", "--tile", "--device", "--limit"),
        "--json",
    ),
    "--scan": ("--device", "--runs"),
    "--cost": ("--model", "--size", "--flow-scale", "--json", "--plot"),
    "--receptive-field": ("--model", "--device", "--json", "--plot"),
    "--radar": ("--plot",),
}
"""What is measured, and the options that it takes."""


class Dtype(StrEnum):
    """Number formats to time."""

    AUTO = "auto"
    FP16 = "fp16"
    BF16 = "bf16"
    FP32 = "fp32"


def bench(
    context: typer.Context,
    dataset: Annotated[
        str | None,
        typer.Option(help=f"Measure quality on one of {', '.join(DATASETS)}, or a protocol of it"),
    ] = None,
    verify: Annotated[
        bool, typer.Option("--verify", help="Only say what of the --dataset is missing")
    ] = False,
    speed: Annotated[bool, typer.Option("--speed", help="Time a made frame")] = False,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="Time a whole video, its frames discarded")
    ] = False,
    scan: Annotated[bool, typer.Option("--scan", help="Check and time the scan backends")] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Count multiply-adds and memory, S6 beside attention")
    ] = False,
    receptive_field: Annotated[
        bool, typer.Option("--receptive-field", help="What a feature sees: S6, others, and models")
    ] = False,
    radar: Annotated[
        list[Path] | None,
        typer.Option(help="Draw this --json of a --dataset as a radar chart; may be repeated"),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the dataset [VFIMAMBA_DATA/<dataset>], or video for --end-to-end"
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Name, path or Hub ID; may be repeated [vfimamba-s]")
    ] = None,
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="For --dataset: package.module:function, or folder of frames; may be repeated"
        ),
    ] = None,
    lpips: Annotated[
        bool,
        typer.Option("--lpips", help="For --dataset: LPIPS as well, if its package is installed"),
    ] = False,
    size: Annotated[
        list[str] | None,
        typer.Option(help="WIDTHxHEIGHT of the frames; may be repeated [usual ones]"),
    ] = None,
    dtype: Annotated[
        list[Dtype] | None, typer.Option(help="Number format; may be repeated for --speed [auto]")
    ] = None,
    flow_scale: Annotated[
        str, typer.Option(help="Size at which motion is found: auto, 1, 0.5 or 0.25")
    ] = "auto",
    tile: Annotated[
        int, typer.Option(min=0, help="Side of the tiles in pixels; 0 takes what fits the memory")
    ] = 0,
    runs: Annotated[
        int | None, typer.Option(min=1, help="Runs to take the median of [CUDA 20, CPU 5]")
    ] = None,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda or cuda:N; auto shares a --dataset among all GPUs")
    ] = "auto",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use the first N clips, or frames, only")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the numbers to this file too")] = None,
    report: Annotated[
        Path | None, typer.Option(help="Show what --dataset found on this .html page")
    ] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw --cost, --receptive-field or --radar into this .svg")
    ] = None,
) -> None:
    """Measure models, by one of the first options."""
    with user_errors():
        check_options(given_options(context))
        check((json, ""), (report, ".html"), (plot, ".svg"))
        if flow_scale not in FLOW_SCALES:
            raise OptionError(
                f"Not a flow scale: {flow_scale!r}", hint=f"Choose one of {', '.join(FLOW_SCALES)}"
            )
        models, scale = model or ["vfimamba-s"], FLOW_SCALES[flow_scale]
        sizes = [parse_size(text) for text in size or ()]
        if speed:
            dtypes = [str(name) for name in dtype or (Dtype.AUTO,)]
            print_speed(models, sizes, dtypes, scale, tile, device, runs, json)
        elif end_to_end:
            print_end_to_end(models, data, sizes, scale, tile, device, limit, json)
        elif cost:
            print_cost(models, sizes, scale, json, plot)
        elif radar:
            draw_results(radar, plot)
        elif receptive_field:
            print_receptive_fields(models, device, json, plot)
        elif scan:
            print_scan(device, runs or 5)
        elif dataset is not None and verify:
            print_inventory(dataset, data)
        elif dataset is not None:
            print_quality(
                dataset,
                models if model or not method else [],
                method or [],
                data,
                device,
                [str(name) for name in dtype or (Dtype.AUTO,)],
                limit,
                json,
                report,
                lpips=lpips,
            )


def given_options(context: typer.Context) -> set[str]:
    """The names of those that the command line has."""
    sources = {p.opts[0]: context.get_parameter_source(str(p.name)) for p in context.command.params}
    return {name for name, source in sources.items() if source and source.name == "COMMANDLINE"}


def check_options(given: set[str]) -> None:
    """Raises OptionError unless one thing is to be measured, with options that it takes."""
    asked = given & TAKES.keys()
    if len(asked) != 1:
        *others, last = TAKES
        raise OptionError(
            f"Give exactly one of {', '.join(others)} and {last}",
            hint="For example: vfimamba bench --speed --size 640x352",
        )
    (what,) = asked
    if unused := sorted(given - asked - set(TAKES[what])):
        raise OptionError(
            f"{what} does not take {', '.join(unused)}", hint=f"It takes {', '.join(TAKES[what])}"
        )


def parse_size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` as two numbers; raises OptionError if it is none."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) * int(height)):
        raise OptionError(f"Not a size: {text!r}", hint="Give WIDTHxHEIGHT, as 1280x720")
    return int(width), int(height)
