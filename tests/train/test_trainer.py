import math
import sys
import time
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.train.runs import RULES, entries_of, recipe_of, stop_after, trainer_in
from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.checkpoint.store import read_checkpoint
from vfimamba_cli.data.sampling import TripletRules
from vfimamba_cli.model.interface import Prediction
from vfimamba_cli.ops.scan import choose_backend
from vfimamba_cli.train import trainer as trainer_module
from vfimamba_cli.train.distributed import Processes
from vfimamba_cli.train.ema import Ema
from vfimamba_cli.train.logbook import Logbook, Window
from vfimamba_cli.train.losses import interpolation_loss
from vfimamba_cli.train.numbers import Numbers, TrainingError
from vfimamba_cli.train.optimizer import make_optimizer
from vfimamba_cli.train.run_folder import RunFolder
from vfimamba_cli.train.trainer import Trainer
from vfimamba_cli.train.validation import Findings, prepare
from vfimamba_cli.video.still import read_still


def held_out_loss(network, trainer):
    losses = []
    for step in range(1000, 1008):
        batch = trainer.batches.at(step)
        with torch.no_grad():
            losses.append(interpolation_loss(network(batch.frames, batch.t), batch.target).item())
    return np.mean(losses)


def test_twenty_steps_lower_the_loss(tmp_path):
    trainer = trainer_in(tmp_path)
    before = held_out_loss(trainer.network, trainer)
    assert trainer.run(lambda: False)
    assert held_out_loss(trainer.network, trainer) < 0.9 * before
    assert held_out_loss(trainer.ema.network, trainer) < 0.9 * before


def test_stopping_and_resuming_equals_not_stopping(tmp_path):
    through = trainer_in(tmp_path / "through")
    through.run(lambda: False)
    first = trainer_in(tmp_path / "halves")
    assert not first.run(stop_after(first, 9))
    second = trainer_in(tmp_path / "halves")
    second.resume()
    assert second.step == 9
    assert second.run(lambda: False)
    for ours, expected in (
        (second.network, through.network),
        (second.ema.network, through.ema.network),
    ):
        for name, value in expected.state_dict().items():
            assert torch.equal(ours.state_dict()[name], value), name


def test_a_run_leaves_weights_average_and_log(tmp_path):
    trainer = trainer_in(tmp_path)
    trainer.run(lambda: False)
    average = read_checkpoint(tmp_path / "ema.safetensors")
    assert average.spec == TINY_SPEC
    assert average.facts["step"] == 20
    assert average.facts["recipe"]["batch"] == 4
    weights = read_checkpoint(tmp_path / "last.safetensors").weights
    torch.testing.assert_close(weights["conv.weight"], trainer.network.conv.weight.detach())
    assert not torch.equal(weights["conv.weight"], average.weights["conv.weight"])
    entries = entries_of(tmp_path, "train")
    assert entries[-1]["step"] == 20
    assert entries[-1]["loss"] > 0
    assert "min left" in trainer.said[-1]
    assert {path.name for path in tmp_path.iterdir()} - {"tensorboard"} == {
        "ema-00000020.safetensors", "ema.safetensors", "last.safetensors", "metrics.jsonl",
        "state.pt",
    }  # fmt: skip


def test_what_is_left_of_a_run_by_the_clock_is_what_the_clock_leaves(tmp_path):
    trainer = trainer_in(tmp_path, recipe_of(steps=None, minutes=60.0))
    trainer.run(stop_after(trainer, 1))
    assert trainer.said[-1].endswith("0.0 % done, 60.0 min left")


def test_the_last_averages_and_the_best_one_are_kept(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "SAVE_SECONDS", 0)
    clips = prepare(list(torch.randint(256, (2, 9, 3, 32, 32), dtype=torch.uint8)))
    trainer = trainer_in(tmp_path, recipe_of(6), validation=clips, validate_every=2)
    scores = iter((5.0, 9.0, 7.0))
    monkeypatch.setattr(Findings, "score", property(lambda self: next(scores)))
    trainer.run(lambda: False)
    kept = [read_checkpoint(path).facts["step"] for path in RunFolder(tmp_path).kept()]
    assert kept == [4, 5, 6]
    best = read_checkpoint(tmp_path / "best.safetensors")
    assert (best.facts["step"], best.facts["score"]) == (4, 9.0)
    assert [entry["step"] for entry in entries_of(tmp_path, "validation")] == [2, 4, 6]
    assert sorted(path.name for path in (tmp_path / "samples").iterdir()) == [
        f"{step:08}.png" for step in (2, 4, 6)
    ]
    strips = read_still(tmp_path / "samples" / "00000002.png")
    assert strips.shape == (2 * 32, 4 * 32, 3)
    assert np.array_equal(strips[:32, :32], clips.groups[0][0, 0].permute(1, 2, 0))


