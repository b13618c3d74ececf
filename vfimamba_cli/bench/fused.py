"""How fast each kernel of the fused scan is, for several ways to cut the work; checked first.

F = 2 frames, B batch, D channels, R rank; K = 4 orders, N = 16 states.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from statistics import median
from typing import Any

import torch
from torch import Tensor

from vfimamba_cli.errors import DeviceError
from vfimamba_cli.ops.scan.cross_reference import cross_selective_scan as reference

TOLERANCE = {torch.float32: 1e-4, torch.float16: 5e-3, torch.bfloat16: 3e-2}
STATES = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedSize:
    """Sizes of one call; the defaults are those of the small network at 1/8 of 1920 x 1088."""

    batch: int = 1
    height: int = 136
    width: int = 240
    channels: int = 256
    rank: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How the work is cut; see `vfimamba_cli.ops.scan.triton_launch.Launch`."""

    chunk: int
    block: int
    warps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class FusedRow:
    """Median milliseconds of each kernel; `backward` is all of the backward pass, or None."""

    cut: Cut
    error: float
    ends: float
    pass_states: float
    outputs: float
    merge: float
    forward: float
    backward: float | None


CUTS = tuple(
    Cut(chunk=chunk, block=block, warps=warps)
    for block, warps in ((64, 1), (32, 1))
    for chunk in (64, 128)
)


def time_fused(
    device: torch.device,
    *,
    size: FusedSize | None = None,
    dtype: torch.dtype = torch.float16,
    cuts: Iterable[Cut] = CUTS,
    training: bool = False,
    runs: int = 20,
) -> Iterator[FusedRow]:
    """One row per cut, each made when it is asked for.

    Args:
        device: an NVIDIA GPU.
        size: the default `FusedSize` if None.
        dtype: of activations and of the result.
        cuts: to try, in this order.
        training: also time the backward pass.
        runs: to take the median of.

    Raises:
        DeviceError: `device` is no GPU.
        ArithmeticError: a result is not the reference's.
    """
    if device.type != "cuda":
        raise DeviceError(
            f"The fused kernels are timed on a GPU, not on {device}", hint="Use --device cuda"
        )
    size = size or FusedSize()
    inputs = scan_inputs(size, dtype, device)
    small = scan_inputs(replace(size, batch=2, height=13, width=21), dtype, device)
    return (_row(inputs, small, cut, dtype, training=training, runs=runs) for cut in cuts)


def scan_inputs(size: FusedSize, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    """Random arguments of `cross_selective_scan`, in their order."""
    generator = torch.Generator(device).manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, device=device)

    grid, channels = (2, size.batch, size.height, size.width), size.channels
    return [
        normal(*grid, channels).to(dtype),
        normal(*grid, 4 * (size.rank + 2 * STATES)).to(dtype),
        -torch.arange(1.0, STATES + 1, device=device).expand(4, channels, STATES),
        torch.ones(4, channels, device=device),
        normal(4, channels, size.rank) * size.rank**-0.5,
        normal(4, channels) - 4,
    ]


def _row(
    inputs: list[Tensor],
    small: list[Tensor],
    cut: Cut,
    dtype: torch.dtype,
    *,
    training: bool,
    runs: int,
) -> FusedRow:
    # Here, not above: this module is imported where there is no Triton, too.
    from vfimamba_cli.ops.scan.triton import cross_selective_scan
    from vfimamba_cli.ops.scan.triton_launch import FusedScan, Launch

    launch = Launch(chunk=cut.chunk, block=cut.block, warps=cut.warps)

    def fused(tensors: list[Tensor]) -> Tensor:
        return cross_selective_scan(*tensors, exact_columns=False, dtype=dtype, launch=launch)

    error = checked_error(fused, small, dtype)
    scan = FusedScan.of(*inputs, launch=launch)
    ends, totals = scan.ends()
    starts = scan.starts(ends, totals)
    y = scan.outputs(starts, dtype)[None]
    steps: dict[str, Callable[[], Any]] = {
        "ends": scan.ends,
        "pass_states": lambda: scan.starts(ends, totals),
        "outputs": lambda: scan.outputs(starts, dtype),
        "merge": lambda: scan.merge(y, exact=False),
        "forward": lambda: fused(inputs),
    }
    times = {name: milliseconds(step, runs) for name, step in steps.items()}
    backward = None
    if training:
        leaves = [x.detach().requires_grad_() for x in inputs]
        out = fused(leaves)
        grad = torch.ones_like(out)
        backward = milliseconds(
            lambda: torch.autograd.grad(out, leaves, grad, retain_graph=True), runs
        )
    return FusedRow(cut=cut, error=error, backward=backward, **times)


def checked_error(
    fused: Callable[[list[Tensor]], Tensor], small: list[Tensor], dtype: torch.dtype
) -> float:
    """Largest difference from the reference, outputs and gradients, as a share of its largest.

    Raises:
        ArithmeticError: it is more than the dtype explains.
    """
    ours = [x.detach().clone().requires_grad_() for x in small]
    truth = [x.detach().clone().requires_grad_() for x in small]
    y, expected = fused(ours), reference(*truth, exact_columns=False)
    grad = torch.ones_like(expected)
    pairs = [(y, expected)]
    pairs += zip(
        torch.autograd.grad(y, ours, grad.to(y.dtype)),
        torch.autograd.grad(expected, truth, grad),
        strict=True,
    )
    error = max(
        ((a.float() - b.float()).abs().max() / b.float().abs().max()).item() for a, b in pairs
    )
    if not error <= TOLERANCE[dtype]:
        raise ArithmeticError(
            f"the fused scan is off by {error:.1e} of the reference's largest value, more than "
            f"{TOLERANCE[dtype]:.0e}: not timed"
        )
    return error


def milliseconds(work: Callable[[], object], runs: int) -> float:
    """Median time of `work` on the current GPU."""
    for _ in range(3):
        work()
    events = []
    for _ in range(runs):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        events.append((start, end))
    torch.cuda.synchronize()
    return median(start.elapsed_time(end) for start, end in events)
