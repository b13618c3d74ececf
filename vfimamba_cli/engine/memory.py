"""How large the tiles may be: from the memory that is free, smaller when that was too little."""

from collections.abc import Callable
from dataclasses import dataclass

import torch

from vfimamba_cli.errors import DeviceError
from vfimamba_cli.host import free_host_bytes

SIDES = (2048, 1024, 512, 256)
"""Sides of tiles that are tried where the frame at once does not fit, in pixels."""

SHARE = 0.8
"""Of the free memory that may be planned with; the rest is for what an estimate misses."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Demand:
    """What a frame needs.

    Attributes:
        height, width: of the frame, in pixels.
        whole: bytes per pixel of the frame, for what is kept of all of it.
        part: bytes per pixel of the part that is being computed.
        halo: pixels that are computed around a tile.
    """

    height: int
    width: int
    whole: int
    part: int
    halo: int

    def bytes_for(self, side: int | None) -> int:
        """With tiles of `side` pixels, or all at once."""
        sizes = (self.height, self.width)
        rows, columns = (s if side is None else min(side + 2 * self.halo, s) for s in sizes)
        return self.whole * self.height * self.width + self.part * rows * columns


class TileChooser:
    """Chooses tiles that fit the memory, and smaller ones when they did not.

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
        self.announced = self.sides[0]

    def choose(self, demand: Demand) -> int | None:
        """The largest side that should fit, or else the smallest there is. Says if it is new."""
        budget = SHARE * free_bytes(self.device)
        fitting = (side for side in self.sides if demand.bytes_for(side) <= budget)
        side = self.sides[0] if self.forced else next(fitting, self.sides[-1])
        if side != self.announced:
            self.announced = side
            self.announce("memory: " + (f"tiles of {side} pixels" if side else "no tiles"))
        return side

    def shrink(self, tried: int | None, demand: Demand, error: Exception) -> None:
        """Never choose `tried` or a larger side again, since memory ran out with it.

        Raises:
            DeviceError: there is no smaller one.
        """
        smaller = self.sides[self.sides.index(tried) + 1 :]
        if not smaller:
            raise DeviceError(
                f"{self.device} has too little memory for frames of {demand.width}x"
                f"{demand.height} in tiles of {tried} pixels: {error}",
                hint="Close other programs that use it, give a smaller --tile or --flow-scale, "
                "use --device cpu, or scale the video down",
            ) from error
        self.sides = smaller
        if self.device.type == "cuda":
            torch.cuda.empty_cache()


def free_bytes(device: torch.device) -> int:
    """Memory that could be allocated on `device`."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        cached = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free + cached)
    return free_host_bytes()
