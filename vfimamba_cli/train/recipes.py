"""The stages `vfimamba train` knows, as recipes.

What is known of the published training: Vimeo90K first, then X-TRAIN is added step by step, at
first with small frames and short intervals, then growing in both; AdamW with a weight decay of
1e-4, 2,000 steps of warm-up to 2e-4, a cosine down to 2e-5, 300 epochs of Vimeo90K in batches of
32, crops of 256 x 256, and the loss of `losses`. A recollection nobody could verify: every 50
epochs the frames of X-TRAIN grow by a tenth and the interval doubles.

Our choices: the first sixth of the run is Vimeo90K alone, then five phases follow in which half of
the samples are of X-TRAIN, so that the last one sees its whole frames (768 pixels) and its longest
interval (64 frames). Of X-TRAIN and synthetic motion half of the targets lie at t = 0.5, the
others anywhere in between, for a network that is asked for any time.

Without the two sets a folder of clips stands in for both: gaps that move little for Vimeo90K, gaps
that move more and more, and moving layers, for X-TRAIN.
"""

from dataclasses import replace
from typing import Any

from vfimamba_cli.data.sampling import TripletRules
from vfimamba_cli.data.synthetic import SyntheticRules
from vfimamba_cli.errors import OptionError
from vfimamba_cli.train.recipe import Phase, Recipe, Source

STRATEGIES = ("vimeo", "sequential", "mixed", "curriculum")
"""The four that the paper compares."""

STAGES = (*STRATEGIES, "clips", "finetune")

EPOCHS, TRIPLETS = 300, 51_313
LEVELS = 5
"""Of growing difficulty, in the phases after the first."""

X_TRAIN_SIDE, GROWTH = 768, 1.1
"""Pixels of an X-TRAIN frame, and how a level's frames grow over those of the level before."""

DISPLACEMENTS = (8.0, 14.0, 25.0, 45.0, 80.0)
GAPS = (4, 6, 8, 10, 12)
"""Of clips that stand in for X-TRAIN: the most that moves, in pixels, and frames that takes."""

SYNTHETIC_SHARE = 0.15


def make_recipe(
    stage: str,
    *,
    crop: int = 256,
    real: bool = False,
    photos: bool = False,
    synthetic_share: float | None = None,
    **options: Any,
) -> Recipe:
    """The recipe of `stage` with a user's options, which are `Recipe`'s own fields.

    Args:
        real: Vimeo90K and X-TRAIN are there; else clips stand in for them.
        photos: there are photographs to move.
        synthetic_share: of moving layers in each phase; None is the stage's own, which for
            clips is `SYNTHETIC_SHARE` given photographs, else none.

    Raises:
        OptionError: no such stage, or options that make no recipe.
    """
    if stage not in STAGES:
        raise OptionError(
            f"There is no training stage {stage!r}", hint=f"Choose one of: {', '.join(STAGES)}"
        )
    if synthetic_share is None and photos and stage not in STRATEGIES:
        synthetic_share = SYNTHETIC_SHARE
    given = {name: value for name, value in options.items() if value is not None}
    batch = given.get("batch", 32)
    if real and "steps" not in given and "minutes" not in given:
        given["steps"] = EPOCHS * TRIPLETS // batch
    if "steps" not in given and "minutes" not in given:
        raise OptionError("How long to train?", hint="Give --steps, --minutes or both")
    try:
        if synthetic_share is not None and not 0 <= synthetic_share < 1:
            raise ValueError(f"synthetic share must be from 0 to below 1, got {synthetic_share}")
        phases = make_phases(stage, crop, real)
        if synthetic_share is not None:
            phases = tuple(with_synthetic(phase, synthetic_share) for phase in phases)
        return Recipe(stage=stage, phases=phases, **(schedule(stage, given.get("steps")) | given))
    except ValueError as error:
        raise OptionError(f"No recipe can be made of the options: {error}") from error


def schedule(stage: str, steps: int | None) -> dict[str, float]:
    """Learning rates by stage: the published ones, and our choices for clips and fine-tuning."""
    if stage in STRATEGIES:
        warmup = min(0.04, 2000 / steps) if steps else 0.04
        return {"lr": 2e-4, "final_lr": 0.1, "warmup": warmup}
    return {"lr": 3e-4 if stage == "clips" else 5e-5}


