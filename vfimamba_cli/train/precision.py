"""Number formats of a training step, and numbers read back from the device without waiting."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Precision:
    """What the convolutions and projections of a step compute in; weights are fp32 always.

    Attributes:
        device: of the network.
        dtype: fp32 means no autocast.
    """

    device: torch.device
    dtype: torch.dtype

    @property
    def needs_scaling(self) -> bool:
        """Whether gradients underflow without a loss scale: fp16 only."""
        return self.dtype == torch.float16

    def autocast(self) -> torch.autocast:
        """The context of forward passes; the network keeps its fp32 islands itself."""
        return torch.autocast(
            self.device.type, dtype=self.dtype, enabled=self.dtype != torch.float32
        )

    def __str__(self) -> str:
        return str(self.dtype).removeprefix("torch.")


def choose_precision(device: torch.device) -> Precision:
    """bf16 on CUDA where the hardware has it, else fp16; fp32 on everything else."""
    if device.type != "cuda":
        return Precision(device, torch.float32)
    native = torch.cuda.get_device_capability(device) >= (8, 0)
    return Precision(device, torch.bfloat16 if native else torch.float16)


class Readback:
    """Numbers on their way from the device to the host.

    Asking for them waits for the work that made them, not for what was launched since: read
    the loss after launching the backward pass, and the device never runs dry.
    """

    def __init__(self, values: Tensor) -> None:
        self.event: torch.cuda.Event | None = None
        self.host = values
        if values.is_cuda:
            self.host = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
            self.host.copy_(values, non_blocking=True)
            self.event = torch.cuda.Event()
            self.event.record(torch.cuda.current_stream(values.device))

    def wait(self) -> list[float]:
        """The numbers."""
        if self.event is not None:
            self.event.synchronize()
        numbers: list[float] = self.host.tolist()
        return numbers