def test_phases_follow_one_another_and_change_the_size_of_samples(tmp_path):
    rules = (RULES, TripletRules(crop=48))
    trainer = trainer_in(tmp_path, recipe_of(4, rules))
    seen = []
    measure = trainer.objective.measure
    trainer.objective.measure = lambda frames, t, target: (
        seen.append(frames.shape[-1]) or measure(frames, t, target)
    )
    trainer.run(lambda: False)
    assert seen == [32, 32, 48, 48]
    assert [(e["step"], e["crop"]) for e in entries_of(tmp_path, "phase")] == [(0, 32), (2, 48)]


def test_the_log_shows_size_and_interval_growing_at_the_planned_steps(tmp_path):
    near = replace(RULES, size=(40, 40), interval=(2, 4))
    far = replace(RULES, size=(44, 44), interval=(2, 8))
    trainer = trainer_in(tmp_path, recipe_of(6, (near, far)))
    trainer.run(lambda: False)
    near, far = entries_of(tmp_path, "phase")
    assert (near["step"], far["step"]) == (0, 3)
    assert near["sources"] == "100 % clips: short side 40 px, interval 2 to 4 frames"
    assert far["sources"] == "100 % clips: short side 44 px, interval 2 to 8 frames"


@pytest.mark.gpu
def test_steps_are_recorded_anew_where_a_phase_changes_their_size(tmp_path):
    device = torch.device("cuda", 0)
    network = TINY_SPEC.build()
    network.use_scan(choose_backend("triton", device, training=True))
    rules = (RULES, TripletRules(crop=64))
    trainer = trainer_in(tmp_path, recipe_of(4, rules), network=network, prepared=True,
                         device=device)  # fmt: skip
    assert trainer.run(lambda: False)
    assert trainer.objective.graphs.inputs[0].shape[-1] == 64
    assert sum("steps are" in line for line in trainer.said) == 2
    assert all(np.isfinite(entry["loss"]) for entry in entries_of(tmp_path, "train"))


def test_what_a_killed_run_wrote_after_its_last_save_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr(trainer_module, "LOG_SECONDS", 0)
    trainer_in(tmp_path / "whole").run(lambda: False)
    first = trainer_in(tmp_path / "killed")
    first.run(stop_after(first, 5))
    with (tmp_path / "killed" / "metrics.jsonl").open("a") as file:
        file.write('{"kind": "train", "step": 6, "loss": 77}\n{"kind": "tra')
    second = trainer_in(tmp_path / "killed")
    second.resume()
    second.run(lambda: False)
    losses = [
        [(entry["step"], entry["loss"]) for entry in entries_of(tmp_path / name, "train")]
        for name in ("whole", "killed")
    ]
    assert losses[0] == losses[1]


