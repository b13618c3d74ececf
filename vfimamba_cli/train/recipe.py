"""What fixes a training run."""

import math
from dataclasses import asdict, dataclass, field
from typing import Any

from vfimamba_cli.data.sampling import TripletRules
from vfimamba_cli.data.synthetic import SyntheticRules

LONG_STEPS, LONG_MINUTES = 3000, 6
"""A run of so many steps, or of so many minutes, gains by compiling them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """One stage of training: sizes, schedule, and how samples are drawn.

    Attributes:
        model: name of the network.
        steps, minutes: the run ends with whichever comes first; at least one is given.
        batch: samples in a step.
        lr: the highest learning rate.
        final_lr: share of `lr` at the end.
        warmup: share of the run in which the learning rate rises from 0.
        clip_norm: gradients longer than this are shortened to it.
        synthetic_share: share of samples that are moving layers, given photographs.
        seed: of the first weights and of every draw.
    """

    model: str = "vfimamba-s"
    steps: int | None = None
    minutes: float | None = None
    batch: int = 32
    lr: float = 3e-4
    final_lr: float = 0.02
    warmup: float = 0.04
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    synthetic_share: float = 0.15
    seed: int = 0
    triplets: TripletRules = field(default_factory=TripletRules)
    synthetic: SyntheticRules = field(default_factory=SyntheticRules)

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("a recipe needs steps or minutes")
        for name in ("steps", "minutes", "batch", "lr"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, got {value}")

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done, by steps or by the clock, whichever is further.

        Args:
            step: optimizer steps taken.
            seconds: spent training, earlier sessions of the run included.
        """
        by_steps = step / self.steps if self.steps else 0.0
        by_clock = seconds / (60 * self.minutes) if self.minutes else 0.0
        return max(by_steps, by_clock)

    def is_long(self, step: int, seconds: float) -> bool:
        """Whether what is left of the run is worth two minutes of compiling; as `progress`."""
        steps = math.inf if self.steps is None else self.steps - step
        minutes = math.inf if self.minutes is None else self.minutes - seconds / 60
        return steps >= LONG_STEPS and minutes >= LONG_MINUTES

    def learning_rate(self, progress: float) -> float:
        """Linear warm-up, then a half cosine down to `final_lr * lr`."""
        if progress < self.warmup:
            return self.lr * progress / self.warmup
        falling = min((progress - self.warmup) / (1 - self.warmup), 1)
        low = self.final_lr * self.lr
        return low + (self.lr - low) * (1 + math.cos(math.pi * falling)) / 2

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)
