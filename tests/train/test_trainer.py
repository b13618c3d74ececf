import copy
import math
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

from tests.data.footage import panning, texture, write_clip
from tests.train.blend import Blend
from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.checkpoint.store import read_checkpoint
from vfimamba_cli.data.batches import TripletBatches
from vfimamba_cli.data.clips import make_clip
from vfimamba_cli.data.sampling import TripletRules
from vfimamba_cli.differences import differences
from vfimamba_cli.errors import CheckpointError, InputError, OptionError, OutputError
from vfimamba_cli.metrics import ssim_matlab
from vfimamba_cli.model.interface import Prediction
from vfimamba_cli.ops.scan import choose_backend
from vfimamba_cli.train import trainer as trainer_module
from vfimamba_cli.train.distributed import Processes
from vfimamba_cli.train.ema import Ema
from vfimamba_cli.train.logbook import Logbook, Window, read_entries
from vfimamba_cli.train.losses import interpolation_loss
from vfimamba_cli.train.numbers import Numbers, TrainingError
from vfimamba_cli.train.optimizer import make_optimizer
from vfimamba_cli.train.precision import choose_precision
from vfimamba_cli.train.recipe import Phase, Recipe, Source
from vfimamba_cli.train.run_folder import COPIES, RunFolder, RunState
from vfimamba_cli.train.sources import Material
from vfimamba_cli.train.trainer import Trainer
from vfimamba_cli.train.validation import Findings, load_validation, prepare, validate
from vfimamba_cli.video.still import read_still

CPU = torch.device("cpu")
RULES = TripletRules(crop=32)


def recipe_of(steps=20, rules=(RULES,), **changes):
    phases = [
        Phase(name=f"{i}", length=1 / len(rules),
              sources=(Source(dataset="clips", share=1, rules=r),))
        for i, r in enumerate(rules)
    ]  # fmt: skip
    return Recipe(model="tiny", steps=steps, batch=4, lr=3e-3, phases=tuple(phases), **changes)


def trainer_in(folder, recipe=None, *, network=None, device=CPU, **options):
    recipe = recipe or recipe_of()
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(0)
    clips = [
        make_clip(f"clip {step}", panning(rng, frames=9, height=64, step=step), device, device)
        for step in (1, 3)
    ]
    material = Material({"clips": clips})
    batches = TripletBatches(
        material.mixtures(recipe),
        size=recipe.batch,
        seed=recipe.seed,
        device=device,
        fingerprint=material.fingerprint(),
    )
    run_folder = RunFolder(folder)
    folder.mkdir(exist_ok=True)
    said = []
    trainer = Trainer(
        network or Blend(), batches, recipe, folder=run_folder,
        logbook=Logbook(run_folder.metrics, said.append), **options,
    )  # fmt: skip
    trainer.said = said
    return trainer


def entries_of(folder, kind):
    return [entry for entry in read_entries(folder / "metrics.jsonl") if entry["kind"] == kind]


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


def test_strips_of_several_widths_lie_below_one_another(tmp_path):
    wide, narrow = (np.full((4, width, 3), 200, np.uint8) for width in (12, 8))
    RunFolder(tmp_path).save_strips(7, [narrow, wide])
    picture = read_still(tmp_path / "samples" / "00000007.png")
    assert picture.shape == (8, 12, 3)
    assert (picture[:4, 8:] == 0).all()
    assert (picture[4:] == 200).all()


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


def test_validation_measures_the_average_of_two_frames_right(tmp_path):
    clips = torch.randint(256, (3, 9, 3, 32, 32), dtype=torch.uint8)
    network = Blend()
    nn.init.zeros_(network.conv.weight)
    nn.init.zeros_(network.conv.bias)
    trainer = trainer_in(tmp_path, network=network, validation=prepare(list(clips)))
    trainer.validate()
    (entry,) = entries_of(tmp_path, "validation")
    middle = (clips[:, 0].double() + clips[:, 8].double()) / 2
    error = (middle.float().round() - clips[:, 4]).square().mean((1, 2, 3))
    expected = (10 * torch.log10(255**2 / error)).mean().item()
    assert entry["middle_psnr_db"] == pytest.approx(expected, abs=0.02)
    similarity = ssim_matlab(middle / 255, clips[:, 4] / 255)
    assert entry["middle_ssim"] == pytest.approx(similarity.mean().item(), abs=1e-4)


def test_validation_is_told_apart_by_how_much_moves():
    wide = texture(np.random.default_rng(0), 96, 500, cell=40)
    clips = [
        torch.from_numpy(np.stack([wide[:, step * i : step * i + 128] for i in range(9)])).permute(
            0, 3, 1, 2
        )
        for step in (1, 30)
    ]  # 2 and 8, 60 and 240 pixels between the two frames
    found = validate(Blend(), prepare(clips), choose_precision(CPU))
    bands = {name.split("_")[0] for name in found.means} - {"middle", "step"}
    assert {"small", "large"} <= bands
    assert found.means["small_psnr_db"] > found.means["large_psnr_db"]


def test_progress_can_be_measured_on_any_videos(tmp_path):
    rng = np.random.default_rng(0)
    write_clip(tmp_path / "long.mkv", panning(rng, frames=12))
    write_clip(tmp_path / "wide.mkv", panning(rng, frames=9, width=88))
    write_clip(tmp_path / "short.mkv", panning(rng, frames=5))
    found = load_validation(tmp_path)
    assert [tuple(group.shape) for group in found.groups] == [
        (1, 9, 3, 48, 64), (1, 9, 3, 48, 80),
    ]  # fmt: skip
    with pytest.raises(InputError, match="No video of 9 frames or more"):
        (tmp_path / "long.mkv").unlink()
        (tmp_path / "wide.mkv").unlink()
        load_validation(tmp_path)


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


def first_of_two(folder, **other):
    pair = Pair(rank=0, count=2)
    object.__setattr__(pair, "other", other)
    trainer = trainer_in(folder, processes=pair)
    trainer.batches.ranks = 2
    trainer.average_gradients = lambda: None
    return trainer


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


def test_a_score_that_is_no_number_is_never_the_best(tmp_path):
    network = nn.Linear(2, 2)
    network.spec = TINY_SPEC
    folder = RunFolder(tmp_path)
    for score in (30.0, math.nan, 30.0):
        folder.save_best(network, {}, score)
        assert read_checkpoint(folder.best).facts["score"] == 30


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
