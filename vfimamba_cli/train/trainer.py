"""The training loop: step, log, validate, save, resume."""

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from vfimamba_cli.data.batches import TripletBatches
from vfimamba_cli.data.triplet import TripletBatch
from vfimamba_cli.errors import VfimambaError
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.train.ahead import BatchesAhead
from vfimamba_cli.train.ema import Ema
from vfimamba_cli.train.logbook import Logbook, Window
from vfimamba_cli.train.objective import Objective
from vfimamba_cli.train.precision import Readback, choose_precision
from vfimamba_cli.train.recipe import Recipe
from vfimamba_cli.train.run_folder import RunFolder, RunState
from vfimamba_cli.train.validation import validate

LOG_SECONDS = 10.0
SAVE_SECONDS = 120.0
VALIDATE_SECONDS = 180.0
NO_DECAY = ("A_logs", "Ds")


class TrainingError(VfimambaError):
    """A run that cannot go on: its loss or gradient is not finite."""


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


class Trainer:
    """Trains `network` on `batches` by `recipe`, keeping everything in `folder`.

    Attributes:
        step: optimizer steps taken.
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
        announce: Callable[[str], None],
        validation: Tensor | None = None,
        prepared: bool = False,
    ) -> None:
        self.recipe, self.batches, self.folder = recipe, batches, folder
        device = batches.device
        self.network = network.train().to(device)
        self.network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = choose_precision(device)
        self.objective, self.prepared = Objective(self.network, self.precision), prepared
        self.ema = Ema(self.network, recipe.ema_decay)
        self.optimizer = make_optimizer(self.network, recipe)
        self.scaler = torch.amp.GradScaler(device.type, enabled=self.precision.needs_scaling)
        self.norm = torch.zeros((), device=device)
        self.validation = None if validation is None else validation.to(device)
        self.logbook = Logbook(folder.metrics, announce)
        self.step = 0
        self.seconds_before = 0.0
        self.began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Spent training, earlier sessions of the run included."""
        return self.seconds_before + time.monotonic() - self.began

    def resume(self) -> None:
        """Go on where the run in the folder stopped."""
        state = self.folder.load(self.recipe, self.batches.fingerprint())
        self.network.load_state_dict(state.weights)
        self.ema.network.load_state_dict(state.average)
        self.optimizer.load_state_dict(state.optimizer)
        self.scaler.load_state_dict(state.scaler)
        self.step, self.seconds_before = state.step, state.seconds

    def run(self, stopped: Callable[[], bool]) -> bool:
        """Train to the end of the recipe, or until `stopped`; save either way.

        Returns:
            Whether the end was reached.

        Raises:
            TrainingError: the loss or the gradient is not finite; nothing is saved then.
        """
        ahead = BatchesAhead(self.batches)
        batch = ahead.at(self.step)
        if self.prepared and self.progress() < 1:
            if self.recipe.is_long(self.step, self.seconds_before):
                self.objective.compile(batch, self.logbook.announce)
            self.objective.record(batch, self.logbook.announce)
            self.logbook.announce(f"steps are {self.objective}")
        self.began = time.monotonic()
        window, log, save = Window(), Every(LOG_SECONDS), Every(SAVE_SECONDS)
        validation = Every(VALIDATE_SECONDS)
        while not (finished := self.progress() >= 1) and not stopped():
            numbers = self.launch(batch)
            following = ahead.at(self.step + 1)  # while the device works
            self.finish(batch, numbers, window)
            batch = following
            if log.due() or self.step == 1:
                self.log(window)
                window = Window()
            if save.due():
                self.save()
            if validation.due():
                self.validate()
        if window.steps:
            self.log(window)
        self.save()
        if finished:
            self.validate()
        return finished

    def progress(self) -> float:
        """Share of the run that is done."""
        return self.recipe.progress(self.step, self.seconds)

    def take_step(self, batch: TripletBatch, window: Window) -> None:
        """One optimizer step; its numbers go into `window`."""
        self.finish(batch, self.launch(batch), window)

    def launch(self, batch: TripletBatch) -> Readback:
        """Start both passes: loss, error, and the norm of the gradient of the step before."""
        loss, error = self.objective(batch)
        numbers = Readback(torch.stack((loss.detach(), error, self.norm)))
        self.objective.backward(self.scaler.scale(loss))
        return numbers

    def finish(self, batch: TripletBatch, numbers: Readback, window: Window) -> None:
        """Wait for the numbers, not for the gradients, and let the optimizer step."""
        rate = self.recipe.learning_rate(self.recipe.progress(self.step + 1, self.seconds))
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss_value, error_value, norm_before = numbers.wait()
        self.check_finite(loss_value, norm_before, batch)
        self.scaler.unscale_(self.optimizer)
        self.norm = nn.utils.clip_grad_norm_(self.network.parameters(), self.recipe.clip_norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        self.optimizer.zero_grad(set_to_none=True)
        self.ema.update(self.network, self.step)
        self.step += 1
        window.add(len(batch.t), loss_value, error_value, norm_before)

    def check_finite(self, loss: float, norm_before: float, batch: TripletBatch) -> None:
        """Stop before a bad loss reaches the weights, or just after a bad gradient has.

        The gradient's norm is known one step late, since waiting for it would idle the device.
        With a loss scale it may be infinite: the scaler then skips the step itself.
        """
        if not math.isfinite(loss):
            raise TrainingError(
                f"The loss is {loss} at step {self.step}, on {', '.join(batch.origins)}",
                hint="What was saved before is untouched; try a lower --lr",
            )
        if not math.isfinite(norm_before) and not self.precision.needs_scaling:
            raise TrainingError(
                f"The gradient's norm was {norm_before} at step {self.step - 1}",
                hint="What was saved before is untouched; try a lower --lr",
            )

    def log(self, window: Window) -> None:
        """Write down the means since the last time."""
        means, progress = window.means(), self.progress()
        left = self.seconds * (1 - progress) / max(progress, 1e-9)
        self.logbook.write(
            "train",
            {"step": self.step, "seconds": self.seconds, "lr": self.current_rate, **means},
            f"step {self.step}  loss {means['loss']:.4f}  PSNR {means['psnr_db']:.2f} dB  "
            f"{means['samples_per_second']:.1f} samples/s  lr {self.current_rate:.1e}  "
            f"{100 * progress:.1f} % done, {max(left, 0) / 60:.1f} min left",
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
            {"step": self.step, "seconds": self.seconds, **found},
            f"step {self.step}  validation PSNR: "
            + ", ".join(
                f"{name.removesuffix('_psnr_db')} {value:.2f} dB" for name, value in found.items()
            ),
        )

    def save(self) -> None:
        """Write weights, average and state, unless the last gradient was not finite."""
        norm = float(self.norm)
        if not math.isfinite(norm) and not self.precision.needs_scaling:
            raise TrainingError(
                f"The gradient's norm was {norm} at step {self.step - 1}",
                hint="What was saved before is untouched; try a lower --lr",
            )
        self.folder.save(
            self.network.spec,
            self.recipe,
            RunState(
                step=self.step,
                seconds=self.seconds,
                weights=self.network.state_dict(),
                average=self.ema.network.state_dict(),
                optimizer=self.optimizer.state_dict(),
                scaler=self.scaler.state_dict(),
                samples=self.batches.fingerprint(),
            ),
        )


def make_optimizer(network: nn.Module, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW that lets the scan's decay, norms, biases and scales be as large as they like."""
    decayed: list[nn.Parameter] = []
    free: list[nn.Parameter] = []
    for name, parameter in network.named_parameters():
        last = name.rpartition(".")[2]
        exempt = parameter.ndim <= 1 or last in NO_DECAY or last.endswith("bias")
        (free if exempt else decayed).append(parameter)
    groups: list[dict[str, Any]] = [{"params": decayed}, {"params": free, "weight_decay": 0.0}]
    fused = decayed[0].is_cuda
    return torch.optim.AdamW(groups, lr=recipe.lr, weight_decay=recipe.weight_decay, fused=fused)
