"""How busy GPUs were meanwhile."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from statistics import mean
from threading import Event, Thread
from time import perf_counter

import torch

PERIOD = 0.1
"""Seconds from one reading to the next; what is read is a mean over 1/6 to 1 second."""


@dataclass
class Busy:
    """What was read.

    Attributes:
        seconds: that the block took; known at its end.
        readings: each the percentage of the time just before in which a kernel ran, as NVIDIA's
            management library (NVML, what `nvidia-smi` shows) has it.
    """

    seconds: float = 0.0
    readings: list[int] = field(default_factory=list)

    @property
    def percent(self) -> float | None:
        """Of the time; None where nobody tells."""
        return mean(self.readings) if self.readings else None

    def line(self) -> str:
        """For people."""
        if self.percent is None:
            return f"measured in {self.seconds:.1f} s"
        busy = f"GPU busy {self.percent:.0f} % of it (NVML, {len(self.readings)} readings)"
        return f"measured in {self.seconds:.1f} s, {busy}"


@contextmanager
def watch(gpus: Sequence[torch.device]) -> Iterator[Busy]:
    """Read how busy they are until the block is left, if `nvidia-ml-py` is installed.

    Args:
        gpus: to read; none on a CPU.
    """
    busy, ended = Busy(), Event()
    reader = Thread(target=read, args=(gpus, busy, ended), daemon=True, name="GPU's readings")
    begun = perf_counter()
    if gpus:
        reader.start()
    try:
        yield busy
    finally:
        ended.set()
        busy.seconds = perf_counter() - begun
        if gpus:
            reader.join()


def read(gpus: Sequence[torch.device], busy: Busy, ended: Event) -> None:
    """Add readings of all of `gpus` until `ended`; none at all where one of them does not tell."""
    try:
        from pynvml import NVMLError
    except ImportError:
        return
    try:
        while not ended.wait(PERIOD):
            busy.readings += [torch.cuda.utilization(gpu) for gpu in gpus]
    except (NVMLError, RuntimeError):  # say, of a part of a GPU (MIG)
        busy.readings.clear()
