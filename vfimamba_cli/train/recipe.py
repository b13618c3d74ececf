"""What fixes a training run."""

import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from vfimamba_cli.data.sampling import TripletRules
from vfimamba_cli.data.synthetic import SyntheticRules
from vfimamba_cli.model.config import Arrangement, ColumnMerge

Dataset = Literal["vimeo90k", "x-train", "clips", "synthetic"]

LONG_STEPS, LONG_MINUTES = 3000, 6
"""A run of so many steps, or of so many minutes, gains by compiling them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """Where samples are drawn from, and how.

    Attributes:
        share: of the samples of its phase; shares need not add up to 1.
    """

    dataset: Dataset
    share: float
    rules: TripletRules | SyntheticRules

    @property
    def is_middle_only(self) -> bool:
        """Whether all of its targets lie at t = 0.5."""
        shortest = isinstance(self.rules, TripletRules) and self.rules.interval == (2, 2)
        return shortest or self.rules.midpoint_share == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Phase:
    """A part of a run that draws from the same sources in the same way.

    Attributes:
        length: of the run, in shares of it; the lengths of all phases add up to 1.
        rate: factor of the run's learning rate.
    """

    name: str
    length: float
    sources: tuple[Source, ...]
    rate: float = 1.0

    def __post_init__(self) -> None:
        if len({source.rules.crop for source in self.sources}) != 1:
            raise ValueError(f"the samples of a phase must be of one size: {self.name}")

    @property
    def crop(self) -> int:
        """Height and width of the samples, in pixels."""
        return self.sources[0].rules.crop

    @property
    def shares(self) -> tuple[float, ...]:
        """Of the sources, adding up to 1."""
        total = sum(source.share for source in self.sources)
        return tuple(source.share / total for source in self.sources)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A training run: network, phases, and schedule.

    Attributes:
        model: name of the network.
        column_merge, arrangement: of its scans, see `ModelConfig`; None is as the model has it.
        stage: name of the recipe.
        phases: one after the other.
        steps, minutes: the run ends with whichever comes first; at least one is given.
        batch: samples in a step, of all processes together.
        lr: the highest learning rate.
        final_lr: share of `lr` at the end.
        warmup: share of the run in which the learning rate rises from 0.
        clip_norm: gradients longer than this are shortened to it.
        seed: of the first weights and of every draw.
    """

    model: str = "vfimamba-s"
    column_merge: ColumnMerge | None = None
    arrangement: Arrangement | None = None
    stage: str = "clips"
    phases: tuple[Phase, ...]
    steps: int | None = None
    minutes: float | None = None
    batch: int = 32
    lr: float = 3e-4
    final_lr: float = 0.02
    warmup: float = 0.04
    weight_decay: float = 1e-4
    clip_norm: float = 1.0
    ema_decay: float = 0.999
    seed: int = 0

    def __post_init__(self) -> None:
        if self.steps is None and self.minutes is None:
            raise ValueError("a recipe needs steps or minutes")
        for name in ("steps", "minutes", "batch", "lr"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise ValueError(f"{name} must be a number above 0, got {value}")
        if not math.isclose(sum(phase.length for phase in self.phases), 1):
            raise ValueError("the lengths of the phases must add up to 1")

    def progress(self, step: int, seconds: float) -> float:
        """Share of the run that is done, by steps or by the clock, whichever is further.

        Args:
            step: optimizer steps taken.
            seconds: spent training, earlier sessions of the run included.
        """
        by_steps = step / self.steps if self.steps else 0.0
        by_clock = seconds / (60 * self.minutes) if self.minutes else 0.0
        return max(by_steps, by_clock)

    def starts(self) -> list[float]:
        """Where each phase begins, as a share of the run."""
        lengths = [phase.length for phase in self.phases]
        return [sum(lengths[:i]) for i in range(len(lengths))]

    def phase_at(self, progress: float) -> int:
        """Number of the phase that a step begun at `progress` belongs to."""
        begun = sum(start <= progress + 1e-9 for start in self.starts())
        return begun - 1

    def is_long(self, step: int, seconds: float) -> bool:
        """Whether what is left of the run is worth two minutes of compiling; as `progress`."""
        steps = math.inf if self.steps is None else self.steps - step
        minutes = math.inf if self.minutes is None else self.minutes - seconds / 60
        return steps >= LONG_STEPS and minutes >= LONG_MINUTES

    def learning_rate(self, progress: float) -> float:
        """Linear warm-up, then a half cosine down to `final_lr * lr`; times the phase's rate."""
        rate = self.phases[self.phase_at(progress)].rate
        if progress < self.warmup:
            return rate * self.lr * progress / self.warmup
        falling = min((progress - self.warmup) / (1 - self.warmup), 1)
        low = self.final_lr * self.lr
        return rate * (low + (self.lr - low) * (1 + math.cos(math.pi * falling)) / 2)

    @property
    def arbitrary_time(self) -> bool:
        """Whether times other than 0.5 are trained."""
        sources = [source for phase in self.phases for source in phase.sources]
        return not all(source.is_middle_only for source in sources)

    @property
    def datasets(self) -> tuple[Dataset, ...]:
        """All that any phase draws from."""
        sources = (source for phase in self.phases for source in phase.sources)
        return tuple(dict.fromkeys(source.dataset for source in sources))

    def to_dict(self) -> dict[str, Any]:
        """As plain JSON values."""
        return asdict(self)
