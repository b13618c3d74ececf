"""Several processes that share every batch, started by torchrun; all of it is idle in one.

Gradients are averaged by hand between the backward pass and the optimizer, not by
DistributedDataParallel: its hooks hang on the backward pass of autograd, which a recorded CUDA
graph does not run. They travel as one flat buffer, in which each gradient stays laid out as its
parameter is: 67 MB for VFIMamba-S.

N processes, M numbers.
"""

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from vfimamba_cli.errors import OptionError
from vfimamba_cli.ops.device import choose_device

Value = TypeVar("Value")

SETTLING_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """This process among those that train together.

    Attributes:
        rank: its number, from 0.
        count: of all, N.
        local_rank: its number among those of its host, which is its GPU's.
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether it is the one that writes and speaks."""
        return self.rank == 0

    def share_of(self, batch: int) -> int:
        """Samples of a batch that fall to each process.

        Raises:
            OptionError: they cannot be shared evenly.
        """
        if batch % self.count:
            raise OptionError(
                f"A batch of {batch} cannot be shared evenly by {self.count} processes",
                hint=f"Give --batch {self.count * max(round(batch / self.count), 1)}",
            )
        return batch // self.count

    def gather(self, numbers: Tensor) -> Tensor:
        """(M,) of each process -> (N, M) of all, on every one."""
        if self.count == 1:
            return numbers[None]
        rows = numbers.new_zeros(self.count, len(numbers))
        rows[self.rank] = numbers
        dist.all_reduce(rows)  # each row is zero in all processes but its own
        return rows

    def settle(self, device: torch.device) -> None:
        """Let all that is under way end: NCCL's watchdog asks for it every tenth of a second,
        which must not happen while a CUDA graph is recorded.
        """
        if self.count > 1 and device.type == "cuda":
            torch.cuda.synchronize(device)
            time.sleep(SETTLING_SECONDS)

    def wait(self, device: torch.device) -> None:
        """Until all have come here."""
        if self.count > 1:
            self.gather(torch.zeros(1, device=device)).tolist()

    def from_first(self, value: Value | None) -> Value:
        """What the first process has; the others may give None."""
        if self.count == 1:
            assert value is not None
            return value
        box: list[Value | None] = [value]
        dist.broadcast_object_list(box, src=0)
        assert box[0] is not None
        return box[0]


def is_first_process() -> bool:
    """As `Processes.is_first`, before and after they have joined."""
    return os.environ.get("RANK", "0") == "0"


class GradientMean:
    """Averages the gradients of `parameters` over all processes."""

    def __init__(self, parameters: Sequence[nn.Parameter], processes: Processes) -> None:
        self.parameters, self.count = list(parameters), processes.count
        if self.count == 1:
            return
        self.buffer = self.parameters[0].new_zeros(sum(p.numel() for p in self.parameters))
        parts = self.buffer.split([p.numel() for p in self.parameters])
        self.views = [
            part.as_strided(p.shape, p.stride())
            for part, p in zip(parts, self.parameters, strict=True)
        ]

    @torch.no_grad()
    def __call__(self) -> None:
        """Replace every parameter's gradient by the mean."""
        if self.count == 1:
            return
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        torch._foreach_copy_(self.views, gradients)
        dist.all_reduce(self.buffer)
        self.buffer /= self.count
        for parameter, view in zip(self.parameters, self.views, strict=True):
            parameter.grad = view


@contextmanager
def joined_processes(device: str) -> Iterator[Processes]:
    """Join the others as torchrun says, until the end of the block; alone without torchrun.

    Args:
        device: as `--device` takes it. GPUs talk by NCCL, CPUs by Gloo.

    Raises:
        OptionError: a single GPU was named for several processes.
        DeviceError: there are fewer GPUs than processes on this machine.
    """
    count = int(os.environ.get("WORLD_SIZE", "1"))
    if count == 1:
        yield Processes()
        return
    if ":" in device:
        raise OptionError(
            f"{count} processes cannot share --device {device}",
            hint="Leave --device out: each process takes the GPU of its number",
        )
    local = int(os.environ["LOCAL_RANK"])
    on_gpu = device != "cpu" and torch.cuda.is_available()
    if on_gpu:
        torch.cuda.set_device(choose_device(f"cuda:{local}"))
    dist.init_process_group("nccl" if on_gpu else "gloo")
    try:
        yield Processes(rank=dist.get_rank(), count=count, local_rank=local)
    finally:
        dist.destroy_process_group()
