"""PSNR of the frames in between on DAVIS-7.

B clips, T frames, H x W pixels.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm import tqdm

from vfimamba_cli.bench.report import Report, Row
from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.data.davis7 import EXPECTED, find_davis7, read_davis7
from vfimamba_cli.engine.interpolator import Interpolator, Schedule
from vfimamba_cli.errors import InputError
from vfimamba_cli.metrics import psnr_8bit

Method = Callable[[Tensor, Tensor, Sequence[Fraction]], Tensor]
"""Two (B, 3, H, W) frames and timesteps -> (T, B, 3, H, W)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """Which frames of a clip are given and which are asked for, by their number from 0."""

    first: int
    second: int
    targets: tuple[int, ...]
    schedule: Schedule = "direct"

    @property
    def timesteps(self) -> list[Fraction]:
        """Times of the targets between the two given frames, in (0, 1)."""
        return [Fraction(i - self.first, self.second - self.first) for i in self.targets]

    @property
    def name(self) -> str:
        """For the table's head."""
        asked = ",".join(map(str, self.targets))
        middle = self.timesteps == [Fraction(1, 2)]
        return f"{asked} from {self.first},{self.second}" + ("" if middle else f" {self.schedule}")


MIDDLES = (Task(first=0, second=8, targets=(4,)), Task(first=0, second=2, targets=(1,)))
QUARTERS = (
    Task(first=0, second=8, targets=(2, 6), schedule="direct"),
    Task(first=0, second=8, targets=(2, 6), schedule="halving"),
)
"""Off-center times, for models trained for them: asked for directly, or reached by halving."""


def run_davis7(
    models: list[str], *, folder: Path | None, device: str = "auto", limit: int | None = None
) -> Report:
    """Measure the average of the two frames and each model.

    PSNR over all pixels and channels (RGB) after rounding to 8 bits, mean over clips and
    targets.

    Args:
        models: names, paths or Hub IDs.
        folder: holds `vidim_davis7.mp4`; by default `VFIMAMBA_DATA/davis7`.
        limit: use that many clips from the start only.

    Raises:
        InputError: the clips are missing or not what they should be.
        CheckpointError, DeviceError: a model cannot be had, or cannot run here.
    """
    path = find_clips(folder)
    contestants = [Contestant.load(name, device) for name in models]  # typos show before decoding
    clips = read_davis7(path)[:limit]
    rows = [Row(method="average", psnr=measure(MIDDLES, lambda _: average, clips, batch=8))]
    rows += [contestant.run(clips) for contestant in contestants]
    return Report(dataset="davis7", clips=len(clips), rows=tuple(rows))


@dataclass(frozen=True, slots=True, kw_only=True)
class Contestant:
    """A model under the name it was asked for by, ready to run by either schedule."""

    name: str
    engines: dict[Schedule, Interpolator]

    @classmethod
    def load(cls, name: str, device: str) -> Self:
        """Raises `CheckpointError` or `DeviceError` when it cannot be had or cannot run here."""
        network = load_model(name)
        schedules: tuple[Schedule, ...] = ("direct", "halving")
        engines = {s: Interpolator(network, device=device, schedule=s) for s in schedules}
        return cls(name=name, engines=engines)

    def run(self, clips: NDArray[np.uint8]) -> Row:
        """Measure the tasks the model was trained for."""
        engine = self.engines["direct"]
        tasks = MIDDLES + (QUARTERS if engine.spec.arbitrary_time else ())
        batch = 32 if engine.device.type == "cuda" else 1
        psnr = measure(
            tasks, lambda task: self.engines[task.schedule].interpolate, clips, batch=batch
        )
        settings = {
            "device": str(engine.device),
            "dtype": str(engine.dtype).removeprefix("torch."),
            "scan": engine.backend.name,
        }
        return Row(method=self.name, psnr=psnr, settings=settings)


def find_clips(folder: Path | None) -> Path:
    """The file of all clips in `folder`, or else where VFIMAMBA_DATA says.

    Raises:
        InputError: it is not there; says where to get it.
    """
    if folder is None and (root := os.environ.get("VFIMAMBA_DATA")):
        folder = Path(root) / "davis7"
    if folder is None:
        raise InputError("No DAVIS-7 clips: give --data DIR or set VFIMAMBA_DATA", hint=EXPECTED)
    return find_davis7(folder)


def average(first: Tensor, second: Tensor, timesteps: Sequence[Fraction]) -> Tensor:
    """The mean of the two frames, whatever the time: what any method must beat."""
    return ((first + second) / 2).expand(len(timesteps), *first.shape)


def measure(
    tasks: tuple[Task, ...],
    method: Callable[[Task], Method],
    clips: NDArray[np.uint8],
    *,
    batch: int,
) -> dict[str, float]:
    """Mean PSNR in dB per task name, in `batch`es of that many clips."""
    return {task.name: _mean_psnr(task, method(task), clips, batch) for task in tasks}


def _mean_psnr(task: Task, method: Method, clips: NDArray[np.uint8], batch: int) -> float:
    starts = range(0, len(clips), batch)
    values = []
    for start in tqdm(starts, desc=task.name, unit_scale=batch, unit=" clips", disable=None):
        part = clips[start : start + batch]
        first, second = _frame(part, task.first), _frame(part, task.second)
        made = method(first, second, task.timesteps)
        for picture, target in zip(made, task.targets, strict=True):
            values.append(psnr_8bit(picture, _frame(part, target).to(picture.device)))
    return float(torch.cat(values).mean())


def _frame(clips: NDArray[np.uint8], number: int) -> Tensor:
    """(B, 9, H, W, 3) -> frame `number` of each, (B, 3, H, W) in [0, 1], exact in fp32."""
    return torch.from_numpy(clips[:, number]).permute(0, 3, 1, 2).float() / 255
