"""How long the fused SS2D blocks of a network take at 1920 x 1088; checked first."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from vfimamba_cli.bench.machine import replayed_seconds
from vfimamba_cli.engine.precision import cast
from vfimamba_cli.model.blocks import LayerNorm
from vfimamba_cli.model.config import VFIMAMBA, VFIMAMBA_S, ModelConfig
from vfimamba_cli.model.mixers import SS2D
from vfimamba_cli.ops.scan import choose_backend

HEIGHT, WIDTH = 1088, 1920
TOLERANCE = 5e-3  # of the largest output


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockRow:
    """One block of one network.

    Attributes:
        model: its name.
        shrink: size of the block's level, as a divisor of the frame's.
        milliseconds: median of a whole SS2D, projections, norm and gate included.
        error: largest difference from the plain block in fp32, as a share of its largest value.
    """

    model: str
    shrink: int
    milliseconds: float
    error: float


def time_blocks(device: torch.device, *, runs: int) -> Iterator[BlockRow]:
    """The two levels of both published sizes, in fp16.

    Raises:
        ArithmeticError: a block's result is not the plain one's.
    """
    for name, config in (("vfimamba-s", VFIMAMBA_S), ("vfimamba", VFIMAMBA)):
        for level in (3, 4):
            yield time_block(name, config, level, device, runs)


@torch.inference_mode()
def time_block(
    name: str, config: ModelConfig, level: int, device: torch.device, runs: int
) -> BlockRow:
    """The block of one level, on random tokens.

    Args:
        name: as the row shows it.
        config: of the network.
        level: of the pyramid, 3 or 4.
        device: an NVIDIA GPU that the fused network runs on.
        runs: to take the median of.

    Raises:
        ArithmeticError: as `time_blocks`.
    """
    from vfimamba_cli.model.fused.mixer import FusedMixer  # needs a GPU's compilers

    torch.manual_seed(0)
    channels = config.channels[level]
    plain = SS2D(channels, config, norm=LayerNorm).to(device)
    plain.use_scan(choose_backend("chunked", device))
    fused = FusedMixer(cast(plain, torch.float16), torch.float16)
    x = torch.randn(2, 1, HEIGHT >> level, WIDTH >> level, channels, device=device)
    half = x.flatten(0, 1).half()
    expected = plain.float()(x).flatten(0, 1)
    error = ((fused(half) - expected).abs().max() / expected.abs().max()).item()
    if not error <= TOLERANCE:
        raise ArithmeticError(
            f"the fused block of {channels} channels is off by {error:.1e} of the plain one's "
            f"largest value, more than {TOLERANCE:.0e}: not timed"
        )
    milliseconds = 1000 * replayed_seconds(lambda: fused(half), device, runs)
    return BlockRow(model=name, shrink=1 << level, milliseconds=milliseconds, error=error)
