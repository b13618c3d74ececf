"""How large the tiles may be: from the memory that is free, and smaller when that was not enough."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from vfimamba_cli.errors import DeviceError

T = TypeVar("T")

SIDES = (2048, 1024, 512, 256)
"""Sides of tiles that are tried where the frame at once does not fit, in pixels."""

SHARE = 0.8
"""Of the free memory that may be planned with; the rest is for what an estimate misses."""


def free_bytes(device: torch.device) -> int:
    """Memory that could be allocated on `device`.

    On the CPU that is what Linux calls available; elsewhere half of all memory.
    """
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    meminfo = Path("/proc/meminfo")
    if meminfo.exists():
        fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
        return 1024 * int(fields["MemAvailable"].split()[0])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


class TileChooser:
    """Runs work on the frame at once where the memory allows it, else on tiles that fit.

    Attributes:
        sides: that may still be tried, in pixels, largest first; None is the frame at once.
    """

    def __init__(
        self, device: torch.device, *, forced: int, announce: Callable[[str], None]
    ) -> None:
        """`forced` is a side that was asked for, and is never changed; 0 chooses."""
        self.device = device
        self.forced = bool(forced)
        self.sides: list[int | None] = [forced] if forced else [None, *SIDES]
        self.announce = announce

    def run(self, work: Callable[[int | None], T], *, size: tuple[int, int], per_pixel: int) -> T:
        """`work(side)` with the largest side that fits, smaller ones if memory runs out.

        What was too large once is not tried again.

        Args:
            work: does all of it anew at each call.
            size: height and width of the frame, in pixels.
            per_pixel: bytes that `work` needs per pixel of the frame or tile it is computing.

        Raises:
            DeviceError: the smallest side, or the forced one, is too large still.
        """
        tried = self.choose(size, per_pixel)
        while True:
            try:
                return work(tried)
            except torch.OutOfMemoryError as error:
                reason = str(error)
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            smaller = self.sides[self.sides.index(tried) + 1 :]
            if not smaller:
                raise self.too_small(tried, size, reason)
            self.sides, tried = smaller, smaller[0]
            self.announce(f"memory: too little of it; tiles of {tried} pixels from here on")

    def choose(self, size: tuple[int, int], per_pixel: int) -> int | None:
        """The largest side that should fit, or else the smallest there is."""
        if self.forced:
            return self.sides[0]
        budget = SHARE * free_bytes(self.device)
        for side in self.sides:
            pixels = size[0] * size[1] if side is None else min(side, size[0]) * min(side, size[1])
            if per_pixel * pixels <= budget:
                return side
        return self.sides[-1]

    def too_small(self, side: int | None, size: tuple[int, int], reason: str) -> DeviceError:
        """The error when nothing fits."""
        height, width = size
        return DeviceError(
            f"{self.device} has too little memory for frames of {width}x{height} in tiles of "
            f"{side} pixels: {reason}",
            hint="Close other programs that use it, give a smaller --tile or --flow-scale, "
            "use --device cpu, or scale the video down",
        )
