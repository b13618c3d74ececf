"""What happened in a run: one JSON line per entry, and the same as a line for people."""

import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from vfimamba_cli.errors import OutputError


@dataclass
class Logbook:
    """Appends to `path` and announces; nothing is held back, so a copy is always current.

    Attributes:
        path: `metrics.jsonl`.
        announce: takes a line for people.
    """

    path: Path
    announce: Callable[[str], None]

    def write(self, kind: str, values: dict[str, float | str], text: str) -> None:
        """One entry, and `text` for people."""
        entry = {"kind": kind, "time": round(time.time(), 1), **values}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise OutputError(f"Cannot write: {error.strerror}: {self.path}") from error
        self.announce(text)


@dataclass
class Window:
    """Running means since the last log line.

    Attributes:
        psnr_db: mean over steps of the batch's PSNR.
    """

    steps: int = 0
    samples: int = 0
    loss: float = 0.0
    error: float = 0.0
    norm: float = 0.0
    began: float = field(default_factory=time.monotonic)

    def add(self, samples: int, loss: float, error: float, norm: float) -> None:
        """One step's batch size, loss, mean squared error of the picture, and gradient norm."""
        self.steps += 1
        self.samples += samples
        self.loss += loss
        self.error += error
        self.norm += norm

    @property
    def seconds(self) -> float:
        """Since the window was opened."""
        return time.monotonic() - self.began

    def means(self) -> dict[str, float]:
        """Loss, PSNR in dB of the mean squared error, gradient norm, samples per second."""
        return {
            "loss": self.loss / self.steps,
            "psnr_db": -10 * math.log10(max(self.error / self.steps, 1e-10)),
            "gradient_norm": self.norm / self.steps,
            "samples_per_second": self.samples / max(self.seconds, 1e-9),
        }
