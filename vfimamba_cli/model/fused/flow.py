"""Motion heads and local blocks.

F = 2 frames, B batch, C channels, H x W pixels.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from vfimamba_cli.model.fused.layers import Conv, Transposed
from vfimamba_cli.model.interface import Motion
from vfimamba_cli.ops.fused import motion as kernels


def ordered(motion: Motion) -> Motion:
    """With the flow's channels last in memory; a view where they are."""
    flow = motion.flow
    if flow.stride(1) != 1 or flow.stride(3) != 4:
        flow = flow.permute(0, 2, 3, 1).contiguous().permute(0, 3, 1, 2)
    return Motion(flow, motion.mask)


class FusedHead:
    """`MotionHead`: from both frames' features and what `planes` writes."""

    def __init__(self, head: Any, dtype: torch.dtype, *, motion: bool) -> None:
        self.scale = round(1 / head.shrink)
        first, *rest = [(pair[0], pair[1]) for pair in head.conv]
        inputs = first[0].in_channels
        features = inputs - (18 if motion else 7)
        slots = kernels.WIDE_SLOTS if motion else 8
        names = ["first"] * 3 + ["second"] * 3
        if motion:
            names += ["warped_first"] * 3 + ["warped_second"] * 3 + ["mask", "time"] + ["flow"] * 4
        else:
            names += ["time"]
        where = kernels.channel_of if motion else kernels.channel_of_frames
        order = [*range(slots, slots + features), *_places(names, where)]
        self.slots, self.inputs = slots, slots + features
        self.convs = [
            Conv(*first, dtype=dtype, places=order, inputs=self.inputs),
            *(Conv(*pair, dtype=dtype) for pair in rest),
        ]

    def __call__(
        self, frames: Tensor, level: Tensor, motion: Motion | None, time: Tensor
    ) -> Motion:
        """Motion after the head.

        Args:
            frames: (F, B, 3, H, W) fp32.
            level: (F, B, C, h, w).
            motion: so far.
            time: (B,).
        """
        rows, columns = (size // self.scale for size in frames.shape[-2:])
        x = level.new_empty(frames.shape[1], rows, columns, self.inputs)
        flow, mask = (None, None) if motion is None else (motion.flow, motion.mask)
        kernels.planes(frames, flow, mask, time, x[..., : self.slots], shrink=self.scale)
        _shuffle(level, x[..., self.slots :])
        for conv in self.convs:
            x = conv(x)
        return Motion(*kernels.add_change(x, flow, mask, scale=self.scale))


class FusedLocal:
    """`LocalBlock`."""

    def __init__(self, block: Any, dtype: torch.dtype) -> None:
        self.scale, self.dtype = block.scale, dtype
        (first, second), rest = [tuple(pair) for pair in block.conv0], block.convblock
        self.before = [
            Conv(*first, dtype=dtype, places=picture_places(), inputs=kernels.SLOTS),
            Conv(*second, dtype=dtype),
        ]
        self.convs = [Conv(*pair, dtype=dtype) for pair in rest]
        self.last = Transposed(block.lastconv, None, dtype=dtype)

    def __call__(self, frames: Tensor, motion: Motion, time: Tensor) -> Motion:
        """Motion after the block."""
        rows, columns = (size // self.scale for size in frames.shape[-2:])
        x = torch.empty(
            frames.shape[1],
            rows,
            columns,
            kernels.SLOTS,
            dtype=self.dtype,
            device=frames.device,
        )
        kernels.planes(frames, motion.flow, motion.mask, time, x, shrink=self.scale)
        for conv in self.before:
            x = conv(x)
        before = x
        for conv in self.convs[:-1]:
            x = conv(x)
        change = self.last(self.convs[-1](x, before=before))
        return Motion(*kernels.add_change(change, motion.flow, motion.mask, scale=2 * self.scale))


def _places(names: list[str], where: Callable[[str, int], int]) -> list[int]:
    """Where channels so named, several of each, lie in what `planes` writes."""
    return [where(name, names[:i].count(name)) for i, name in enumerate(names)]


def picture_places() -> list[int]:
    """The same for the 17 channels that local blocks and the U-Net see."""
    names = ["first"] * 3 + ["second"] * 3 + ["warped_first"] * 3 + ["warped_second"] * 3
    return _places([*names, "mask", *["flow"] * 4], kernels.channel_of)


def _shuffle(level: Tensor, out: Tensor) -> None:
    """Pixel shuffle by 2, twice, of (F, B, C, h, w), into (B, 4 h, 4 w, 2 C / 16)."""
    size = {1: (-1, 2, 2), 2: (-1, 2, 2), 3: (2, -1)}
    to = out
    for axis in (3, 2, 1):
        to = to.unflatten(axis, size[axis])
    fine = level.unflatten(2, (-1, 2, 2, 2, 2))  # f, b, c, i2, j2, i1, j1, h, w
    to.copy_(fine.permute(1, 7, 5, 3, 8, 6, 4, 0, 2))
