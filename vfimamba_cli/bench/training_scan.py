"""The scan as a training step runs it, beside what it would take in Triton alone; checked first."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from vfimamba_cli.bench.fused import FusedSize, checked_error, milliseconds, scan_inputs

SIZES = (
    FusedSize(batch=32, height=32, width=32, channels=256, rank=8),
    FusedSize(batch=32, height=16, width=16, channels=512, rank=16),
)
"""Both levels of the small network, for 32 samples of 256 x 256."""

TRITON_CHUNK = 32  # that only Triton's kernels take


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingRow:
    """Median milliseconds of all of a scan's kernels, and of all of its gradients'.

    Attributes:
        size: of the feature maps.
        kernels: `chosen`, or `triton`.
        error: largest difference from the reference, as a share of its largest value.
    """

    size: FusedSize
    kernels: str
    forward: float
    backward: float
    error: float


def time_training(device: torch.device, *, runs: int) -> Iterator[TrainingRow]:
    """In bf16, for each of `SIZES` the kernels that training chooses, then Triton's.

    Raises:
        ArithmeticError: a result is not the reference's.
    """
    for size in SIZES:
        for kernels, chunk in (("chosen", None), ("triton", TRITON_CHUNK)):
            yield time_scan(size, kernels, chunk, device, runs)


def time_scan(
    size: FusedSize, kernels: str, chunk: int | None, device: torch.device, runs: int
) -> TrainingRow:
    """One row; `chunk` is what the work is cut into, or None for training's choice."""
    from vfimamba_cli.ops.scan.triton import cross_selective_scan  # imports Triton
    from vfimamba_cli.ops.scan.triton_launch import Launch

    launch = None if chunk is None else Launch(chunk=chunk)
    dtype = torch.bfloat16

    def scan(tensors: list[Tensor]) -> Tensor:
        return cross_selective_scan(*tensors, exact_columns=False, dtype=dtype, launch=launch)

    error = checked_error(scan, scan_inputs(replace(size, height=5, width=7), dtype, device), dtype)
    leaves = [x.requires_grad_() for x in scan_inputs(size, dtype, device)]
    y = scan(leaves)
    grad = torch.randn_like(y)
    return TrainingRow(
        size=size,
        kernels=kernels,
        forward=milliseconds(lambda: scan(leaves), runs),
        backward=milliseconds(
            lambda: torch.autograd.grad(y, leaves, grad, retain_graph=True), runs
        ),
        error=error,
    )
