"""The first two convolutions of the feature pyramid in one CUDA kernel.

What lies between them never reaches memory: frames are read once, the result is written once.
Importing this module imports `cuda.bindings`, not Triton.

F = 2 frames, B batch, C channels, H x W pixels.
"""

from dataclasses import dataclass
from functools import cache
from math import ceil

import torch
from torch import Tensor
from torch.nn.functional import pad

from vfimamba_cli.ops.fused.direct import TYPES, DirectConv
from vfimamba_cli.ops.fused.direct_cuts import RESERVED
from vfimamba_cli.ops.nvrtc import CudaError, Kernel, load, shared_limit

SOURCE = "fused/stem.cu"
CHANNELS = (16, 32)


@dataclass(frozen=True, slots=True, kw_only=True)
class StemCut:
    """How the work is cut; changes no result.

    Attributes:
        rows: of 16 pixels that a warp makes at a time.
        passes: how often it does, one below the other.
        down, across: warps of a block along y and x.
        resident: whether the second weights stay in registers.
        blocks: of a processor at a time.
    """

    rows: int = 4
    passes: int = 2
    down: int = 2
    across: int = 4
    resident: bool = False
    blocks: int = 2

    @property
    def threads(self) -> int:
        """Of a block."""
        return 32 * self.down * self.across

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a block's tile."""
        return self.rows * self.passes * self.down, 16 * self.across - 2

    def shared(self, channels: int) -> int:
        """Bytes of shared memory of a block."""
        rows, columns = self.tile
        middle = (rows + 2) * (columns + 2) * channels * 2
        weights = 3 * 16 * channels * 2 + (0 if self.resident else 9 * channels**2 * 2)
        pixels = (rows + 4) * (columns + 4)
        return middle + weights + 4 * channels * 4 + (pixels + 2) // 2 * 16 + 3 * pixels * 4

    def fits(self, channels: int, limit: int) -> bool:
        """Whether `blocks` of it fit a processor whose blocks can have `limit` bytes."""
        return self.blocks * (self.shared(channels) + RESERVED) <= limit + RESERVED

    def defines(self, channels: int, kind: int) -> tuple[tuple[str, int], ...]:
        """Macros that the kernel is compiled with."""
        return (
            ("TYPE", kind),
            ("CHANNELS", channels),
            ("ROWS", self.rows),
            ("PASSES", self.passes),
            ("WARPS_Y", self.down),
            ("WARPS_X", self.across),
            ("RESIDENT", int(self.resident)),
            ("BLOCKS", self.blocks),
        )

    @classmethod
    def for_channels(cls, channels: int, limit: int) -> "StemCut":
        """The first that fits.

        Raises:
            CudaError: none does.
        """
        for cut in CUTS[channels]:
            if cut.fits(channels, limit):
                return cut
        raise CudaError(f"{channels} channels do not fit into {limit} bytes of shared memory")


CUTS = {
    16: (StemCut(resident=True), StemCut(resident=True, across=2)),
    32: (StemCut(across=2, blocks=3), StemCut(across=2), StemCut(across=2, blocks=1)),
}
"""From the fastest down to the one that takes the least shared memory."""


class StemConv:
    """Two 3x3 convolutions of padding 1, each with its bias and its PReLU, from fp32 frames."""

    def __init__(
        self,
        weight_1: Tensor,
        bias_1: Tensor,
        slope_1: Tensor,
        weight_2: Tensor,
        bias_2: Tensor,
        slope_2: Tensor,
    ) -> None:
        """Pack the weights.

        Args:
            weight_1: (C, 3, 3, 3) in half precision; C is 16 or 32.
            weight_2: (C, C, 3, 3), likewise.
            bias_1, slope_1, bias_2, slope_2: (C,).

        Raises:
            ValueError: another number of channels.
        """
        self.channels = weight_1.shape[0]
        if self.channels not in CHANNELS or weight_2.shape[:2] != (self.channels, self.channels):
            raise ValueError(f"{tuple(weight_1.shape)}, {tuple(weight_2.shape)}: not 16 or 32")
        first = DirectConv(_by_rows(weight_1), bias_1, slope_1)
        second = DirectConv(weight_2, bias_2, slope_2)
        self.weights = first.weight, second.weight
        self.factors = torch.stack([first.bias, first.slope, second.bias, second.slope])

    def __call__(self, frames: Tensor, *, cut: StemCut | None = None) -> Tensor:
        """(F, B, 3, H, W) fp32, rows contiguous -> (F B, H, W, C) in the dtype of the weights.

        Args:
            frames: the pictures.
            cut: how to cut the work.

        Raises:
            ValueError: the frames are laid out in another way.
            CudaError: the kernel does not compile, load or start.
        """
        both, batch, planes, height, width = frames.shape
        if frames.dtype != torch.float32 or planes != 3 or (width > 1 and frames.stride(4) != 1):
            raise ValueError(
                f"frames are {frames.dtype}, {tuple(frames.shape)} of strides {frames.stride()}"
            )
        out = self.weights[0].new_empty(both * batch, height, width, self.channels)
        device = frames.device.index
        cut = cut or _cut(self.channels, device)
        rows, columns = cut.tile
        tiles = both * batch * ceil(height / rows) * ceil(width / columns)
        blocks = min(tiles, _processors(device) * cut.blocks)
        _kernel(self.channels, cut, TYPES[out.dtype], device)(
            (blocks, 1, 1), frames, *self.weights, self.factors, out,
            both * batch, batch, height, width, *frames.stride()[:4],
        )  # fmt: skip
        return out


def _by_rows(weight: Tensor) -> Tensor:
    """(C, 3, 3, 3) as a kernel of three rows, one column and 16 inputs.

    They are 4 columns x 4 channels, zeros included: first channels 0 and 1 of each column, then
    channels 2 and 3. So a lane of a quad multiplies what lies in a row in memory: one pixel.
    """
    wide = pad(weight, (0, 1, 0, 0, 0, 1))  # C', channel, row, column
    pairs = wide.unflatten(1, (2, 2)).permute(0, 1, 4, 2, 3)  # C', pair, column, one of it, row
    return pairs.reshape(len(weight), 16, 3, 1)


@cache
def _processors(device: int) -> int:
    return torch.cuda.get_device_properties(device).multi_processor_count


@cache
def _cut(channels: int, device: int) -> StemCut:
    return StemCut.for_channels(channels, shared_limit(device))


@cache
def _kernel(channels: int, cut: StemCut, kind: int, device: int) -> Kernel:
    defines, shared = cut.defines(channels, kind), cut.shared(channels)
    return load(SOURCE, "stem", defines, device, threads=cut.threads, shared=shared)
