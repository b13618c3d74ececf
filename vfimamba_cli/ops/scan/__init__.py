"""The selective scan behind one call, with backends that are data.

B batch, K scan orders, D channels, N states, L tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

from vfimamba_cli.errors import DeviceError, OptionError

Scan = Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True, kw_only=True)
class Backend:
    """One way to run the scan, in the module of this package that has its name.

    `selective_scan` scans sequences of any kind; `cross_selective_scan` reads two frames' feature
    maps, whose tokens alternate in all orders, and does all of a network's scan between
    projection and norm.

    Attributes:
        name: as `--scan` takes it.
        devices: kinds of device it runs on; empty means any.
        requires: a module that must be installed, or None.
        differentiable: whether gradients flow through it.
        probed: whether its module's `failure(device)` must be asked before it is trusted.
        sequences: whether it has `selective_scan`.
        grid: the module of this package that has its `cross_selective_scan`, or None.
        fused: whether it exists only as a part of the fused network, in half precision.
    """

    name: str
    devices: tuple[str, ...] = ()
    requires: str | None = None
    differentiable: bool = True
    probed: bool = False
    sequences: bool = True
    grid: str | None = None
    fused: bool = False

    def load(self) -> Scan:
        """The backend's `selective_scan`; imports what it needs now, not before."""
        scan: Scan = import_module(f"{__name__}.{self.name}").selective_scan
        return scan

    def load_grid(self) -> Callable[..., Tensor]:
        """The backend's `cross_selective_scan`, likewise."""
        scan: Callable[..., Tensor]
        scan = import_module(f"{__name__}.{self.grid}").cross_selective_scan
        return scan

    def obstacle(
        self,
        device: torch.device,
        *,
        training: bool = False,
        sequences: bool = False,
        fused: bool = False,
    ) -> str | None:
        """Why it cannot run on `device`, to follow "cannot run here: it"; None if it can."""
        if self.fused and not fused:
            return "is made for the published network, in half precision, without gradients"
        if sequences and not self.sequences:
            return "scans whole feature maps, whose frames' tokens alternate, and no sequences"
        if self.devices and device.type not in self.devices:
            return f"needs a {' or '.join(self.devices).upper()} device, not {device}"
        if self.requires is not None and find_spec(self.requires) is None:
            return f"needs the module {self.requires}, which is not installed"
        if training and not self.differentiable:
            return "has no gradients"
        if self.probed:
            try:
                module = import_module(f"{__name__}.{self.name}")
            except ImportError as error:
                return f"needs the module {self.requires}, whose import failed: {error}"
            failure: str | None = module.failure(device)
            return failure
        return None


BACKENDS = (  # fastest first; `auto` takes the first that can run
    Backend(
        name="lanes",
        devices=("cuda",),
        requires="cuda",
        differentiable=False,
        probed=True,
        sequences=False,
        fused=True,
    ),
    Backend(
        name="triton",
        devices=("cuda",),
        requires="triton",
        probed=True,
        sequences=False,
        grid="triton",
    ),
    Backend(
        name="mamba_cuda",
        devices=("cuda",),
        requires="selective_scan_cuda",
        probed=True,
    ),
    Backend(
        name="cpu",
        devices=("cpu",),
        requires="numba",
        differentiable=False,
        grid="cpu_grid",
    ),
    Backend(name="chunked"),
    Backend(name="reference"),
)


def choose_backend(
    name: str,
    device: torch.device,
    *,
    training: bool = False,
    sequences: bool = False,
    fused: bool = False,
) -> Backend:
    """The backend called `name`, or for `auto` the fastest that can run on `device`.

    Args:
        name: one of `BACKENDS`, or `auto`.
        device: where the tensors will be.
        training: whether gradients will be asked for.
        sequences: whether it must run `selective_scan`.
        fused: whether it will run in the fused network.

    Raises:
        OptionError: there is no backend of that name.
        DeviceError: the backend asked for cannot run there; another is never taken instead.
    """

    def obstacle(backend: Backend) -> str | None:
        return backend.obstacle(device, training=training, sequences=sequences, fused=fused)

    if name == "auto":
        return next(backend for backend in BACKENDS if obstacle(backend) is None)
    named = {backend.name: backend for backend in BACKENDS}
    if name not in named:
        raise OptionError(
            f"There is no scan backend {name!r}",
            hint=f"Choose one of {', '.join(('auto', *named))}",
        )
    if (reason := obstacle(named[name])) is not None:
        able = [backend.name for backend in BACKENDS if obstacle(backend) is None]
        raise DeviceError(
            f"Scan backend {name!r} cannot run here: it {reason}",
            hint=f"Those that can: {', '.join(('auto', *able))}",
        )
    return named[name]


def selective_scan(
    u: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    dt_bias: Tensor,
    *,
    backend: Backend,
) -> Tensor:
    """Run the selective state-space recurrence over the last axis.

        dt_l = softplus(dt_l + dt_bias)
        h_l  = exp(dt_l A) h_{l-1} + dt_l B_l u_l        h_{-1} = 0
        y_l  = C_l h_l + D u_l

    K scan orders run side by side and share nothing. The state is kept in fp32 whatever the
    inputs are.

    Args:
        u, dt: (B, K, D, L).
        A: (K, D, N), negative, fp32.
        B, C: (B, K, N, L).
        D, dt_bias: (K, D), fp32.
        backend: from `choose_backend`, one that has `sequences`.

    Returns:
        (B, K, D, L), fp32.

    Source: Mamba (arXiv 2312.00752), Algorithm 2; argument names as in `mamba_ssm`.
    """
    return backend.load()(u, dt, A, B, C, D, dt_bias)
