"""The stages `vfimamba train` knows, as recipes."""

from typing import Any

from vfimamba_cli.data.sampling import TripletRules
from vfimamba_cli.errors import OptionError
from vfimamba_cli.train.recipe import Recipe

STAGES = ("clips",)


def make_recipe(stage: str, *, crop: int, **options: Any) -> Recipe:
    """The recipe of `stage` with a user's options, which are `Recipe`'s own fields.

    Raises:
        OptionError: no such stage, or options that make no recipe.
    """
    if stage not in STAGES:
        raise OptionError(
            f"There is no training stage {stage!r}", hint=f"Choose one of: {', '.join(STAGES)}"
        )
    if options["steps"] is None and options["minutes"] is None:
        raise OptionError("How long to train?", hint="Give --steps, --minutes or both")
    try:
        return Recipe(triplets=TripletRules(crop=crop), **options)
    except ValueError as error:
        raise OptionError(f"No recipe can be made of the options: {error}") from error
