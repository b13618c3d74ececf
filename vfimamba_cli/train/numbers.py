"""What processes tell one another of a step, and which of it ends a run."""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple, Self

from vfimamba_cli.errors import VfimambaError

UNTOUCHED = "What was saved before is untouched; try a lower --lr"


class TrainingError(VfimambaError):
    """A run that cannot go on: its loss or gradient is not finite."""


class Numbers(NamedTuple):
    """Of one process and one step.

    Attributes:
        loss, error: of its part of the batch.
        norm: of the gradient of the step before, the same on all.
        stop: 1 where it was asked to stop.
        seconds: that it has trained; the first process's count for all.
    """

    loss: float
    error: float
    norm: float
    stop: float
    seconds: float

    @classmethod
    def split(cls, values: Sequence[float]) -> list[Self]:
        """Those of each process, from all of them in a row."""
        width = len(cls._fields)
        return [cls(*values[i : i + width]) for i in range(0, len(values), width)]


def check_losses(
    rows: Sequence[Numbers], step: int, origins: Callable[[int], tuple[str, ...]]
) -> None:
    """Stop before a bad loss reaches the weights. All processes know all losses, and so do it
    together.

    Args:
        origins: where the samples of a process come from, by its number.

    Raises:
        TrainingError: a loss is not finite.
    """
    for rank, row in enumerate(rows):
        if not math.isfinite(row.loss):
            where = f" in process {rank}" if len(rows) > 1 else ""
            raise TrainingError(
                f"The loss is {row.loss} at step {step}{where}, on {', '.join(origins(rank))}",
                hint=UNTOUCHED,
            )


def check_norm(norm: float, step: int) -> None:
    """Stop where the gradient of `step` was not finite.

    Raises:
        TrainingError: it was not.
    """
    if not math.isfinite(norm):
        raise TrainingError(f"The gradient's norm was {norm} at step {step}", hint=UNTOUCHED)
