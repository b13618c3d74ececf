"""Pictures to the engine's device and back; on CUDA beside the computing, without waiting for it.

Planes cross as they are decoded and as they are encoded: an eighth of the bytes of fp32 pixels.
On CUDA there are three streams: the current one computes, one brings pictures up, one brings them
down. Each waits for the others by events on the device, while the host goes on to the next pair;
it waits only for the planes of a picture that it hands on.

H x W luma samples; C color channels, 4 with alpha.
"""

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from vfimamba_cli.engine.color import (
    as_signed,
    code_dtype,
    decode_codes,
    encode_codes,
    split,
    to_planes,
    to_rgb,
)
from vfimamba_cli.frame import ColorSpec, Plane, Planes


class Download(Protocol):
    """A made picture on its way to the host."""

    def planes(self) -> Planes:
        """As in `Frame.planes`; waits until they are there."""
        ...

    def seconds(self) -> float:
        """That the device computed it for, from `Transfer.begin` on. To be asked after `planes`."""
        ...


class Transfer(Protocol):
    """The way to a device and back.

    Attributes:
        depth: how many frames to keep on the way before one is waited for.
    """

    depth: int

    def upload(self, planes: Sequence[Plane], color: ColorSpec) -> Tensor:
        """(C, H, W) R'G'B', as `color.to_rgb`, for use in the current stream."""
        ...

    def begin(self) -> Any:
        """Now, in the current stream."""
        ...

    def download(self, rgb: Tensor, color: ColorSpec, begun: Any) -> Download:
        """Send (C, H, W) R'G'B' home as planes, as `color.to_planes`.

        What is queued in the current stream after this may overwrite `rgb`.
        """
        ...


def choose_transfer(device: torch.device) -> Transfer:
    """The best way to `device`."""
    return CudaTransfer(device) if device.type == "cuda" else DirectTransfer(device)


class Arrived:
    """A picture that is on the host already."""

    def __init__(self, planes: Planes, seconds: float) -> None:
        self._planes = planes
        self._seconds = seconds

    def planes(self) -> Planes:
        """At once."""
        return self._planes

    def seconds(self) -> float:
        """From `begin` to `download`'s end."""
        return self._seconds


class DirectTransfer:
    """Where the device computes while the host waits, one thing after the other."""

    depth = 0

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def upload(self, planes: Sequence[Plane], color: ColorSpec) -> Tensor:
        """See `Transfer`."""
        return to_rgb(planes, color, self.device)

    def begin(self) -> float:
        """See `Transfer`."""
        return time.perf_counter()

    def download(self, rgb: Tensor, color: ColorSpec, begun: float) -> Arrived:
        """See `Transfer`."""
        planes = to_planes(rgb, color)
        return Arrived(planes, time.perf_counter() - begun)


class InFlight:
    """A picture that a stream is copying into page-locked memory."""

    def __init__(
        self,
        planes: Planes,
        begun: torch.cuda.Event,
        computed: torch.cuda.Event,
        copied: torch.cuda.Event,
    ) -> None:
        self._planes = planes
        self._begun, self._computed, self._copied = begun, computed, copied

    def planes(self) -> Planes:
        """Views of the page-locked memory, which is used again when they are gone."""
        self._copied.synchronize()
        return self._planes

    def seconds(self) -> float:
        """By the device's own clock."""
        return self._begun.elapsed_time(self._computed) / 1000


class CudaTransfer:
    """Streams of their own for both ways, and page-locked memory at the host's end.

    That memory comes from PyTorch's cache of it, which gives a block out again only after the
    last tensor on it is gone and the copies from and to it are done.
    """

    depth = 6

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.up, self.down = torch.cuda.Stream(device), torch.cuda.Stream(device)

    @torch.inference_mode()
    def upload(self, planes: Sequence[Plane], color: ColorSpec) -> Tensor:
        """See `Transfer`."""
        size = planes[0].shape
        staged = page_locked(sum(plane.size for plane in planes), color)
        for target, plane in zip(split(staged, size, color), planes, strict=True):
            np.copyto(target.numpy(), as_signed(plane))
        compute = torch.cuda.current_stream(self.device)
        with torch.cuda.stream(self.up):
            codes = staged.to(self.device, non_blocking=True)
            rgb = decode_codes(split(codes, size, color), color)
        compute.wait_stream(self.up)
        rgb.record_stream(compute)
        return rgb

    def begin(self) -> torch.cuda.Event:
        """See `Transfer`."""
        return self._mark()

    @torch.inference_mode()
    def download(self, rgb: Tensor, color: ColorSpec, begun: torch.cuda.Event) -> InFlight:
        """See `Transfer`."""
        codes = encode_codes(rgb, color)
        computed = self._mark()
        landed = page_locked(codes.numel(), color)
        self.down.wait_event(computed)
        with torch.cuda.stream(self.down):
            landed.copy_(codes, non_blocking=True)
            copied = torch.cuda.Event(blocking=True)  # type: ignore[no-untyped-call]
            copied.record(self.down)
        codes.record_stream(self.down)
        planes = tuple(
            part.numpy().view(color.dtype) for part in split(landed, rgb.shape[-2:], color)
        )
        return InFlight(planes, begun, computed, copied)

    def _mark(self) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record(torch.cuda.current_stream(self.device))
        return event


def page_locked(count: int, color: ColorSpec) -> Tensor:
    """Memory on the host for `count` codes, which the device can reach by itself."""
    return torch.empty(count, dtype=code_dtype(color), pin_memory=True)
