"""What a run will do, in words, before it does it."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from vfimamba_cli.train.recipe import Phase, Recipe
from vfimamba_cli.train.sources import describe_source


def describe_recipe(recipe: Recipe) -> Iterator[str]:
    """Length and schedule, then each phase with its sources, a line each."""
    yield (
        f"schedule: {recipe.stage}, {describe_length(recipe)}, batches of {recipe.batch}, "
        f"learning rate up to {recipe.lr:g}, then down to {recipe.lr * recipe.final_lr:.2g}, "
        f"warm-up in the first {100 * recipe.warmup:.2g} %, seed {recipe.seed}"
    )
    for number, (phase, start) in enumerate(zip(recipe.phases, recipe.starts(), strict=True)):
        middle = recipe.learning_rate(start + phase.length / 2)
        yield (
            f"phase {number + 1}: {phase.name}, {describe_span(recipe, start, phase.length)}, "
            f"crops {phase.crop} x {phase.crop}, learning rate {middle:.2g} in its middle"
        )
        yield from (f"    {line}" for line in describe_sources(phase))


def describe_sources(phase: Phase) -> list[str]:
    """Share of each, and how it is drawn from."""
    return [
        f"{100 * share:3.0f} % {source.dataset}: {describe_source(source)}"
        for source, share in zip(phase.sources, phase.shares, strict=True)
    ]


def describe_length(recipe: Recipe) -> str:
    """Of the run, by steps, the clock, or both."""
    by_steps = f"{recipe.steps} steps" if recipe.steps else ""
    by_clock = f"{recipe.minutes:g} minutes" if recipe.minutes else ""
    return " or ".join(text for text in (by_steps, by_clock) if text)


def describe_span(recipe: Recipe, start: float, length: float) -> str:
    """Of a phase: steps and samples where they are known, else the share of the run."""
    if not recipe.steps:
        return f"{100 * start:.0f} to {100 * (start + length):.0f} % of the run"
    first, last = (first_step(recipe.steps, share) for share in (start, start + length))
    return f"steps {first} to {last - 1}, {(last - first) * recipe.batch} samples"


def first_step(steps: int, share: float) -> int:
    """The first step that begins at or after `share` of the run."""
    return -int(-(share * steps - 1e-6) // 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Of a step, as it was measured.

    Attributes:
        crop: of the samples, in pixels.
        samples: that were measured at once.
        how: the passes ran, see `Objective`.
        seconds: per sample, of both passes; the optimizer's part of a step is small.
        nbytes: most memory in tensors for them, without what the optimizer and the average keep;
            None on a CPU, which does not tell.
    """

    crop: int
    samples: int
    how: str
    seconds: float
    nbytes: int | None


def describe_costs(recipe: Recipe, costs: list[Cost], processes: int) -> Iterator[str]:
    """Time and memory of the whole run, from the cost at each size of samples."""
    seconds = 0.0
    for cost in costs:
        share = sum(phase.length for phase in recipe.phases if phase.crop == cost.crop)
        step = cost.seconds * recipe.batch / processes
        seconds += share * (recipe.steps or 0) * step
        memory = f", {cost.nbytes / 2**30:.1f} GiB of memory" if cost.nbytes else ""
        yield (
            f"measured at {cost.crop} x {cost.crop}, {cost.samples} at once, {cost.how}: "
            f"{1 / cost.seconds:.2f} samples/s in a process, {step:.3g} s a step{memory}"
        )
    if recipe.steps:
        yield f"time: about {duration(seconds)} for {recipe.steps} steps, data not included"
    if recipe.minutes:
        steps = 60 * recipe.minutes / (costs[0].seconds * recipe.batch / processes)
        yield f"steps: about {steps:.0f} in {recipe.minutes:g} minutes, data not included"


def duration(seconds: float) -> str:
    """In the largest fitting unit."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.1f} {unit}"
    return f"{seconds:.0f} seconds"


def describe_device(device: torch.device) -> str:
    """With the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "CPU"
