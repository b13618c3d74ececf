import pytest

from vfimamba_cli.errors import OptionError
from vfimamba_cli.train.recipe import Recipe
from vfimamba_cli.train.recipes import make_recipe


def test_the_learning_rate_warms_up_and_falls_to_its_last_value():
    recipe = Recipe(steps=100, lr=1.0, warmup=0.1, final_lr=0.02)
    rates = [recipe.learning_rate(i / 1000) for i in range(1001)]
    assert rates[0] == 0
    assert max(rates) == rates[100] == 1.0
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0.02)
    assert recipe.learning_rate(1.5) == pytest.approx(0.02)


def test_the_run_is_as_far_as_steps_or_clock_whichever_is_further():
    recipe = Recipe(steps=100, minutes=10)
    assert recipe.progress(50, 60) == 0.5
    assert recipe.progress(50, 480) == 0.8
    assert Recipe(minutes=10).progress(10**6, 300) == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": "curriculum"}, "There is no training stage 'curriculum'"),
        ({"steps": None}, "How long to train"),
        ({"crop": 100}, "multiple of 16 from 32 up, got 100"),
        ({"lr": -1.0}, "lr must be above 0, got -1"),
        ({"minutes": 0.0}, "minutes must be above 0, got 0"),
    ],
)
def test_options_that_make_no_recipe_are_refused(changes, message):
    options = {"stage": "clips", "crop": 64, "steps": 10, "minutes": None, "lr": 1e-4} | changes
    with pytest.raises(OptionError, match=message):
        make_recipe(**options)


def test_a_run_is_long_by_what_is_left_of_it():
    assert Recipe(steps=10_000).is_long(0, 0)
    assert Recipe(steps=10_000).is_long(7_000, 0)
    assert not Recipe(steps=10_000).is_long(7_001, 0)
    assert Recipe(minutes=20).is_long(10**9, 14 * 60)
    assert not Recipe(minutes=20).is_long(0, 14 * 60 + 1)
    assert not Recipe(steps=300, minutes=20).is_long(0, 0)
