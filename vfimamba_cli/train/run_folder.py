"""The folder of a run: weights to use, and all that is needed to go on."""

import io
import json
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from vfimamba_cli.checkpoint.store import save_checkpoint, write_atomically
from vfimamba_cli.errors import CheckpointError, OptionError, OutputError
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.train.recipe import Recipe


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """All that a stopped run needs to go on as if it had not stopped.

    Attributes:
        step: optimizer steps taken.
        seconds: spent training.
        weights, average: of the network and of its moving average.
        optimizer, scaler: as their `state_dict` gives them.
        samples: fingerprint of what they were drawn from.
    """

    step: int
    seconds: float
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    samples: dict[str, int | str]


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run keeps its files. The state is written last and is complete by itself."""

    path: Path

    @property
    def average(self) -> Path:
        """The averaged weights, the ones to use."""
        return self.path / "ema.safetensors"

    @property
    def last(self) -> Path:
        """The weights as the optimizer left them."""
        return self.path / "last.safetensors"

    @property
    def state(self) -> Path:
        """What `--resume` reads."""
        return self.path / "state.pt"

    @property
    def metrics(self) -> Path:
        """One JSON line per log entry."""
        return self.path / "metrics.jsonl"

    def prepare(self, *, resume: bool) -> None:
        """Create the folder, or check that it holds a run to resume.

        The log of a run that ended before its first save, which cannot be resumed, is moved
        aside.

        Raises:
            OptionError: nothing to resume, or a run or weights that would be overwritten.
            OutputError: the folder cannot be created.
        """
        if resume and not self.state.is_file():
            raise OptionError(
                f"No run to resume: {self.state} does not exist",
                hint="Leave --resume out, or name the folder of a run with --out",
            )
        if not resume and self.state.exists():
            raise OptionError(
                f"The folder already holds a run: {self.path}",
                hint="--resume continues it; another --out starts a new one",
            )
        if not resume and (self.average.exists() or self.last.exists()):
            raise OptionError(
                f"The folder already holds weights, but no state to resume from: {self.path}",
                hint="Name another folder with --out, or move these weights away",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            if not resume and self.metrics.exists():
                self.metrics.replace(self.path / "metrics.unsaved.jsonl")
        except OSError as error:
            raise OutputError(
                f"Cannot write to the folder: {error.strerror}: {self.path}",
                hint="Name another folder with --out",
            ) from error

    def save(self, spec: ModelSpec, recipe: Recipe, state: RunState) -> None:
        """Write all files, each complete or not at all."""
        facts = {"recipe": recipe.to_dict(), "step": state.step, "minutes": state.seconds / 60}
        save_checkpoint(self.last, spec, state.weights, **facts)
        save_checkpoint(self.average, spec, state.average, **facts)
        buffer = io.BytesIO()
        values = {name: getattr(state, name) for name in state.__dataclass_fields__}
        torch.save({**values, "recipe": json.dumps(recipe.to_dict())}, buffer)
        write_atomically(self.state, buffer.getvalue())

    def load(self, recipe: Recipe, samples: dict[str, int | str]) -> RunState:
        """The state of the run, which must have been started with `recipe` on `samples`.

        Raises:
            CheckpointError: the file is damaged.
            OptionError: the run was started with other options or on other clips.
        """
        try:
            values = torch.load(self.state, map_location="cpu", weights_only=True)
            begun_with = json.loads(values.pop("recipe"))
            state = RunState(**values)
        except (
            pickle.UnpicklingError,
            RuntimeError,
            KeyError,
            TypeError,
            AttributeError,
            EOFError,
        ) as error:
            raise CheckpointError(
                f"The state of the run is damaged: {self.state}", hint=self.another_run
            ) from error
        if different := differences(begun_with, json.loads(json.dumps(recipe.to_dict()))):
            raise OptionError(
                f"The run was started with other options: {different}: {self.path}",
                hint=f"Repeat its options with --resume. {self.another_run}",
            )
        if different := differences(state.samples, samples):
            raise OptionError(
                f"The run was started on other clips or photographs: {different}: {self.path}",
                hint=f"Name its --data and --photos with --resume. {self.another_run}",
            )
        return state

    @property
    def another_run(self) -> str:
        """The way out where this run cannot be resumed."""
        return f"To start another run from its weights: --init {self.last} and another --out"


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """Each entry that is not the same in both, with both values; empty where all are."""
    return "; ".join(
        f"{name} was {before.get(name)}, now {now.get(name)}"
        for name in sorted(before.keys() | now.keys())
        if before.get(name) != now.get(name)
    )
