"""How long a made frame takes."""

import resource
import time
from dataclasses import dataclass
from statistics import median

import torch

from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.engine.interpolator import Interpolator

CHANGE = 0.02


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeedRow:
    """What one model took for one frame.

    Attributes:
        model, device, dtype, scan: as they ran.
        width, height: of the frames, in pixels.
        seconds: of each counted run.
        peak_gib: most memory in use: the device's on CUDA, the whole process's on the CPU.
    """

    model: str
    device: str
    dtype: str
    scan: str
    width: int
    height: int
    seconds: tuple[float, ...]
    peak_gib: float

    def line(self) -> str:
        """For people."""
        return (
            f"{self.model}  {self.width}x{self.height}  {self.device} {self.dtype} {self.scan}  "
            f"median {1000 * median(self.seconds):.1f} ms of {len(self.seconds)} "
            f"({1000 * min(self.seconds):.1f} to {1000 * max(self.seconds):.1f}), "
            f"peak {self.peak_gib:.2f} GiB"
        )


def time_model(name: str, *, width: int, height: int, device: str, runs: int) -> SpeedRow:
    """Time the frame half-way between two frames of noise that differ a little.

    Args:
        name: as `load_model` takes it.
        width, height: of the frames, in pixels.
        device: as `Interpolator` takes it.
        runs: to count, after three to warm up.

    Raises:
        CheckpointError, DeviceError: the model cannot be had, or cannot run here.
    """
    engine = Interpolator(load_model(name), device=device)
    generator = torch.Generator().manual_seed(0)
    first = torch.rand(1, 3, height, width, generator=generator)
    second = (first + CHANGE * torch.randn(first.shape, generator=generator)).clamp(0, 1)
    first, second = first.to(engine.device), second.to(engine.device)
    cuda = engine.device.type == "cuda"
    seconds = []
    for _ in range(3 + runs):
        start = time.perf_counter()
        engine.interpolate(first, second, [0.5])
        if cuda:
            torch.cuda.synchronize(engine.device)
        seconds.append(time.perf_counter() - start)
    peak = torch.cuda.max_memory_allocated(engine.device) if cuda else peak_process_bytes()
    return SpeedRow(
        model=name,
        device=torch.cuda.get_device_name(engine.device) if cuda else "cpu",
        dtype=str(engine.dtype).removeprefix("torch."),
        scan=engine.backend.name,
        width=width,
        height=height,
        seconds=tuple(seconds[3:]),
        peak_gib=peak / 2**30,
    )


def peak_process_bytes() -> int:
    """Most memory this process has had resident so far; Linux counts it in KiB."""
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
