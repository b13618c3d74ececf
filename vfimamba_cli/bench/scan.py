"""How fast each scan backend is, asked only after it has given the reference's results.

B batch, K scan orders, D channels, N states, L tokens.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from statistics import median

import torch
from torch import Tensor

from vfimamba_cli.ops.scan import Backend, choose_backend, selective_scan

REFERENCE = "reference"
"""The backend that others are checked against: token by token, and not made to be fast."""

TOLERANCE = 1e-4  # of the largest output or gradient
CHECKED_TOKENS = 257


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanSize:
    """Sizes of a scan; the defaults are those of the small network at 1/16 of 1920 x 1088."""

    batch: int = 1
    orders: int = 4
    channels: int = 256
    states: int = 16
    tokens: int = 16320


@dataclass(frozen=True, slots=True, kw_only=True)
class ScanRow:
    """What one backend did.

    Attributes:
        backend: its name.
        error: largest difference from the reference, as a share of the reference's largest value,
            over outputs and (where it has them) gradients.
        forward_seconds: median.
        training_seconds: median of forward and backward together; None without gradients.
    """

    backend: str
    error: float
    forward_seconds: float
    training_seconds: float | None


def time_backends(
    names: Iterable[str],
    device: torch.device,
    *,
    size: ScanSize | None = None,
    dtype: torch.dtype = torch.float32,
    runs: int = 5,
) -> Iterator[ScanRow]:
    """Check each backend against the reference, then time it; in the order of `names`.

    What cannot run is an error at once; each row is made when it is asked for.

    Args:
        names: of backends.
        device: where to run them.
        size: how large the timed scan is; the default `ScanSize` if None.
        dtype: of u, dt, B and C.
        runs: to take the median of.

    Raises:
        DeviceError: a backend cannot run on `device`.
        ArithmeticError: a backend's fp32 results are not the reference's.
    """
    size = size or ScanSize()
    backends = [choose_backend(name, device) for name in names]
    inputs = _inputs(size, size.tokens, dtype, device)
    return (_row(backend, inputs, _check(backend, device, size), runs) for backend in backends)


def _row(backend: Backend, inputs: list[Tensor], error: float, runs: int) -> ScanRow:
    device = inputs[0].device
    training = None
    if backend.differentiable:
        training = _median_seconds(lambda: _gradients(inputs, backend), device, runs)
    return ScanRow(
        backend=backend.name,
        error=error,
        forward_seconds=_median_seconds(lambda: _forward(inputs, backend), device, runs),
        training_seconds=training,
    )


def _inputs(size: ScanSize, tokens: int, dtype: torch.dtype, device: torch.device) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator)

    orders, channels, states = size.orders, size.channels, size.states
    per_channel = (size.batch, orders, channels, tokens)
    per_state = (size.batch, orders, states, tokens)
    u, dt, B, C = (normal(*s).to(dtype) for s in (per_channel, per_channel, per_state, per_state))
    A = -torch.arange(1.0, states + 1).expand(orders, channels, states)
    D, dt_bias = torch.ones(orders, channels), normal(orders, channels) - 4
    return [x.to(device).contiguous() for x in (u, dt, A, B, C, D, dt_bias)]


def _forward(inputs: list[Tensor], backend: Backend) -> Tensor:
    with torch.no_grad():
        return selective_scan(*inputs, backend=backend)


def _gradients(inputs: list[Tensor], backend: Backend) -> tuple[Tensor, ...]:
    leaves = [x.detach().requires_grad_() for x in inputs]
    y = selective_scan(*leaves, backend=backend)
    return torch.autograd.grad(y, leaves, torch.ones_like(y))


def _check(backend: Backend, device: torch.device, size: ScanSize) -> float:
    """Largest relative difference from the reference, on a short sequence in fp32."""
    inputs = _inputs(size, min(size.tokens, CHECKED_TOKENS), torch.float32, device)
    reference = choose_backend(REFERENCE, device)
    pairs = [(_forward(inputs, backend), _forward(inputs, reference))]
    if backend.differentiable:
        pairs += zip(_gradients(inputs, backend), _gradients(inputs, reference), strict=True)
    error = max(((ours - truth).abs().max() / truth.abs().max()).item() for ours, truth in pairs)
    if not error <= TOLERANCE:
        raise ArithmeticError(
            f"scan backend {backend.name!r} is off by {error:.1e} of the reference's largest "
            f"value, more than {TOLERANCE:.0e}: not timed"
        )
    return error


def _median_seconds(work: Callable[[], object], device: torch.device, runs: int) -> float:
    work()  # compiles, allocates
    seconds = []
    for _ in range(runs):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        seconds.append(time.perf_counter() - start)
    return median(seconds)


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
