import json
import math
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.footage import panning
from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.checkpoint.store import read_checkpoint
from vfimamba_cli.data.batches import TripletBatches
from vfimamba_cli.data.clips import make_clip
from vfimamba_cli.data.sampling import TripletRules, TripletSampler
from vfimamba_cli.errors import CheckpointError, OptionError, OutputError
from vfimamba_cli.model.interface import Prediction
from vfimamba_cli.train.ema import Ema
from vfimamba_cli.train.losses import interpolation_loss
from vfimamba_cli.train.recipe import Recipe
from vfimamba_cli.train.run_folder import RunFolder
from vfimamba_cli.train.trainer import Trainer, TrainingError, make_optimizer

CPU = torch.device("cpu")
RULES = TripletRules(crop=32)


class Blend(nn.Module):
    """The smallest network that interpolates: the average plus what a convolution adds."""

    def __init__(self):
        super().__init__()
        self.spec = TINY_SPEC
        self.conv = nn.Conv2d(6, 3, 3, padding=1)

    def forward(self, frames, t):
        first, second = frames
        weight = t.view(-1, 1, 1, 1)
        merge = first * (1 - weight) + second * weight
        return Prediction(merge + self.conv(torch.cat((first, second), 1)), (merge,))


def recipe_of(steps=20, **changes):
    return Recipe(model="tiny", steps=steps, batch=4, lr=3e-3, triplets=RULES, **changes)


def trainer_in(folder, recipe=None, *, network=None, validation=None):
    recipe = recipe or recipe_of()
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(0)
    clips = [
        make_clip(f"clip {step}", panning(rng, frames=9, step=step), CPU, CPU) for step in (1, 3)
    ]
    batches = TripletBatches(
        sampler=TripletSampler(clips, RULES),
        scenes=None,
        size=recipe.batch,
        synthetic=0,
        seed=recipe.seed,
        device=CPU,
    )
    run_folder = RunFolder(folder)
    folder.mkdir(exist_ok=True)
    said = []
    trainer = Trainer(
        network or Blend(), batches, recipe, folder=run_folder, announce=said.append,
        validation=validation,
    )  # fmt: skip
    trainer.said = said
    return trainer


def stop_after(trainer, step):
    return lambda: trainer.step >= step


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
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=0, atol=1e-6)


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
    entries = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert entries[-1]["step"] == 20
    assert entries[-1]["loss"] > 0
    assert "min left" in trainer.said[-1]
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "ema.safetensors", "last.safetensors", "metrics.jsonl", "state.pt",
    ]  # fmt: skip


def test_validation_measures_the_average_of_two_frames_right(tmp_path):
    clips = torch.randint(256, (3, 9, 3, 32, 32), dtype=torch.uint8)
    network = Blend()
    nn.init.zeros_(network.conv.weight)
    nn.init.zeros_(network.conv.bias)
    trainer = trainer_in(tmp_path, network=network, validation=clips)
    trainer.validate()
    (entry,) = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    middle = (clips[:, 0].double() + clips[:, 8].double()) / 2
    error = (middle.float().round() - clips[:, 4]).square().mean((1, 2, 3))
    expected = (10 * torch.log10(255**2 / error)).mean().item()
    assert entry["middle_psnr_db"] == pytest.approx(expected, abs=0.02)


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


def test_a_gradient_that_is_not_finite_is_never_saved(tmp_path):
    trainer = trainer_in(tmp_path)
    trainer.network.conv.weight.register_hook(lambda gradient: gradient * math.nan)
    with pytest.raises(TrainingError, match="gradient's norm was nan at step 0"):
        trainer.run(stop_after(trainer, 1))
    assert not (tmp_path / "state.pt").exists()


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
    (tmp_path / "metrics.jsonl").write_text("of the killed run\n")
    RunFolder(tmp_path).prepare(resume=False)
    assert not (tmp_path / "metrics.jsonl").exists()
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


def test_a_run_is_resumed_only_with_its_own_options(tmp_path):
    trainer = trainer_in(tmp_path)
    trainer.run(stop_after(trainer, 1))
    with pytest.raises(OptionError, match="seed was 0, now 5"):
        trainer_in(tmp_path, recipe_of(seed=5)).resume()


@pytest.mark.parametrize("keep", [0, 100, 0.5])
def test_a_damaged_state_is_refused(tmp_path, keep):
    trainer = trainer_in(tmp_path)
    trainer.run(stop_after(trainer, 1))
    whole = (tmp_path / "state.pt").read_bytes()
    (tmp_path / "state.pt").write_bytes(whole[: keep if keep != 0.5 else len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        trainer_in(tmp_path).resume()


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
    for step in range(3):
        trainer.take_step(trainer.batches.at(step), SimpleNamespace(add=lambda *_: None))
    assert all(parameter.isfinite().all() for parameter in tiny.parameters())
