"""How a direct convolution is cut into blocks, warps and stages of shared memory."""

from dataclasses import dataclass
from math import ceil

from vfimamba_cli.ops.nvrtc import CudaError

RESERVED = 1024  # bytes of shared memory that a block takes besides its own
RESIDENT = 40  # words of weights that a lane keeps in registers


@dataclass(frozen=True, slots=True, kw_only=True)
class Layer:
    """What a kernel is compiled for.

    Attributes:
        inputs, outputs: channels, multiples of 8.
        kept: how many of the outputs are stored.
        stride: 1 or 2.
        transposed: 4x4 transposed of stride 2 instead of 3x3; `stride` is 1 then.
        adds, twice: whether there is a `before`, a `second`.
    """

    inputs: int
    outputs: int
    kept: int
    stride: int = 1
    transposed: bool = False
    adds: bool = False
    twice: bool = False

    @property
    def taps(self) -> int:
        """Of the kernel that one parity of output rows uses."""
        return 8 if self.transposed else 9

    @property
    def run(self) -> int:
        """Outputs that a thread stores at a time."""
        return 8 if self.outputs % 32 == 0 else 4 if self.outputs % 16 == 0 else 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """How the work is cut; changes no result.

    Attributes:
        rows: of 16 pixels that a warp makes at a time.
        down, across: warps of a team along y and x.
        splits: warps of a team that share pixels and make different outputs.
        slices: of the outputs, each by blocks of their own.
        parities: of output rows that a block makes, 1 or 2; 1 unless transposed.
        chunk: input channels at a time; all if 0.
        stages: tiles in shared memory of a team.
        teams: of a block.
        blocks: of a processor at a time.
    """

    rows: int = 4
    down: int = 2
    across: int = 2
    splits: int = 1
    slices: int = 1
    parities: int = 1
    chunk: int = 0
    stages: int = 2
    teams: int = 1
    blocks: int = 1

    @property
    def threads(self) -> int:
        """Of a block."""
        return 32 * self.teams * self.down * self.across * self.splits * self.parities

    @property
    def tile(self) -> tuple[int, int]:
        """Rows and columns of a team's tile."""
        return self.rows * self.down, 16 * self.across

    def shared(self, layer: Layer) -> int:
        """Bytes of shared memory of a block."""
        rows, columns = ((size - 1) * layer.stride + 3 for size in self.tile)
        pixel = ((self.chunk or layer.inputs) // 8 | 1) * 16
        weights = self.parities * layer.taps * layer.inputs * layer.outputs // self.slices * 2
        own = weights // (self.splits * 128)
        if not layer.transposed and self.chunk in (0, layer.inputs) and own <= RESIDENT:
            weights = 0
        return weights + self.teams * self.stages * rows * columns * pixel

    def fits(self, layer: Layer, limit: int) -> bool:
        """Whether `blocks` of it fit a processor whose blocks can have `limit` bytes."""
        return self.blocks * (self.shared(layer) + RESERVED) <= limit + RESERVED

    @classmethod
    def for_layer(cls, layer: Layer, limit: int) -> "Cut":
        """The first that fits.

        Raises:
            CudaError: none does.
        """
        for cut in _candidates(layer):
            if cut.fits(layer, limit):
                return cut
        raise CudaError(f"{layer} does not fit into {limit} bytes of shared memory")


def _candidates(layer: Layer) -> list[Cut]:
    """From the fastest, as measured on an H100, down to the one with the least shared memory."""
    if layer.transposed:
        wide = {"splits": max(layer.outputs // 32, 1), "chunk": 32, "down": 2, "across": 1}
        fastest = Cut(**wide, parities=2, blocks=4) if layer.outputs <= 8 else None
        return [
            *([fastest] if fastest else []),
            Cut(**wide, parities=2, teams=2),
            Cut(**wide, teams=2),
            Cut(**wide, rows=2, teams=1),
            Cut(**wide | {"splits": 1}, rows=2, slices=max(layer.outputs // 32, 1), stages=1),
        ]
    if layer.outputs <= 16:
        return [Cut(rows=8, blocks=2), Cut(blocks=2), Cut(rows=2, blocks=2), Cut(rows=2)]
    splits = ceil(layer.outputs / 32)
    few = [
        Cut(rows=2, across=1, splits=splits, slices=1, stages=1),
        Cut(rows=2, across=1, slices=splits, stages=1),
    ]
    if layer.stride == 2:
        if layer.inputs > 32:
            return [Cut(across=1, splits=splits), Cut(rows=2, down=4, across=1), *few]
        return [
            Cut(rows=2, blocks=3) if splits == 1 else Cut(rows=2, across=1, splits=2, blocks=2),
            Cut(rows=2, down=4, across=1),
            *few,
        ]
    if layer.outputs == 32:
        return [Cut(blocks=3), Cut(blocks=2), *few]
    if layer.inputs % 32 == 0 and not layer.adds:
        return [Cut(across=1, chunk=32, teams=4), Cut(across=1, splits=splits, teams=2), *few]
    return [
        Cut(across=1, splits=splits, teams=2, blocks=2),
        Cut(across=1, splits=splits, teams=2),
        *few,
    ]


def defines(layer: Layer, cut: Cut, kind: int) -> tuple[tuple[str, int], ...]:
    """Macros that the kernel is compiled with."""
    return (
        ("TYPE", kind),
        ("KIND", int(layer.transposed)),
        ("INPUTS", layer.inputs),
        ("OUTPUTS", layer.outputs),
        ("KEPT", layer.kept),
        ("STRIDE", layer.stride),
        ("ADDS", int(layer.adds)),
        ("TWICE", int(layer.twice)),
        ("ROWS", cut.rows),
        ("WARPS_Y", cut.down),
        ("WARPS_X", cut.across),
        ("WARPS_N", cut.splits),
        ("SHARE", layer.outputs // cut.slices // cut.splits),
        ("PARITIES", cut.parities),
        ("CHUNK", cut.chunk or layer.inputs),
        ("STAGES", cut.stages),
        ("TEAMS", cut.teams),
        ("BLOCKS", cut.blocks),
    )
