"""What a measurement ran on, how long a piece of it took, and the most memory it held."""

import os
import platform
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Self

import torch

STATUS = Path("/proc/self/status")
CLEAR_REFS = Path("/proc/self/clear_refs")
RESET_PEAK = "5"
"""Written to the above, Linux forgets the process's highest resident size so far."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """Without which a time means nothing.

    Attributes:
        gpu: its name; None where the CPU did the work.
        cpu: its name.
        threads: that PyTorch computes with on the CPU.
        versions: of PyTorch, Python and this package, by name.
    """

    gpu: str | None
    cpu: str
    threads: int
    versions: dict[str, str]

    @classmethod
    def of(cls, device: torch.device) -> Self:
        """This machine, working on `device`."""
        return cls(
            gpu=torch.cuda.get_device_name(device) if device.type == "cuda" else None,
            cpu=cpu_name(),
            threads=torch.get_num_threads(),
            versions={
                "torch": torch.__version__,
                "python": platform.python_version(),
                "av": version("av"),
                "vfimamba": version("vfimamba-cli"),
            },
        )

    def line(self) -> str:
        """For people."""
        cpu = f"{self.cpu}, {self.threads} threads"
        versions = (f"{name} {number}" for name, number in self.versions.items())
        return ", ".join((*filter(None, [self.gpu]), cpu, *versions))


def cpu_name() -> str:
    """As Linux knows it; elsewhere what Python does, at least the architecture."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


class Stopwatch(AbstractContextManager["Stopwatch"]):
    """Times a block, from when the device was idle to when it is idle again.

    Events on CUDA, which the device itself stamps; the clock on the CPU.

    Attributes:
        seconds: that the block took; known at its end.
    """

    seconds: float

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.cuda = device.type == "cuda"

    def __enter__(self) -> Self:
        if self.cuda:
            self.start, self.stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda.synchronize(self.device)
            self.start.record(torch.cuda.current_stream(self.device))
        else:
            self.begun = time.perf_counter()
        return self

    def __exit__(self, *failure: object) -> None:
        if not self.cuda:
            self.seconds = time.perf_counter() - self.begun
            return
        self.stop.record(torch.cuda.current_stream(self.device))
        torch.cuda.synchronize(self.device)
        self.seconds = self.start.elapsed_time(self.stop) / 1000


def replayed_seconds(work: Callable[[], object], device: torch.device, runs: int) -> float:
    """Median of `runs` replays of a CUDA graph of `work`, which has run before."""
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=torch.cuda.Stream(device)):
        work()
    seconds = []
    for _ in range(runs):
        with Stopwatch(device) as watch:
            graph.replay()
        seconds.append(watch.seconds)
    return median(seconds)


def reset_peak(device: torch.device) -> None:
    """Forget the most memory held so far, where that can be forgotten."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
    elif os.access(CLEAR_REFS, os.W_OK):
        CLEAR_REFS.write_text(RESET_PEAK)


def peak_bytes(device: torch.device) -> int | None:
    """Most memory held since `reset_peak`.

    On CUDA by tensors, weights and those of recorded graphs included, so that it must be reset
    before the recording; on the CPU by the whole process. None where the system does not tell.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    return _status_bytes("VmHWM") if os.access(CLEAR_REFS, os.W_OK) else None


def resident_bytes() -> int | None:
    """Memory that the process holds now, its GPUs' apart; None where the system does not tell."""
    return _status_bytes("VmRSS") if STATUS.exists() else None


def _status_bytes(field: str) -> int:
    status = dict(line.split(":", 1) for line in STATUS.read_text().splitlines())
    return 1024 * int(status[field].split()[0])
