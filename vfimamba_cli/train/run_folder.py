"""The folder of a run: weights to use, and all that is needed to go on."""

import io
import json
import pickle
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from vfimamba_cli.checkpoint.store import read_checkpoint, save_checkpoint, write_atomically
from vfimamba_cli.differences import differences
from vfimamba_cli.errors import CheckpointError, OptionError, OutputError
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.train.recipe import Recipe
from vfimamba_cli.video.still import encode_png

KEPT = 3
"""Averages of earlier steps that stay."""


COPIES = 11 + KEPT
"""Of the weights, in fp32, that a run's folder holds at most: weights, average, best and kept
ones; the state holds weights, average and two moments, and is there twice while it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunState:
    """All that a stopped run needs to go on as if it had not stopped.

    Attributes:
        step: optimizer steps taken.
        seconds: spent training.
        weights, average: of the network and of its moving average.
        optimizer, scaler: as their `state_dict` gives them.
        recipe: as plain JSON values.
        samples: fingerprint of what they were drawn from.
    """

    step: int
    seconds: float
    weights: dict[str, Tensor]
    average: dict[str, Tensor]
    optimizer: dict[str, Any]
    scaler: dict[str, Any]
    recipe: dict[str, Any]
    samples: dict[str, int | str]

    @property
    def facts(self) -> dict[str, Any]:
        """What a checkpoint notes of how it came to be."""
        return {"recipe": self.recipe, "step": self.step, "minutes": self.seconds / 60}


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Where a run keeps its files. The state is written last and is complete by itself."""

    path: Path

    @property
    def average(self) -> Path:
        """The averaged weights, the ones to use."""
        return self.path / "ema.safetensors"

    @property
    def best(self) -> Path:
        """The averaged weights that validation liked best."""
        return self.path / "best.safetensors"

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

    def kept(self) -> list[Path]:
        """Averages of the last steps that were saved, oldest first."""
        return sorted(self.path.glob("ema-*.safetensors"))

    def check(self, *, resume: bool) -> None:
        """See that a run can go on in the folder, or begin there; changes nothing.

        Raises:
            OptionError: nothing to resume, or a run or weights that would be overwritten.
            OutputError: it is a file.
        """
        if self.path.exists() and not self.path.is_dir():
            raise OutputError(
                f"A file, not a folder: {self.path}", hint="Name another folder with --out"
            )
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

    def prepare(self, *, resume: bool) -> None:
        """Create the folder, or check that it holds a run to resume.

        The log of a run that ended before its first save, which cannot be resumed, is moved
        aside; what a killed process left half written is removed.

        Raises:
            OptionError: as `check`.
            OutputError: as `check`, or the folder cannot be created.
        """
        self.check(resume=resume)
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            for part in self.path.glob("*.part"):
                part.unlink(missing_ok=True)
            if not resume:
                for path in (self.metrics, self.best):  # of a run that ended before its first save
                    if path.exists():
                        path.replace(path.with_name(f"{path.stem}.unsaved{path.suffix}"))
        except OSError as error:
            raise OutputError(
                f"Cannot write to the folder: {error.strerror}: {self.path}",
                hint="Name another folder with --out",
            ) from error

    @contextmanager
    def gone_if_empty(self) -> Iterator[None]:
        """Remove the folder where the block fails before anything was written."""
        try:
            yield
        except BaseException:  # Ctrl-C, too; it goes on
            with suppress(OSError):  # not empty, or another process was faster
                self.path.rmdir()
            raise

    def check_space(self, parameters: int) -> None:
        """Refuse a disk that cannot hold what the run will write, before it has worked for hours.

        Raises:
            OutputError: there is too little space.
        """
        files = (path for path in self.path.rglob("*") if path.is_file())
        needed = COPIES * 4 * parameters - sum(path.stat().st_size for path in files)
        free = shutil.disk_usage(self.path).free
        if free < needed:
            raise OutputError(
                f"A run's folder takes up to {needed / 1e6:.0f} MB more, and {free / 1e6:.0f} MB "
                f"are free: {self.path}",
                hint="Make room, or name a folder on another disk with --out",
            )

    def save(self, spec: ModelSpec, state: RunState) -> None:
        """Write all files, each complete or not at all; the state last."""
        kept = self.path / f"ema-{state.step:08d}.safetensors"
        for path, weights in (
            (self.last, state.weights),
            (kept, state.average),
            (self.average, state.average),
        ):
            save_checkpoint(path, spec, weights, **state.facts)
        for old in self.kept()[:-KEPT]:
            old.unlink()
        buffer = io.BytesIO()
        values = {name: getattr(state, name) for name in state.__dataclass_fields__}
        torch.save({**values, "recipe": json.dumps(state.recipe)}, buffer)
        write_atomically(self.state, buffer.getvalue())

    def save_best(self, network: VFIMamba, facts: dict[str, Any], score: float) -> None:
        """Keep the averaged weights of `network` if no earlier ones of the run scored higher."""
        if self.best.exists() and not score > read_checkpoint(self.best).facts["score"]:
            return
        save_checkpoint(self.best, network.spec, network.state_dict(), **facts, score=score)

    def save_strips(self, step: int, strips: Sequence[NDArray[np.uint8]]) -> None:
        """Write strips below one another as a picture, black beside the narrower ones."""
        widest = max(strip.shape[1] for strip in strips)
        padded = [np.pad(s, ((0, 0), (0, widest - s.shape[1]), (0, 0))) for s in strips]
        sheet = np.concatenate(padded)
        try:
            (self.path / "samples").mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"Cannot write: {error.strerror}: {self.path}") from error
        write_atomically(self.path / "samples" / f"{step:08d}.png", encode_png(sheet))

    def load(self, recipe: Recipe, samples: dict[str, int | str]) -> RunState:
        """The state of the run, which must have been started with `recipe` on `samples`.

        Raises:
            CheckpointError: the file is damaged.
            OptionError: the run was started with other options or on other clips.
        """
        state = self.read(recipe)
        if different := differences(state.samples, samples):
            raise OptionError(
                f"The run was started on other clips or photographs: {different}: {self.path}",
                hint=f"Name its --data and --photos with --resume. {self.another_run}",
            )
        return state

    def read(self, recipe: Recipe) -> RunState:
        """The state of the run, which must have been started with `recipe`.

        Raises:
            CheckpointError: the file is damaged.
            OptionError: the run was started with other options.
        """
        try:
            values = torch.load(self.state, map_location="cpu", weights_only=True)
            state = RunState(**{**values, "recipe": json.loads(values["recipe"])})
        except (
            pickle.UnpicklingError,
            RuntimeError,
            KeyError,
            TypeError,
            AttributeError,
            EOFError,
            ValueError,
        ) as error:
            raise self.damaged() from error
        if different := differences(state.recipe, json.loads(json.dumps(recipe.to_dict()))):
            raise OptionError(
                f"The run was started with other options: {different}: {self.path}",
                hint=f"Repeat its options with --resume. {self.another_run}",
            )
        return state

    def damaged(self) -> CheckpointError:
        """The error for a state that cannot be gone on from."""
        return CheckpointError(
            f"The state of the run is damaged: {self.state}", hint=self.another_run
        )

    @property
    def another_run(self) -> str:
        """The way out where this run cannot be resumed."""
        return f"To start another run from its weights: --init {self.last} and another --out"
