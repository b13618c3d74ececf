"""The training loop: step, log, validate, save, resume."""

import time
from collections.abc import Callable
from math import isfinite

import numpy as np
import torch
from torch import nn

from vfimamba_cli.data.augment import to_device
from vfimamba_cli.data.batches import TripletBatches
from vfimamba_cli.data.triplet import TripletBatch
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.ops.device import is_out_of_memory
from vfimamba_cli.train.ahead import BatchesAhead
from vfimamba_cli.train.distributed import GradientMean, Processes
from vfimamba_cli.train.ema import Ema
from vfimamba_cli.train.logbook import Every, Logbook, Window
from vfimamba_cli.train.numbers import Numbers, check_losses, check_norm
from vfimamba_cli.train.objective import Objective
from vfimamba_cli.train.optimizer import make_optimizer
from vfimamba_cli.train.plan import describe_sources
from vfimamba_cli.train.precision import Readback, choose_precision
from vfimamba_cli.train.recipe import Recipe
from vfimamba_cli.train.run_folder import RunFolder, RunState
from vfimamba_cli.train.validation import ValidationSet, validate

LOG_SECONDS = 10.0
SAVE_SECONDS = 120.0
VALIDATE_SECONDS = 180.0


class Trainer:
    """Trains `network` on `batches` by `recipe`, keeping everything in `folder`.

    Attributes:
        step: optimizer steps taken.
        phase: number of the recipe's phase that the last batch was drawn in.
        seconds: that all processes agree to have trained, earlier sessions included.
        ema: the averaged weights.
        prepared: whether steps are recorded before the first, and compiled for a long run; else
            they are eager.
    """

    def __init__(
        self,
        network: VFIMamba,
        batches: TripletBatches,
        recipe: Recipe,
        *,
        folder: RunFolder,
        logbook: Logbook,
        validation: ValidationSet | None = None,
        validate_every: int | None = None,
        processes: Processes | None = None,
        prepared: bool = False,
    ) -> None:
        self.recipe, self.batches, self.folder, self.logbook = recipe, batches, folder, logbook
        self.processes = processes or Processes()
        device = batches.device
        self.network = network.train().to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = choose_precision(device)
        self.objective, self.prepared = Objective(self.network, self.precision), prepared
        self.average_gradients = GradientMean(list(self.network.parameters()), self.processes)
        self.ema = Ema(self.network, recipe.ema_decay)
        self.optimizer = make_optimizer(self.network, recipe)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision.needs_scaling)
        self.norm = torch.zeros((), device=device)
        self.validation = None if validation is None else validation.to(device)
        self.validate_every = validate_every
        self.step, self.phase = 0, 0
        self.seconds = self.seconds_before = 0.0
        self.began = time.monotonic()
        self.stopping = False

    @property
    def clock(self) -> float:
        """Seconds spent training by this process's clock, earlier sessions included."""
        return self.seconds_before + time.monotonic() - self.began

    def resume(self) -> None:
        """Go on where the run in the folder stopped.

        Raises:
            CheckpointError: its state is damaged, or of another network.
            OptionError: as `RunFolder.load`.
        """
        first = self.processes.is_first
        found = self.folder.load(self.recipe, self.batches.fingerprint) if first else None
        state = self.processes.from_first(found)
        try:
            self.network.load_state_dict(state.weights)
            self.ema.network.load_state_dict(state.average)
            self.optimizer.load_state_dict(state.optimizer)
            self.scaler.load_state_dict(state.scaler)
        except (RuntimeError, ValueError, KeyError) as error:
            if is_out_of_memory(error):
                raise
            raise self.folder.damaged() from error
        self.step, self.seconds, self.seconds_before = state.step, state.seconds, state.seconds
        self.logbook.forget_after(self.step)

    def run(self, stopped: Callable[[], bool]) -> bool:
        """Train to the end of the recipe, or until any process is `stopped`; save either way.

        Returns:
            Whether the end was reached.

        Raises:
            TrainingError: the loss or the gradient is not finite; nothing is saved then.
        """
        self.stopping = False
        self.phase = self.recipe.phase_at(self.progress())
        ahead = BatchesAhead(self.batches)
        batch = ahead.at(self.step, self.phase)
        self.enter_phase(batch)
        self.processes.wait(self.batches.device)  # some compile for a minute, others find it done
        self.began = time.monotonic()
        window, log, save = Window(), Every(LOG_SECONDS), Every(SAVE_SECONDS)
        validation = Every(VALIDATE_SECONDS)
        while not (finished := self.progress() >= 1) and not self.is_stopped(stopped):
            numbers = self.launch(batch, stopped)
            phase = self.recipe.phase_at(self.recipe.progress(self.step + 1, self.seconds))
            following = ahead.at(self.step + 1, phase)  # while the device works
            self.finish(batch, numbers, window)
            batch = following
            if phase != self.phase:
                self.phase = phase
                self.enter_phase(batch)
            if not self.processes.is_first:
                continue
            if log.due() or self.step == 1:
                self.log(window)
                window = Window()
            saving, validating = save.due(), self.is_validation_due(validation)
            # After a gradient that is not finite the next step says so, in all processes.
            if (saving or validating) and self.is_last_gradient_finite():
                with window.pause():
                    if saving:
                        self.save()
                    if validating:
                        self.validate()
        self.check_last_gradient()
        if self.processes.is_first:
            if window.steps:
                self.log(window)
            self.save()
            if finished:
                self.validate()
        return finished

    def is_stopped(self, stopped: Callable[[], bool]) -> bool:
        """Whether to stop before the next step: several processes must do it at the same one."""
        return stopped() if self.processes.count == 1 else self.stopping

    def is_validation_due(self, clock: Every) -> bool:
        """By steps where that was asked for, else by the clock."""
        if self.validate_every is None:
            return clock.due()
        return self.step % self.validate_every == 0 and self.progress() < 1

    def enter_phase(self, batch: TripletBatch) -> None:
        """Say what is drawn from now on, and prepare the steps for batches like this one."""
        phase = self.recipe.phases[self.phase]
        sources = "; ".join(describe_sources(phase)).strip()
        self.logbook.write(
            "phase",
            {"step": self.step, "phase": phase.name, "crop": phase.crop, "sources": sources},
            f"step {self.step}  phase {self.phase + 1} of {len(self.recipe.phases)}, "
            f"{phase.name}: {sources}",
        )
        if not self.prepared or self.progress() >= 1:
            return
        graphs = self.objective.graphs
        if graphs is not None and graphs.inputs[0].shape == batch.frames.shape:
            return
        self.objective.graphs = None
        self.processes.settle(self.batches.device)
        compiled = self.objective.measure != self.objective.eager
        if not compiled and self.recipe.is_long(self.step, self.seconds):
            self.objective.compile(batch, self.logbook.say)
        self.objective.record(batch, self.logbook.say)
        self.logbook.say(f"steps are {self.objective}")

    def progress(self) -> float:
        """Share of the run that is done."""
        return self.recipe.progress(self.step, self.seconds)

    def launch(self, batch: TripletBatch, stopped: Callable[[], bool]) -> Readback:
        """Start both passes, and all processes' `Numbers` on their way."""
        loss, error = self.objective(batch)
        host = to_device(np.array([stopped(), self.clock], np.float32), self.norm.device)
        numbers = torch.cat((torch.stack((loss.detach(), error, self.norm)), host))
        readback = Readback(self.processes.gather(numbers).flatten())
        # A CPU knows already whether this step ends the run, and its kernels do not bear motion
        # that is no number: they read beyond their memory.
        if loss.device.type != "cpu" or loss.isfinite():
            self.objective.backward(self.scaler.scale(loss))
        return readback

    def finish(self, batch: TripletBatch, numbers: Readback, window: Window) -> None:
        """Wait for the numbers, not for the gradients, and let the optimizer step."""
        rows = Numbers.split(numbers.wait())
        self.seconds, self.stopping = rows[0].seconds, any(row.stop for row in rows)
        rate = self.recipe.learning_rate(self.recipe.progress(self.step + 1, self.seconds))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.check_finite(rows, batch)
        self.average_gradients()
        self.scaler.unscale_(self.optimizer)
        self.norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.network, self.step)
        self.step += 1
        loss, error = (sum(row[i] for row in rows) / len(rows) for i in (0, 1))
        norm = rows[0].norm if self.step > 1 else None
        window.add(len(batch.t) * len(rows), loss, error, norm)

    def check_finite(self, rows: list[Numbers], batch: TripletBatch) -> None:
        """Stop before a bad loss reaches the weights, or just after a bad gradient has.

        The gradient's norm is known one step late, since waiting for it would idle the device.
        """

        def origins(rank: int) -> tuple[str, ...]:
            own = rank == self.processes.rank
            return batch.origins if own else self.batches.origins(self.step, self.phase, rank)

        if not self.precision.needs_scaling:  # else the scaler skips such a step itself
            check_norm(rows[0].norm, self.step - 1)  # first: it spoils the loss that follows it
        check_losses(rows, self.step, origins)

    def check_last_gradient(self) -> None:
        """As `check_finite`, without waiting for a step that may not come."""
        if not self.precision.needs_scaling:
            check_norm(float(self.norm), self.step - 1)

    def is_last_gradient_finite(self) -> bool:
        """Or skipped by the scaler where it was not."""
        return self.precision.needs_scaling or isfinite(float(self.norm))

    def log(self, window: Window) -> None:
        """Write down the means since the last time."""
        means, clock = window.means(), self.clock
        progress = min(self.recipe.progress(self.step, clock), 1.0)
        left = clock * (1 - progress) / max(progress, 1e-9)
        self.logbook.write(
            "train",
            {"step": self.step, "seconds": self.seconds, "lr": self.current_rate, **means},
            f"step {self.step}  loss {means['loss']:.4f}  PSNR {means['psnr_db']:.2f} dB  "
            f"{means['samples_per_second']:.1f} samples/s  lr {self.current_rate:.1e}  "
            f"{100 * progress:.1f} % done, {left / 60:.1f} min left",
        )

    @property
    def current_rate(self) -> float:
        """Learning rate of the last step."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def validate(self) -> None:
        """Measure the averaged weights, where there is something to measure them on."""
        if self.validation is None:
            return
        found = validate(self.ema.network, self.validation, self.precision)
        self.logbook.write(
            "validation",
            {"step": self.step, "seconds": self.seconds, **found.means},
            f"step {self.step}  validation {found}",
        )
        self.folder.save_strips(self.step, found.strips)
        self.folder.save_best(self.ema.network, self.state().facts, found.score)

    def state(self) -> RunState:
        """All that is needed to go on."""
        return RunState(
            step=self.step,
            seconds=self.seconds,
            weights=self.network.state_dict(),
            average=self.ema.network.state_dict(),
            optimizer=self.optimizer.state_dict(),
            scaler=self.scaler.state_dict(),
            recipe=self.recipe.to_dict(),
            samples=self.batches.fingerprint,
        )

    def save(self) -> None:
        """Write weights, average and state; the last gradient must have been finite."""
        self.folder.save(self.network.spec, self.state())
