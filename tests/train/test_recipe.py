import pytest

from vfimamba_cli.data.sampling import TripletRules
from vfimamba_cli.errors import OptionError
from vfimamba_cli.train.plan import Cost, describe_costs, describe_recipe, duration, first_step
from vfimamba_cli.train.recipe import Phase, Recipe, Source
from vfimamba_cli.train.recipes import STRATEGIES, make_recipe

CLIPS = Source(dataset="clips", share=1, rules=TripletRules(crop=64))


def recipe_of(*phases, **options):
    return Recipe(phases=phases or (Phase(name="all", length=1, sources=(CLIPS,)),), **options)


def test_the_learning_rate_warms_up_and_falls_to_its_last_value():
    recipe = recipe_of(steps=100, lr=1.0, warmup=0.1, final_lr=0.02)
    rates = [recipe.learning_rate(i / 1000) for i in range(1001)]
    assert rates[0] == 0
    assert max(rates) == rates[100] == 1.0
    assert rates[:101] == sorted(rates[:101])
    assert rates[100:] == sorted(rates[100:], reverse=True)
    assert rates[-1] == pytest.approx(0.02)
    assert recipe.learning_rate(1.5) == pytest.approx(0.02)


def test_the_run_is_as_far_as_steps_or_clock_whichever_is_further():
    recipe = recipe_of(steps=100, minutes=10)
    assert recipe.progress(50, 60) == 0.5
    assert recipe.progress(50, 480) == 0.8
    assert recipe_of(minutes=10).progress(10**6, 300) == 0.5


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"stage": "everything"}, "There is no training stage 'everything'"),
        ({"steps": None}, "How long to train"),
        ({"crop": 100}, "multiple of 16 from 32 up, got 100"),
        ({"lr": float("inf")}, "lr must be a number above 0, got inf"),
        ({"lr": -1.0}, "lr must be a number above 0, got -1"),
        ({"minutes": 0.0}, "minutes must be a number above 0, got 0"),
    ],
)
def test_options_that_make_no_recipe_are_refused(changes, message):
    options = {"stage": "clips", "crop": 64, "steps": 10, "minutes": None, "lr": 1e-4} | changes
    with pytest.raises(OptionError, match=message):
        make_recipe(**options)


def test_a_run_is_long_by_what_is_left_of_it():
    assert recipe_of(steps=10_000).is_long(0, 0)
    assert recipe_of(steps=10_000).is_long(7_000, 0)
    assert not recipe_of(steps=10_000).is_long(7_001, 0)
    assert recipe_of(minutes=20).is_long(10**9, 14 * 60)
    assert not recipe_of(minutes=20).is_long(0, 14 * 60 + 1)
    assert not recipe_of(steps=300, minutes=20).is_long(0, 0)


def test_each_phase_has_its_share_of_the_steps_and_its_own_rate():
    near, far = (
        Phase(name=n, length=0.5, sources=(CLIPS,), rate=r) for n, r in (("a", 1), ("b", 0.1))
    )
    recipe = recipe_of(near, far, steps=9, lr=1.0, warmup=0.0, final_lr=1.0)
    phases = [recipe.phase_at(recipe.progress(step, 0)) for step in range(9)]
    assert phases == [0] * 5 + [1] * 4
    assert first_step(9, 0.5) == 5
    assert recipe.learning_rate(0.4) == pytest.approx(1.0)
    assert recipe.learning_rate(0.6) == pytest.approx(0.1)


@pytest.mark.parametrize("real", [True, False])
def test_the_curriculum_grows_in_size_and_interval_at_the_stated_steps(real):
    recipe = make_recipe("curriculum", real=real, steps=600)
    (alone,), *levels = [phase.sources for phase in recipe.phases]
    assert alone.dataset == ("vimeo90k" if real else "clips")
    large = [next(s.rules for s in level if s.rules.size) for level in levels]
    sizes = [rules.size[1] for rules in large]
    intervals = [rules.interval[1] if real else rules.displacement[1] for rules in large]
    assert sizes == sorted(set(sizes))
    assert sizes[-1] / sizes[0] == pytest.approx(1.1**4, rel=0.01)
    assert intervals == ([4, 8, 16, 32, 64] if real else [8, 14, 25, 45, 80])
    plan = "\n".join(describe_recipe(recipe))
    for number in range(6):
        assert f"steps {100 * number} to {100 * number + 99}, 3200 samples" in plan
    assert "interval 2 to 64 frames" in plan or not real


@pytest.mark.parametrize("stage", STRATEGIES)
def test_the_strategies_draw_what_the_paper_says(stage):
    recipe = make_recipe(stage, real=True)
    assert recipe.steps == 300 * 51_313 // 32
    assert (recipe.lr, recipe.lr * recipe.final_lr) == (2e-4, pytest.approx(2e-5))
    assert recipe.warmup * recipe.steps == pytest.approx(2000)
    drawn = [{source.dataset for source in phase.sources} for phase in recipe.phases]
    both = {"vimeo90k", "x-train"}
    assert (
        drawn
        == {
            "vimeo": [{"vimeo90k"}],
            "sequential": [{"vimeo90k"}, {"x-train"}],
            "mixed": [both],
            "curriculum": [{"vimeo90k"}, *[both] * 5],
        }[stage]
    )
    assert recipe.arbitrary_time == (stage != "vimeo")


def test_a_synthetic_share_is_that_of_every_phase():
    for phase in make_recipe("curriculum", steps=10, synthetic_share=0.4).phases:
        shares = dict(zip((s.dataset for s in phase.sources), phase.shares, strict=True))
        assert shares["synthetic"] == pytest.approx(0.4)
    for phase in make_recipe("mixed", steps=10, synthetic_share=0).phases:
        assert "synthetic" not in {source.dataset for source in phase.sources}


def test_time_and_memory_follow_from_what_was_measured():
    cost = Cost(crop=64, samples=8, how="eager", seconds=0.5, nbytes=3 * 2**30)
    by_steps = list(describe_costs(recipe_of(steps=900, batch=16), [cost], processes=2))
    assert "2.00 samples/s in a process, 4 s a step, 3.0 GiB of memory" in by_steps[0]
    assert "about 60.0 minutes for 900 steps" in by_steps[1]
    by_clock = list(describe_costs(recipe_of(minutes=4, batch=16), [cost], processes=2))
    assert "about 60 in 4 minutes" in by_clock[1]
    assert (duration(90), duration(3 * 3600), duration(200_000)) == (
        "90 seconds", "3.0 hours", "2.3 days",
    )  # fmt: skip
    assert "0 to 17 % of the run" in "".join(describe_recipe(make_recipe("curriculum", minutes=5)))
