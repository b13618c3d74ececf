"""The paper's four strategies, on footage anybody has."""

from contextlib import nullcontext

import numpy as np
import pytest

from tests.data.footage import panning, write_clip
from tests.train.small_run import seeded
from vfimamba_cli.bench.curves import draw_curves
from vfimamba_cli.train import session
from vfimamba_cli.train.logbook import read_entries, read_validations
from vfimamba_cli.train.recipes import STRATEGIES, make_recipe

STEPS = 30


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Each strategy's run of the smallest network."""
    folder = tmp_path_factory.mktemp("strategies")
    rng = np.random.default_rng(0)
    for name, speeds in (("clips", (1, 2, 5)), ("held-out", (1, 6))):
        (folder / name).mkdir()
        for step in speeds:
            write_clip(folder / name / f"{step}.mkv", panning(rng, frames=16, step=step))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "make_network", lambda asked, recipe, device: seeded(recipe.seed))
        for stage in STRATEGIES:
            recipe = make_recipe(stage, model="tiny", crop=32, steps=STEPS, batch=2, lr=1e-2)
            asked = session.Session(
                data=folder / "clips", out=folder / stage, validation=folder / "held-out",
                validate_every=10, device="cpu",
            )  # fmt: skip
            assert session.train(
                asked,
                recipe,
                announce=lambda line: None,
                stopping=lambda: nullcontext(lambda: False),
            )
    return [folder / stage for stage in STRATEGIES]


def test_each_strategy_learns_something(runs):
    for run in runs:
        found = [e for e in read_entries(run / "metrics.jsonl") if e["kind"] == "validation"]
        assert [entry["step"] for entry in found] == [10, 20, 30]
        assert found[-1]["step_psnr_db"] > found[0]["step_psnr_db"], run.name


def test_each_strategy_enters_its_phases_when_planned(runs):
    starts = {
        run.name: [e["step"] for e in read_entries(run / "metrics.jsonl") if e["kind"] == "phase"]
        for run in runs
    }
    assert starts == {
        "vimeo": [0],
        "sequential": [0, 20],
        "mixed": [0],
        "curriculum": [0, 5, 10, 15, 20, 25],
    }


def test_their_curves_are_drawn_in_one_plot(runs):
    plot = draw_curves([(run.name, read_validations(run / "metrics.jsonl")) for run in runs])
    assert all(f">{stage}</text>" in plot for stage in STRATEGIES)
    assert plot.count("<circle") == 2 * 4 * 3
