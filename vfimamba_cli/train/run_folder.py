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
    """

    step: int
    seconds: float
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]


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

        Raises:
            OptionError: nothing to resume, or a run that would be overwritten.
            OutputError: the folder cannot be created.
        """
        if resume and not self.state.is_file():
            raise OptionError(
                f"No run to resume: {self.state} does not exist",
                hint="Leave --resume out, or name the folder of a run with --out",
            )
        if not resume and (self.state.exists() or self.metrics.exists()):
            raise OptionError(
                f"The folder already holds a run: {self.path}",
                hint="--resume continues it; another --out starts a new one",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot create the folder: {error.strerror}: {self.path}") from error

    def save(self, spec: ModelSpec, recipe: Recipe, state: RunState) -> None:
        """Write all files, each complete or not at all."""
        facts = {"recipe": recipe.to_dict(), "step": state.step, "minutes": state.seconds / 60}
        save_checkpoint(self.last, spec, state.weights, **facts)
        save_checkpoint(self.average, spec, state.average, **facts)
        buffer = io.BytesIO()
        values = {name: getattr(state, name) for name in state.__dataclass_fields__}
        torch.save({**values, "recipe": json.dumps(recipe.to_dict())}, buffer)
        write_atomically(self.state, buffer.getvalue())

    def load(self, recipe: Recipe) -> RunState:
        """The state of the run, which must have been started with `recipe`.

        Raises:
            CheckpointError: the file is damaged.
            OptionError: the run was started with other options.
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
            raise CheckpointError(f"The state of the run is damaged: {self.state}") from error
        asked_for = json.loads(json.dumps(recipe.to_dict()))
        different = [
            f"{name} was {begun_with.get(name)}, now {asked_for.get(name)}"
            for name in sorted(begun_with.keys() | asked_for.keys())
            if begun_with.get(name) != asked_for.get(name)
        ]
        if different:
            raise OptionError(
                f"The run was started with other options: {'; '.join(different)}: {self.path}",
                hint="Repeat its options with --resume, or start another run from its weights: "
                f"--init {self.last}",
            )
        return state
