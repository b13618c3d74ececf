"""`vfimamba bench`: quality the way a published protocol measures it, speed, and cost."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from vfimamba_cli.cli.errors import user_errors
from vfimamba_cli.cli.interpolate import FLOW_SCALES
from vfimamba_cli.errors import OptionError, OutputError

FlowScale = float | Literal["auto"]
Sizes = list[tuple[int, int]]


if TYPE_CHECKING:
    import torch


class Dataset(StrEnum):
    """What quality can be measured on."""

    DAVIS7 = "davis7"


class Dtype(StrEnum):
    """Number formats to time."""

    AUTO = "auto"
    FP16 = "fp16"
    BF16 = "bf16"
    FP32 = "fp32"


def bench(
    dataset: Annotated[Dataset | None, typer.Option(help="Measure quality on this")] = None,
    speed: Annotated[bool, typer.Option("--speed", help="Time a made frame")] = False,
    end_to_end: Annotated[
        bool, typer.Option("--end-to-end", help="Time a whole video, its frames discarded")
    ] = False,
    scan: Annotated[bool, typer.Option("--scan", help="Check and time the scan backends")] = False,
    cost: Annotated[
        bool, typer.Option("--cost", help="Count multiply-adds and memory, S6 beside attention")
    ] = False,
    data: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the dataset [VFIMAMBA_DATA/<dataset>], or video for --end-to-end"
        ),
    ] = None,
    model: Annotated[
        list[str] | None, typer.Option(help="Name, path or Hub ID; may be repeated [vfimamba-s]")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(help="WIDTHxHEIGHT of the frames; may be repeated [usual ones]"),
    ] = None,
    dtype: Annotated[
        list[Dtype] | None, typer.Option(help="Number format for --speed; may be repeated [auto]")
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
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or cuda:N")] = "auto",
    limit: Annotated[
        int | None, typer.Option(min=1, help="Use the first N clips, or frames, only")
    ] = None,
    json: Annotated[Path | None, typer.Option(help="Write the numbers to this file too")] = None,
    plot: Annotated[Path | None, typer.Option(help="Draw --cost into this .svg file")] = None,
) -> None:
    """Measure models: one of --dataset, --speed, --end-to-end, --scan and --cost."""
    with user_errors():
        if (dataset is not None) + speed + end_to_end + scan + cost != 1:
            raise OptionError(
                "Give exactly one of --dataset, --speed, --end-to-end, --scan and --cost",
                hint="For example: vfimamba bench --speed --size 640x352",
            )
        if plot is not None and not cost:
            raise OptionError("--plot draws what --cost counts", hint="Add --cost, or leave it out")
        if json is not None and scan:
            raise OptionError("--scan writes no --json", hint="Leave one of them out")
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
        elif scan:
            print_scan(device, runs or 5)
        else:
            print_quality(models, data, device, limit, json)


def parse_size(text: str) -> tuple[int, int]:
    """`WIDTHxHEIGHT` as two numbers; raises OptionError if it is none."""
    width, cross, height = text.partition("x")
    if not (cross and width.isdecimal() and height.isdecimal() and int(width) * int(height)):
        raise OptionError(f"Not a size: {text!r}", hint="Give WIDTHxHEIGHT, as 1280x720")
    return int(width), int(height)


def write(path: Path | None, text: str) -> None:
    """Write `text`, if there is somewhere to; raises OutputError if that cannot be."""
    try:
        if path is not None:
            path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise OutputError(f"Cannot write: {error.strerror}: {path}") from error


def print_quality(
    models: list[str], data: Path | None, device: str, limit: int | None, json: Path | None
) -> None:
    """PSNR per task."""
    from vfimamba_cli.bench.davis7 import run_davis7

    report = run_davis7(models, folder=data, device=device, limit=limit)
    typer.echo(report.table())
    write(json, report.to_json())


def print_speed(
    models: list[str],
    sizes: Sizes,
    dtypes: list[str],
    flow_scale: FlowScale,
    tile: int,
    device: str,
    runs: int | None,
    json: Path | None,
) -> None:
    """Milliseconds per made frame; each row as soon as it is known."""
    from vfimamba_cli.bench import speed
    from vfimamba_cli.bench.machine import Machine
    from vfimamba_cli.bench.report import document
    from vfimamba_cli.ops.device import choose_device

    where = choose_device(device)
    usual, machine = speed.defaults(where), Machine.of(where)
    settings = {
        "models": models,
        "sizes": sizes or usual.sizes,
        "dtypes": dtypes,
        "device": str(where),
        "flow_scale": flow_scale,
        "tile": tile,
        "runs": runs or usual.runs,
    }
    typer.echo(f"{machine.line()}\nper made frame, median of {settings['runs']} runs")
    typer.echo(speed.line(speed.HEADS, models))
    rows = []
    for row in speed.time_models(
        models,
        sizes=sizes or usual.sizes,
        dtypes=dtypes,
        device=where,
        flow_scale=flow_scale,
        tile=tile,
        runs=runs or usual.runs,
        announce=lambda text: typer.echo(text, err=True),
    ):
        typer.echo(speed.line(row.cells(), models))
        rows.append(row)
        write(json, document("speed", rows, settings=settings, machine=machine))


def print_end_to_end(
    models: list[str],
    video: Path | None,
    sizes: Sizes,
    flow_scale: FlowScale,
    tile: int,
    device: str,
    limit: int | None,
    json: Path | None,
) -> None:
    """Frames per second of a video beside those of the engine alone."""
    from vfimamba_cli.bench import end_to_end
    from vfimamba_cli.bench.machine import Machine
    from vfimamba_cli.bench.report import document
    from vfimamba_cli.ops.device import choose_device

    where = choose_device(device)
    usual, machine = end_to_end.defaults(where), Machine.of(where)
    settings: dict[str, Any] = {
        "models": models,
        "video": str(video) if video else None,
        "sizes": sizes or usual.sizes,
        "frames": limit or (None if video else usual.runs),
        "device": str(where),
        "flow_scale": flow_scale,
        "tile": tile,
        "factor": 2,
    }
    typer.echo(f"{machine.line()}\nmade frames per second, frame rate doubled, frames discarded")
    typer.echo(end_to_end.line(end_to_end.HEADS, models))
    rows = []
    for row in end_to_end.time_videos(
        models,
        video=video,
        sizes=sizes or usual.sizes,
        frames=settings["frames"],
        device=where,
        flow_scale=flow_scale,
        tile=tile,
        announce=lambda text: typer.echo(text, err=True),
    ):
        typer.echo(end_to_end.line(row.cells(), models))
        rows.append(row)
        write(json, document("end to end", rows, settings=settings, machine=machine))


def print_cost(
    models: list[str], sizes: Sizes, flow_scale: FlowScale, json: Path | None, picture: Path | None
) -> None:
    """Multiply-adds and memory by size."""
    from vfimamba_cli.bench import cost
    from vfimamba_cli.bench.report import document

    rows = list(cost.count_models(models, sizes=sizes or cost.SIZES, flow_scale=flow_scale))
    typer.echo(
        "per made frame, fp32; memory: of all tensors alive at once beside weights and frames, "
        "scan and attention fused"
    )
    typer.echo(cost.table(rows))
    settings = {"models": models, "sizes": sizes or cost.SIZES, "flow_scale": flow_scale}
    write(json, document("cost", rows, settings=settings))
    if picture is not None:
        write(picture, cost.plot(rows))


def print_scan(device: str, runs: int) -> None:
    """Milliseconds per scan, of every backend that can run there."""
    from vfimamba_cli.bench.scan import ScanSize, time_backends
    from vfimamba_cli.ops.device import choose_device
    from vfimamba_cli.ops.scan import BACKENDS

    where = choose_device(device)
    names = [b.name for b in BACKENDS if b.obstacle(where, sequences=True) is None]
    size = ScanSize()
    typer.echo(f"K={size.orders} D={size.channels} N={size.states} L={size.tokens}, batch 1, fp32")
    for row in time_backends(names, where, size=size, runs=runs):
        training = "-" if row.training_seconds is None else f"{1000 * row.training_seconds:.1f} ms"
        typer.echo(
            f"{row.backend:10}  forward {1000 * row.forward_seconds:8.1f} ms  "
            f"with gradients {training:>10}  error {row.error:.1e}"
        )
    able = {b.name for b in BACKENDS if b.obstacle(where, fused=True) is None}
    if "lanes" in able:
        print_blocks(where, runs)
    if "triton" in able:
        print_fused(where, runs)


def print_blocks(where: "torch.device", runs: int) -> None:
    """Milliseconds of the blocks the engine runs on a GPU."""
    from vfimamba_cli.bench.block import HEIGHT, WIDTH, time_blocks

    typer.echo(f"lanes, a whole SS2D block at {WIDTH}x{HEIGHT}, fp16")
    for row in time_blocks(where, runs=runs):
        typer.echo(
            f"{row.model:10}  level 1/{row.shrink:<2}  {row.milliseconds:.3f} ms  "
            f"error {row.error:.1e}"
        )


def print_fused(where: "torch.device", runs: int) -> None:
    """Milliseconds of each kernel of the `triton` backend by how the work is cut."""
    from vfimamba_cli.bench.fused import FusedSize, time_fused

    size = FusedSize()
    typer.echo(f"triton, 4 orders on 2 x {size.height}x{size.width}, D={size.channels}, fp16, ms")
    for row in time_fused(where, size=size, training=True, runs=runs):
        cut = f"chunk {row.cut.chunk:3} block {row.cut.block:3} warps {row.cut.warps}"
        kernels = f"{row.ends:.3f} {row.pass_states:.3f} {row.outputs:.3f} {row.merge:.3f}"
        typer.echo(
            f"{cut}  kernels {kernels}  forward {row.forward:.3f}  backward {row.backward:.3f}  "
            f"error {row.error:.1e}"
        )
