"""Loss and error of a batch, and their gradients: the part of a training step that is prepared."""

import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vfimamba_cli.data.triplet import TripletBatch
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.train.graphs import Measure, PassGraphs
from vfimamba_cli.train.losses import interpolation_loss
from vfimamba_cli.train.precision import Precision

COMPILER: dict[str, str | int | bool | Callable[..., Any]] = {
    "shape_padding": False,  # would time matrix products, to no avail: their sizes are even
}


class Objective:
    """What a network does on a batch, with gradients; one operation after the other at first.

    Attributes:
        measure: frames, times and target -> loss, and mean squared error of the picture.
        graphs: both passes recorded; None until `record`.
    """

    def __init__(self, network: VFIMamba, precision: Precision) -> None:
        self.network, self.precision = network, precision
        self.measure: Measure = self.eager
        self.graphs: PassGraphs | None = None

    def __call__(self, batch: TripletBatch) -> tuple[Tensor, Tensor]:
        """Loss, and mean squared error of the picture, which has no gradient."""
        if self.graphs is not None:
            return self.graphs.run_forward(batch)
        return self.measure(batch.frames, batch.t, batch.target)

    def backward(self, loss: Tensor) -> None:
        """Give every parameter its gradient of the `loss` of the last call, perhaps scaled."""
        if self.graphs is not None:
            self.graphs.run_backward()
        else:
            loss.backward()  # type: ignore[no-untyped-call]

    def __str__(self) -> str:
        how = "eager" if self.measure == self.eager else "compiled"
        return how if self.graphs is None else f"{how}, recorded as CUDA graphs"

    def eager(self, frames: Tensor, t: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """One operation after the other."""
        with self.precision.autocast():
            prediction = self.network(frames, t)
        error = (prediction.picture.detach().float() - target).square().mean()
        return interpolation_loss(prediction, target), error

    @property
    def parameters(self) -> list[Tensor]:
        """Those that are trained."""
        return [p for p in self.network.parameters() if p.requires_grad]

    def compile(self, batch: TripletBatch, announce: Callable[[str], None]) -> None:
        """Let PyTorch make few kernels of the many small operations, for batches like this one.

        Parameters and their gradients are left as they were. What PyTorch cannot compile stays
        eager, and that is announced.
        """
        from torch._dynamo.exc import TorchDynamoException  # a second to import

        announce("compiling the training step, once: a minute or two")
        began = time.monotonic()
        compiled = torch.compile(self.eager, fullgraph=True, dynamic=False, options=COMPILER)
        try:
            loss, _ = compiled(batch.frames, batch.t, batch.target)
            torch.autograd.grad(loss, self.parameters)[0].sum().item()  # compiled too, and run
        except TorchDynamoException as error:
            announce(f"not compiled, steps are eager and slower: {first_line(error)}")
            return
        self.measure = compiled
        announce(f"compiled in {time.monotonic() - began:.0f} s")

    def record(self, batch: TripletBatch, announce: Callable[[str], None]) -> None:
        """Record both passes, for batches like this one, so that the host need not launch them.

        Parameters are left as they were. Where that fails nothing changes, and that is announced.
        With a loss scale, which changes from step to step, it is not tried.
        """
        if batch.frames.device.type != "cuda" or self.precision.needs_scaling:
            return
        try:
            self.graphs = PassGraphs(self.measure, self.parameters, batch)
        except RuntimeError as error:
            announce(f"no CUDA graphs of the steps, which are slower: {first_line(error)}")


def first_line(error: Exception) -> str:
    """Of its message, or its kind where it has none."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