def test_what_is_done_in_a_pause_does_not_slow_the_rate_down(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    window = Window(began=0.0)
    now[0] = 4.0
    window.add(12, 0.1, 0.1, 1.0)
    with window.pause():
        now[0] = 100.0
    now[0] = 102.0
    assert window.means()["samples_per_second"] == 12 / 6


def test_numbers_go_to_tensorboard_where_it_is_installed(tmp_path, monkeypatch):
    seen = []

    class SummaryWriter:
        def __init__(self, folder):
            assert folder == str(tmp_path / "tensorboard")

        def add_scalar(self, name, value, step):
            seen.append((name, value, step))

        def flush(self):
            pass

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tensorboard")
    module = SimpleNamespace(SummaryWriter=SummaryWriter)
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", module)
    book = Logbook(tmp_path / "metrics.jsonl", lambda line: None)
    book.write("train", {"step": 3, "loss": 0.5, "phase": "a"}, "text")
    assert seen == [("train/loss", 0.5, 3)]


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_before_the_step_and_names_the_clips(tmp_path, bad):
    trainer = trainer_in(tmp_path)
    trainer.run(stop_after(trainer, 3))
    saved = (tmp_path / "state.pt").read_bytes()
    before = trainer.network.conv.weight.clone()
    healthy = trainer.network.forward

    def broken(frames, t):
        prediction = healthy(frames, t)
        return Prediction(prediction.picture * bad, prediction.merges)

    trainer.network.forward = broken
    with pytest.raises(TrainingError, match=r"The loss is (nan|inf) at step 3.*clip [13] frames"):
        trainer.run(lambda: False)
    assert torch.equal(trainer.network.conv.weight, before)
    assert (tmp_path / "state.pt").read_bytes() == saved


class Pair(Processes):
    """The first of two processes; what the other says is made up."""

    def gather(self, numbers):
        other = numbers.clone()
        for name, value in self.other.items():
            other[Numbers._fields.index(name)] = value
        return torch.stack((numbers, other))

    def wait(self, device):
        time.sleep(self.late)


def first_of_two(folder, *, late=0.0, **other):
    pair = Pair(rank=0, count=2)
    object.__setattr__(pair, "other", other)
    object.__setattr__(pair, "late", late)
    trainer = trainer_in(folder, processes=pair)
    trainer.batches.ranks = 2
    trainer.average_gradients = lambda: None
    return trainer


def test_the_clock_starts_when_all_processes_are_ready(tmp_path):
    trainer = first_of_two(tmp_path, late=1.0)
    trainer.run(stop_after(trainer, 1))
    (first, *_) = entries_of(tmp_path, "train")
    assert trainer.clock < 1
    assert first["samples_per_second"] > 2 * 4


def test_all_processes_stop_where_one_is_stopped(tmp_path):
    trainer = first_of_two(tmp_path, stop=1.0)
    assert not trainer.run(lambda: False)
    assert trainer.step == 1
    assert RunFolder(tmp_path).state.exists()


def test_a_bad_loss_of_another_process_stops_this_one_and_names_its_clips(tmp_path):
    trainer = first_of_two(tmp_path, loss=math.nan)
    theirs = ", ".join(trainer.batches.origins(0, 0, 1))
    with pytest.raises(TrainingError, match="nan at step 0 in process 1, on clip") as caught:
        trainer.run(lambda: False)
    assert theirs in str(caught.value)
    assert not RunFolder(tmp_path).state.exists()


def test_a_gradient_that_is_not_finite_is_never_saved(tmp_path):
    trainer = trainer_in(tmp_path)
    trainer.network.conv.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match="gradient's norm was nan at step 0"):
        trainer.run(stop_after(trainer, 1))
    assert not (tmp_path / "state.pt").exists()


def test_what_a_bad_gradient_made_is_neither_validated_nor_saved(tmp_path, monkeypatch):
    monkeypatch.setattr(Trainer, "is_validation_due", lambda self, clock: True)
    monkeypatch.setattr("vfimamba_cli.train.trainer.SAVE_SECONDS", 0.0)
    trainer = trainer_in(tmp_path)
    validated = []
    monkeypatch.setattr(trainer, "validate", lambda: validated.append(trainer.step))
    saved = []
    monkeypatch.setattr(trainer, "save", lambda: saved.append(trainer.step))
    bad = trainer.network.conv.weight.register_hook
    bad(lambda gradient: gradient * (math.nan if trainer.step == 2 else 1))
    with pytest.raises(TrainingError, match="gradient's norm was nan at step 2"):
        trainer.run(lambda: False)
    assert validated == saved == [1, 2]


def test_the_average_follows_its_formula():
    network = nn.Linear(1, 1)
    average = Ema(network, decay=0.5)
    values = []
    expected = network.weight.item()
    for step in range(20):
        nn.init.constant_(network.weight, float(step))
        average.update(network, step)
        decay = min(0.5, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * step
        values.append((average.network.weight.item(), expected))
    assert all(ours == pytest.approx(truth, rel=1e-5) for ours, truth in values)


@pytest.fixture(scope="module")
def tiny():
    torch.manual_seed(0)
    return TINY_SPEC.build()


def test_scan_decay_norms_and_biases_are_not_decayed(tiny):
    decayed, free = make_optimizer(tiny, recipe_of()).param_groups
    assert decayed["weight_decay"] > 0
    assert free["weight_decay"] == 0
    names = {id(parameter): name for name, parameter in tiny.named_parameters()}
    kept = {names[id(parameter)] for parameter in free["params"]}
    assert {"A_logs", "Ds", "dt_projs_bias"} <= {name.rpartition(".")[2] for name in kept}
    assert all(parameter.ndim > 1 for parameter in decayed["params"])
    assert len(decayed["params"]) + len(free["params"]) == len(names)


def test_every_parameter_of_the_real_network_is_trained(tmp_path, tiny):
    trainer = trainer_in(tmp_path, network=tiny)
    batch = trainer.batches.at(0)
    loss = interpolation_loss(tiny(batch.frames, batch.t), batch.target)
    loss.backward()
    for name, parameter in tiny.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.abs().max() > 0, name
    tiny.zero_grad(set_to_none=True)
    window = SimpleNamespace(add=lambda *_: None)
    for step in range(3):
        batch = trainer.batches.at(step)
        trainer.finish(batch, trainer.launch(batch, lambda: False), window)
    assert all(parameter.isfinite().all() for parameter in tiny.parameters())