def make_phases(stage: str, crop: int, real: bool) -> tuple[Phase, ...]:
    """The stage's phases, each with the synthetic share of the stage."""
    small, level = small_motion(crop, real), large_motion(crop, real)
    match stage:
        case "vimeo":
            return (Phase(name="small motion", length=1, sources=(small,)),)
        case "sequential":
            everything = large_motion_of_all_levels(crop, real)
            return (
                Phase(name="small motion", length=2 / 3, sources=(small,)),
                Phase(name="large motion", length=1 / 3, sources=everything, rate=0.5),
            )
        case "mixed":
            sources = (small, *large_motion_of_all_levels(crop, real))
            return (Phase(name="mixed", length=1, sources=sources),)
        case "curriculum":
            length = 1 / (LEVELS + 1)
            return (
                Phase(name="small motion", length=length, sources=(small,)),
                *(
                    Phase(name=f"level {i + 1}", length=length, sources=(small, *level[i]))
                    for i in range(LEVELS)
                ),
            )
    clips = Source(dataset="clips", share=1, rules=TripletRules(crop=crop))
    return (Phase(name=stage, length=1, sources=(clips,)),)


def small_motion(crop: int, real: bool) -> Source:
    """Vimeo90K, or what stands in for it."""
    if real:
        rules = TripletRules(crop=crop, smallest_zoom=1, interval=(2, 2), lively=0)
        return Source(dataset="vimeo90k", share=0.5, rules=rules)
    rules = TripletRules(crop=crop, displacement=(1, DISPLACEMENTS[0]), largest_gap=GAPS[0])
    return Source(dataset="clips", share=0.5, rules=rules)


def large_motion(crop: int, real: bool) -> list[tuple[Source, ...]]:
    """X-TRAIN, or what stands in for it, by level: size and interval grow."""
    levels = []
    for i in range(LEVELS):
        if real:
            side = round(X_TRAIN_SIDE / GROWTH ** (LEVELS - 1 - i))
            levels.append(x_train(crop, (side, side), 4 << i))
        else:
            side = round(crop * GROWTH ** (i + 1))
            levels.append(stand_in(crop, (side, side), DISPLACEMENTS[i], GAPS[i]))
    return levels


def large_motion_of_all_levels(crop: int, real: bool) -> tuple[Source, ...]:
    """What the levels go through, all at once."""
    if real:
        smallest = round(X_TRAIN_SIDE / GROWTH ** (LEVELS - 1))
        return x_train(crop, (smallest, X_TRAIN_SIDE), 4 << (LEVELS - 1))
    sides = (round(crop * GROWTH), round(crop * GROWTH**LEVELS))
    return stand_in(crop, sides, DISPLACEMENTS[-1], GAPS[-1])


def x_train(crop: int, size: tuple[int, int], longest: int) -> tuple[Source, ...]:
    """X-TRAIN at frames of `size` and intervals of up to `longest` frames."""
    rules = TripletRules(crop=crop, size=size, interval=(2, longest), lively=0)
    return (Source(dataset="x-train", share=0.5, rules=rules),)


def stand_in(crop: int, size: tuple[int, int], most: float, gap: int) -> tuple[Source, ...]:
    """Clips reduced to `size` in which up to `most` pixels move, and layers that move as much."""
    clips = TripletRules(crop=crop, size=size, displacement=(2, most), largest_gap=gap)
    layers = SyntheticRules(crop=crop, displacement=(1, most))
    return (
        Source(dataset="clips", share=0.5 - SYNTHETIC_SHARE, rules=clips),
        Source(dataset="synthetic", share=SYNTHETIC_SHARE, rules=layers),
    )


def with_synthetic(phase: Phase, share: float) -> Phase:
    """The phase with this share of moving layers; its own rules for them are kept."""
    others = [source for source in phase.sources if source.dataset != "synthetic"]
    layers = [source for source in phase.sources if source.dataset == "synthetic"]
    rules = layers[0].rules if layers else SyntheticRules(crop=phase.crop)
    total = sum(source.share for source in others)
    sources = [replace(source, share=source.share / total * (1 - share)) for source in others]
    if share:
        sources.append(Source(dataset="synthetic", share=share, rules=rules))
    return replace(phase, sources=tuple(sources))
