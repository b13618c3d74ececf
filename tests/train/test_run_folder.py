"""A run's folder: what it is refused for, and what is kept in it."""

import copy
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.train.runs import recipe_of, stop_after, trainer_in
from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.checkpoint.store import read_checkpoint
from vfimamba_cli.differences import differences
from vfimamba_cli.errors import CheckpointError, OptionError, OutputError
from vfimamba_cli.train.run_folder import COPIES, RunFolder, RunState
from vfimamba_cli.video.still import read_still


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    network = nn.Linear(2, 2)
    network.spec = TINY_SPEC
    folder = RunFolder(tmp_path)
    for score in (30.0, math.nan, 30.0):
        folder.save_best(network, {}, score)
        assert read_checkpoint(folder.best).facts["score"] == 30


def test_strips_of_several_widths_lie_below_one_another(tmp_path):
    wide, narrow = (np.full((4, width, 3), 200, np.uint8) for width in (12, 8))
    RunFolder(tmp_path).save_strips(7, [narrow, wide])
    picture = read_still(tmp_path / "samples" / "00000007.png")
    assert picture.shape == (8, 12, 3)
    assert (picture[:4, 8:] == 0).all()
    assert (picture[4:] == 200).all()


def test_a_folder_without_a_run_cannot_be_resumed(tmp_path):
    with pytest.raises(OptionError, match="No run to resume"):
        RunFolder(tmp_path / "nowhere").prepare(resume=True)


def test_a_run_is_not_overwritten_by_another(tmp_path):
    trainer = trainer_in(tmp_path)
    trainer.run(stop_after(trainer, 1))
    with pytest.raises(OptionError, match="already holds a run"):
        RunFolder(tmp_path).prepare(resume=False)
    RunFolder(tmp_path).prepare(resume=True)


def test_a_run_killed_before_its_first_save_can_be_started_anew(tmp_path):
    for name in ("metrics.jsonl", "best.safetensors"):
        (tmp_path / name).write_text("of the killed run\n")
    RunFolder(tmp_path).prepare(resume=False)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == {"metrics.unsaved.jsonl", "best.unsaved.safetensors"}
    assert (tmp_path / "metrics.unsaved.jsonl").read_text() == "of the killed run\n"


def test_weights_whose_state_was_removed_are_not_overwritten(tmp_path):
    trainer = trainer_in(tmp_path)
    trainer.run(stop_after(trainer, 1))
    (tmp_path / "state.pt").unlink()
    with pytest.raises(OptionError, match="already holds weights"):
        RunFolder(tmp_path).prepare(resume=False)


def test_a_folder_that_cannot_be_made_is_refused_with_a_next_step(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match="Not a directory") as caught:
        RunFolder(tmp_path / "file" / "run").prepare(resume=False)
    assert "--out" in caught.value.hint


def test_a_disk_too_small_for_the_run_is_refused_with_both_numbers(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=100e6))
    RunFolder(tmp_path).check_space(1_000_000)
    with pytest.raises(OutputError, match="up to 112 MB more, and 100 MB are free"):
        RunFolder(tmp_path).check_space(2_000_000)


def test_the_disk_asked_for_is_what_a_run_takes(tmp_path):
    network = nn.Linear(700, 700)
    network.spec, parameters = TINY_SPEC, 700 * 700 + 700
    folder = RunFolder(tmp_path)
    average = copy.deepcopy(network).state_dict()
    moments = [(p.detach().clone(), p.detach().clone()) for p in network.parameters()]
    for step in range(5):
        state = RunState(
            step=step, seconds=0.0, weights=network.state_dict(), average=average,
            optimizer={"state": moments}, scaler={}, recipe={}, samples={},
        )  # fmt: skip
        folder.save(network.spec, state)
    folder.save_best(network, {}, 1.0)
    taken = sum(path.stat().st_size for path in tmp_path.iterdir())
    written_beside = folder.state.stat().st_size
    assert taken + written_beside == pytest.approx(COPIES * 4 * parameters, rel=0.05)


def test_a_run_is_resumed_only_with_its_own_options(tmp_path):
    trainer = trainer_in(tmp_path)
    trainer.run(stop_after(trainer, 1))
    with pytest.raises(OptionError, match="seed was 0, now 5"):
        trainer_in(tmp_path, recipe_of(seed=5)).resume()


def test_what_differs_between_two_runs_is_named_and_the_rest_counted():
    before = {"lr": 1.0, "phases": [{"rules": {"crop": 32, "size": None}}]}
    now = {"lr": 1.0, "phases": [{"rules": {"crop": 64, "size": [3, 4]}}]}
    assert "phases.0.rules.crop was 32, now 64" in differences(before, now)
    assert differences(before, before) == ""
    many = differences({f"{i}": 0 for i in range(9)}, {f"{i}": 1 for i in range(9)})
    assert many.endswith("4 was 0, now 1; 4 more")


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_damaged_state_is_refused(tmp_path, keep):
    trainer = trainer_in(tmp_path)
    trainer.run(stop_after(trainer, 1))
    whole = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(whole[: keep if keep != 0.5 else len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        trainer_in(tmp_path).resume()


def other_recipe(state):
    state["recipe"] = "{no JSON"


def other_network(state):
    name = next(iter(state["weights"]))
    state["weights"][name] = state["weights"][name].flatten()[:-1]


def test_a_state_for_which_memory_is_short_is_not_called_damaged(tmp_path, monkeypatch):
    trainer = trainer_in(tmp_path)
    trainer.run(stop_after(trainer, 1))
    later = trainer_in(tmp_path)

    def fail(_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(later.optimizer, "load_state_dict", fail)
    with pytest.raises(torch.OutOfMemoryError):
        later.resume()


@pytest.mark.parametrize("spoil", [other_recipe, other_network])
def test_a_state_that_can_be_read_and_not_used_is_refused(tmp_path, spoil):
    trainer = trainer_in(tmp_path)
    trainer.run(stop_after(trainer, 1))
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    spoil(state)
    torch.save(state, tmp_path / "state.pt")
    with pytest.raises(CheckpointError, match="damaged"):
        trainer_in(tmp_path).resume()
