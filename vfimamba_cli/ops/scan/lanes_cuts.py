"""How the lane-parallel scan is cut into blocks, warps and stages of shared memory."""

from dataclasses import dataclass
from math import ceil
from typing import Self

from vfimamba_cli.ops.nvrtc import CudaError, shared_limit


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How the scan is cut into blocks; changes no result.

    Attributes:
        warps: of a block.
        rows: channels of a warp at a time.
        team: warps that take turns in tiles of the same rows.
        span: bytes of a plane for each lane, 16 or 32.
        paired: neighbouring lanes share the scan over lanes of two rows.
    """

    warps: int
    rows: int
    team: int
    span: int = 16
    paired: bool = True

    @property
    def block(self) -> int:
        """Channels of a block."""
        return self.warps // self.team * self.rows

    def shared(self, states: int, rank: int) -> int:
        """Bytes of shared memory of a block: two stages a team, constants, carries, barriers."""
        stages = 2 * self.team * (rank + 2 * states + self.block) * 32 * self.span
        constants = ceil((1 + self.paired) * self.block * (states + rank) * 4 / 16) * 16
        return stages + constants + self.block * states * 8 + self.team * 32

    @classmethod
    def for_size(cls, states: int, rank: int, device: int) -> Self:
        """The first of `CUTS` that fits.

        Raises:
            CudaError: none does.
        """
        for warps, rows, team, span, paired in CUTS:
            cut = cls(warps=warps, rows=rows, team=team, span=span, paired=paired)
            if cut.shared(states, rank) <= shared_limit(device):
                return cut
        raise CudaError(f"{states} states at rank {rank} do not fit into shared memory")


CUTS = (
    (8, 2, 2, 32, True),
    (8, 2, 2, 32, False),
    (8, 2, 1, 32, True),
    (8, 2, 1, 32, False),
    (16, 2, 1, 16, True),
    (8, 2, 1, 16, True),
    (4, 2, 1, 16, True),
    (2, 1, 1, 16, False),
)
"""From the fastest, as measured on an H100, down to the one with the least shared memory."""
