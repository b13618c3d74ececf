"""What `--cost`, `--receptive-field` and `--scan` print: of the network and its parts."""

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from vfimamba_cli.cli.bench.timing import FlowScale, Sizes
from vfimamba_cli.cli.output import write

if TYPE_CHECKING:
    import torch


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


def print_receptive_fields(
    models: list[str], device: str, json: Path | None, picture: Path | None
) -> None:
    """The share of the pixels that a deep feature depends on; each row as soon as it is known."""
    from vfimamba_cli.bench import receptive_field
    from vfimamba_cli.bench.machine import Machine
    from vfimamba_cli.bench.report import document
    from vfimamba_cli.ops.device import choose_device

    where = choose_device(device)
    rows = []
    for row in receptive_field.measure_fields(models, device=where):
        typer.echo(f"{row.title}: done", err=True)
        rows.append(row)
    typer.echo(
        "share of the pixels that holds half of the gradient of the deepest feature in the middle"
    )
    typer.echo(receptive_field.table(rows))
    settings = {"models": models, "side": receptive_field.SIDE, "clips": receptive_field.SAMPLES}
    machine = Machine.of(where)
    write(json, document("receptive field", rows, settings=settings, machine=machine))
    if picture is not None:
        write(picture, receptive_field.draw(rows))


def print_scan(device: str, runs: int) -> None:
    """Milliseconds per scan of every backend that can run there, each row once it is known."""
    import torch

    from vfimamba_cli.bench.scan import CHECKED_TOKENS, REFERENCE, ScanSize, time_backends
    from vfimamba_cli.ops.device import choose_device, numbered
    from vfimamba_cli.ops.scan import BACKENDS

    where = choose_device(device)
    if where.type == "cuda":
        torch.cuda.set_device(numbered(where))  # on which kernels are started and timed
    able = [b.name for b in BACKENDS if b.obstacle(where, sequences=True) is None]
    names = [name for name in able if name != REFERENCE]
    size = ScanSize()
    typer.echo(f"K={size.orders} D={size.channels} N={size.states} L={size.tokens}, batch 1, fp32")
    for row in time_backends(names, where, size=size, runs=runs):
        training = "-" if row.training_seconds is None else f"{1000 * row.training_seconds:.1f} ms"
        typer.echo(
            f"{row.backend:10}  forward {1000 * row.forward_seconds:8.1f} ms  "
            f"with gradients {training:>10}  error {row.error:.1e}"
        )
    typer.echo(
        f"{REFERENCE:10}  not timed: others are checked against it, on {CHECKED_TOKENS} tokens"
    )
    kernels = {b.name for b in BACKENDS if b.obstacle(where, fused=True) is None}
    if "lanes" in kernels:
        print_blocks(where, runs)
    if "triton" in kernels:
        print_fused(where, runs)
        print_training(where, runs)


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


def print_training(where: "torch.device", runs: int) -> None:
    """Milliseconds of a training step's scans, forward and backward."""
    from vfimamba_cli.bench.training_scan import time_training

    typer.echo("training, batch 32 of 256x256, bf16, ms")
    for row in time_training(where, runs=runs):
        size = row.size
        typer.echo(
            f"{row.kernels:6}  2 x {size.height}x{size.width}, D={size.channels}  "
            f"forward {row.forward:.3f}  backward {row.backward:.3f}  error {row.error:.1e}"
        )
