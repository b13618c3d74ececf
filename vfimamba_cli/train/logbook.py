"""What happened in a run: one JSON line per entry, the same as a line for people, and curves."""

import importlib.util
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import mean
from typing import Any

from vfimamba_cli.checkpoint.store import write_atomically
from vfimamba_cli.errors import InputError, OutputError

Entry = dict[str, Any]


class Logbook:
    """Appends to `path` and announces; nothing is held back, so a copy is always current.

    Where TensorBoard is installed, numbers go to a folder of events beside `path` as well.

    Attributes:
        path: `metrics.jsonl`; None writes and says nothing, for all processes but the first.
        say: takes a line for people.
    """

    def __init__(self, path: Path | None, announce: Callable[[str], None]) -> None:
        self.path = path
        self.say = announce if path else lambda _: None
        self.board: Any = None
        if path and importlib.util.find_spec("tensorboard"):
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(path.parent / "tensorboard"))

    def write(self, kind: str, values: Mapping[str, float | str], text: str) -> None:
        """One entry, and `text` for people."""
        if self.path is None:
            return
        entry = {"kind": kind, "time": round(time.time(), 1), **values}
        try:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(entry) + "\n")
        except OSError as error:
            raise OutputError(f"Cannot write: {error.strerror}: {self.path}") from error
        self.say(text)
        if self.board:
            for name, value in values.items():
                if name != "step" and not isinstance(value, str):
                    self.board.add_scalar(f"{kind}/{name}", value, values["step"])
            self.board.flush()

    def forget_after(self, step: int) -> None:
        """Take out what came after `step`: a run that was killed goes on from there, and will
        write it again.
        """
        if self.path is None or not self.path.exists():
            return
        kept = [entry for entry in read_entries(self.path) if entry["step"] <= step]
        text = "".join(json.dumps(entry) + "\n" for entry in kept)
        write_atomically(self.path, text.encode())


def read_entries(path: Path) -> list[Entry]:
    """All entries; a last line that a kill has cut off is left out.

    Raises:
        InputError: no such file, or it is no log of a run.
    """
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"No log of a run: {path}", hint="Name the --out of a run") from error
    entries = []
    for line in lines[:-1]:  # complete lines only
        try:
            entry = json.loads(line)
            entries.append(entry | {"step": int(entry["step"]), "kind": str(entry["kind"])})
        except (ValueError, TypeError, KeyError) as error:
            raise InputError(
                f"The log of the run is damaged: {path}: {line[:80]}", hint="Remove that line"
            ) from error
    return entries


def read_validations(path: Path) -> list[Entry]:
    """The entries that validation made, in order.

    Raises:
        InputError: as `read_entries`, or there is none.
    """
    found = [entry for entry in read_entries(path) if entry["kind"] == "validation"]
    if not found:
        raise InputError(
            f"The run was never validated: {path}", hint="Train with --val, and perhaps --val-every"
        )
    return found


@dataclass
class Every:
    """A clock that is due every `seconds`, for the first time that long after it was made."""

    seconds: float

    def __post_init__(self) -> None:
        self.last = time.monotonic()

    def due(self) -> bool:
        """Whether the time has passed since it was last due."""
        now = time.monotonic()
        if now - self.last < self.seconds:
            return False
        self.last = now
        return True


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
    norms: list[float] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def add(self, samples: int, loss: float, error: float, norm: float | None) -> None:
        """One step's batch size, loss, mean squared error of the picture, and the gradient norm of
        the step before, which the first has not.
        """
        self.steps += 1
        self.samples += samples
        self.loss += loss
        self.error += error
        if norm is not None:
            self.norms.append(norm)

    @contextmanager
    def pause(self) -> Iterator[None]:
        """What is done in the block does not count for the rate."""
        paused = time.monotonic()
        yield
        self.began += time.monotonic() - paused

    @property
    def seconds(self) -> float:
        """Since the window was opened, less its pauses."""
        return time.monotonic() - self.began

    def means(self) -> dict[str, float]:
        """Loss, PSNR in dB of the mean squared error, gradient norm if known, samples/s."""
        norms = {"gradient_norm": mean(self.norms)} if self.norms else {}
        return {
            "loss": self.loss / self.steps,
            "psnr_db": -10 * math.log10(max(self.error / self.steps, 1e-10)),
            **norms,
            "samples_per_second": self.samples / max(self.seconds, 1e-9),
        }
