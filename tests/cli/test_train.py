import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.data.footage import panning, texture, write_clip, write_photo
from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.checkpoint.store import read_checkpoint
from vfimamba_cli.cli.app import app
from vfimamba_cli.cli.train import stop_on_signals
from vfimamba_cli.model.vfimamba import VFIMamba
from vfimamba_cli.train.trainer import Trainer


@pytest.fixture
def folders(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("clips", "photos"):
        (tmp_path / name).mkdir()
    write_clip(tmp_path / "clips" / "pan.mkv", panning(rng, frames=6))
    write_photo(tmp_path / "photos" / "still.png", texture(rng, 60, 80))
    return tmp_path


def train(folder, *options):
    arguments = ["train", "--data", folder / "clips", "--out", folder / "run", *options]
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def test_a_folder_of_clips_becomes_a_checkpoint(folders):
    (folders / "clips" / "bad.mp4").write_bytes(b"no video at all")
    small = ("--model", "tiny", "--batch", 2, "--crop", 32, "--steps", 1, "--device", "cpu")
    done = train(folders, *small, "--photos", folders / "photos")
    assert done.exit_code == 0, done.output
    assert done.stdout.strip() == str(folders / "run" / "ema.safetensors")
    spec = read_checkpoint(folders / "run" / "ema.safetensors").spec
    assert (spec.channel_order, spec.arbitrary_time) == ("rgb", True)
    for chosen in ("bad.mp4", "1 skipped", "scan chunked", "float32", "seed 0", "1 steps"):
        assert chosen in done.stderr


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (("--steps", 1, "--stage", "everything"), 2, "Choose one of: vimeo, sequential, mixed"),
        ((), 2, "How long to train?"),
        (("--steps", 1, "--resume"), 2, "No run to resume"),
        (("--steps", 1, "--resume", "--init", "mine"), 2, "--init starts from those in mine"),
        (("--steps", 1, "--model", "vfimamba-xl"), 5, "Did you mean"),
        (("--steps", 1, "--val-every", 1), 2, "nothing says on what"),
        (("--steps", 1, "--lr", "inf"), 2, "lr must be a number above 0, got inf"),
        (("--steps", 1, "--seed", 10**20), 2, "less than or equal to"),
        (("--steps", 1, "--model", "tiny", "--photos", __file__), 3, "A file, not a folder"),
        (("--steps", 1, "--device", "quantum"), 6, "No such kind of device: 'quantum'"),
        (("--steps", 1, "--scan", "fastest"), 2, "no scan backend"),
        (("--steps", 1, "--model", "tiny", "--photos", "nowhere"), 3, "No such folder: nowhere"),
        (("--steps", 1, "--model", "tiny", "--val", "nowhere"), 3, "No such folder: nowhere"),
        (("--steps", 1, "--model", "tiny", "--init", "nowhere"), 5, "No such file: nowhere"),
    ],
)
def test_what_cannot_be_done_is_said_with_its_exit_code(folders, options, code, message):
    done = train(folders, "--device", "cpu", *options)
    assert done.exit_code == code, done.output
    assert message in done.stderr


def test_clips_too_short_to_learn_from_are_refused(folders):
    write_clip(folders / "clips" / "pan.mkv", panning(np.random.default_rng(0), frames=1))
    done = train(folders, "--steps", 1, "--model", "tiny", "--device", "cpu")
    assert done.exit_code == 3
    assert "three frames" in done.stderr


def test_a_run_is_not_resumed_on_other_footage(folders):
    small = ("--model", "tiny", "--batch", 2, "--crop", 32, "--steps", 1, "--device", "cpu")
    assert train(folders, *small).exit_code == 0
    (folders / "clips" / "pan.mkv").rename(folders / "clips" / "other.mkv")
    write_clip(folders / "clips" / "pan.mkv", panning(np.random.default_rng(1), frames=4))
    done = train(folders, *small, "--resume")
    assert done.exit_code == 2
    for found in ("clips was 1, now 2", "frames of clips was 6, now 10", "SHA-256 of file names"):
        assert found in done.stderr
    assert "hint: Name its --data and --photos" in done.stderr


def test_ctrl_c_while_decoding_ends_at_once(folders, monkeypatch, heard):
    write_clip(folders / "clips" / "two.mkv", panning(np.random.default_rng(1), frames=4))
    read = []

    def press_ctrl_c(path):
        read.append(path)
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(0.2)
        return f"not decoded: {path}"

    monkeypatch.setattr("vfimamba_cli.data.clips.try_read", press_ctrl_c)
    monkeypatch.setattr("os.cpu_count", lambda: 1)
    done = train(folders, "--steps", 1, "--model", "tiny", "--device", "cpu")
    assert (done.exit_code, done.stderr) == (130, "interrupted\n")
    assert len(read) == 1, "what was not begun is not decoded"


def test_a_dry_run_prints_the_plan_and_writes_nothing(folders):
    small = ("--model", "tiny", "--batch", 2, "--crop", 32, "--steps", 60, "--device", "cpu")
    photos = ("--photos", folders / "photos")
    done = train(folders, *small, *photos, "--stage", "curriculum", "--dry-run")
    assert done.exit_code == 0, done.output
    assert not (folders / "run").exists()
    for said in (
        "videos: 1 of ",
        "photographs: 1 of ",
        "phase 2: level 1, steps 10 to 19, 20 samples",
        "phase 6: level 5, steps 50 to 59",
        "interval up to 12 frames, for motion of 2 to 80 px",
        "s a step",
        "for 60 steps",
    ):
        assert said in done.stdout


def test_a_dry_run_refuses_what_the_run_would(folders, tmp_path):
    small = ("--model", "tiny", "--batch", 2, "--crop", 32, "--steps", 3, "--device", "cpu")
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.mp4").write_bytes(b"x")
    (tmp_path / "file").touch()
    for more, code, message in (
        (("--resume",), 2, "No run to resume"),
        (("--out", tmp_path / "file"), 4, "A file, not a folder"),
        (("--val", tmp_path / "empty"), 3, "No video"),
        (("--data", tmp_path / "bad"), 3, "None of the 1 videos can be"),
    ):
        for dry in (("--dry-run",), ()):
            done = train(folders, *small, *more, *dry)
            assert (done.exit_code, message in done.stderr) == (code, True), done.output


def test_a_dry_run_refuses_to_go_on_with_other_options(folders):
    small = ("--model", "tiny", "--batch", 1, "--crop", 32, "--steps", 1, "--device", "cpu")
    assert train(folders, *small).exit_code == 0
    done = train(folders, *small, "--resume", "--dry-run")
    assert done.exit_code == 0, done.output
    assert "interleaved frames, from step 1\n" in done.stdout
    assert "of the whole run, with the steps that are done" in done.stdout
    for dry in (("--dry-run",), ()):
        done = train(folders, *small, "--resume", "--seed", 5, *dry)
        assert (done.exit_code, "seed was 0, now 5" in done.stderr) == (2, True), done.output


def test_weights_that_no_number_holds_end_the_run_and_not_the_program(folders):
    small = ("--model", "tiny", "--batch", 1, "--crop", 64, "--steps", 3, "--device", "cpu")
    arguments = ["train", "--data", folders / "clips", "--out", folders / "run", *small]
    command = [sys.executable, "-m", "vfimamba_cli", *map(str, arguments), "--lr", "1e30"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error: The loss is nan at step 1" in done.stderr


def test_photographs_that_a_stage_does_not_move_are_named(folders):
    small = ("--model", "tiny", "--batch", 2, "--crop", 32, "--steps", 3, "--device", "cpu")
    photos = folders / "photos"
    for more in (("--dry-run",), ()):
        done = train(folders, *small, "--photos", photos, "--stage", "vimeo", *more)
        assert done.exit_code == 0, done.output
        assert f"photographs of {photos} are not used: this stage moves no layers" in done.output


@pytest.mark.parametrize(
    ("stage", "present", "missing"),
    [
        ("curriculum", "x-train", "No Vimeo90K: cannot read its list"),
        ("mixed", "vimeo90k", "No clips of X-TRAIN"),
        ("vimeo", None, "Neither Vimeo90K and X-TRAIN nor any video"),
    ],
)
def test_a_missing_set_is_named_with_where_to_get_it(tmp_path, stage, present, missing):
    (tmp_path / "clips").mkdir()
    if present:
        (tmp_path / "clips" / present).mkdir()
        (tmp_path / "clips" / present / "tri_trainlist.txt").write_text("00001/0001\n")
    done = train(tmp_path, "--stage", stage, "--model", "tiny", "--steps", 1, "--device", "cpu")
    assert done.exit_code == 3, done.output
    assert missing in done.stderr
    assert "https://github.com/JihyongOh/XVFI" in done.stderr or "toflow.csail" in done.stderr
    assert "DIR/" in done.stderr


def test_the_published_sets_are_trained_on_where_they_are(tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "clips" / "x-train" / "002").mkdir(parents=True)
    write_clip(tmp_path / "clips" / "x-train" / "002" / "occ.mkv", panning(rng, frames=5))
    sequence = tmp_path / "clips" / "vimeo90k" / "sequences" / "00001" / "0001"
    sequence.mkdir(parents=True)
    (tmp_path / "clips" / "vimeo90k" / "tri_trainlist.txt").write_text("00001/0001\n1/2\n")
    for i, picture in enumerate(panning(rng, frames=3, height=256, width=448)):
        write_photo(sequence / f"im{i + 1}.png", picture)
    done = train(tmp_path, "--stage", "mixed", "--model", "tiny", "--steps", 1, "--batch", 2,
                 "--crop", 32, "--device", "cpu")  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "vimeo90k: 1 clips, 3 frames" in done.stderr
    assert "1 skipped" in done.stderr
    assert "x-train: 1 clips, 5 frames" in done.stderr
    assert read_checkpoint(tmp_path / "run" / "ema.safetensors").spec.arbitrary_time


def test_a_set_of_which_nothing_is_there_is_refused(tmp_path):
    (tmp_path / "clips" / "vimeo90k").mkdir(parents=True)
    names = "".join(f"00001/{i:04}\n" for i in range(99))
    (tmp_path / "clips" / "vimeo90k" / "tri_trainlist.txt").write_text(names)
    done = train(tmp_path, "--stage", "vimeo", "--model", "tiny", "--steps", 1, "--device", "cpu")
    assert done.exit_code == 3
    assert "None of the 99 clips of vimeo90k can be read" in done.stderr
    assert 1 < done.stderr.count("skipped: ") <= 10


def test_the_scan_of_an_ablation_is_kept_in_the_checkpoint(folders):
    small = ("--model", "tiny", "--batch", 1, "--crop", 32, "--steps", 1, "--device", "cpu")
    done = train(folders, *small, "--column-merge", "exact", "--arrangement", "sequential")
    assert done.exit_code == 0, done.output
    config = read_checkpoint(folders / "run" / "ema.safetensors").spec.config
    assert (config.column_merge, config.rows, config.columns) == ("exact", *["sequential"] * 2)
    other = train(folders, *small, "--init", folders / "run" / "ema.safetensors", "--out",
                  folders / "other")  # fmt: skip
    assert other.exit_code == 5
    assert "were trained in another network" in other.stderr


def test_fine_tuning_starts_from_the_models_own_weights(folders):
    done = train(folders, "--stage", "finetune", "--batch", 1, "--crop", 32, "--steps", 1,
                 "--lr", 1e-9, "--device", "cpu")  # fmt: skip
    assert done.exit_code == 0, done.output
    ours = read_checkpoint(folders / "run" / "last.safetensors").weights
    for name, value in load_model("vfimamba-s").state_dict().items():
        torch.testing.assert_close(ours[name], value, rtol=0, atol=1e-6)


def test_too_little_memory_is_said_with_the_batch_that_fits(folders, monkeypatch):
    forward = VFIMamba.forward

    def small_device(self, frames, t):
        if len(t) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, frames, t)

    monkeypatch.setattr(VFIMamba, "forward", small_device)
    small = ("--model", "tiny", "--batch", 8, "--crop", 32, "--steps", 1, "--device", "cpu")
    done = train(folders, *small)
    assert done.exit_code == 6, done.output
    assert "Too little memory on cpu for 8 samples of 32 x 32" in done.stderr
    assert "--batch 2" in done.stderr


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_polite_kill_asks_the_run_to_stop_and_save(heard, kind):
    before, came = signal.getsignal(kind), []
    with stop_on_signals(came) as stopped:
        assert not stopped()
        os.kill(os.getpid(), kind)
        assert stopped()
    assert came == [kind]
    assert signal.getsignal(kind) is before


def test_a_signal_that_is_ignored_stays_so():
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)  # as `nohup` does
    try:
        with stop_on_signals([]) as stopped:
            os.kill(os.getpid(), signal.SIGHUP)
            assert not stopped()
    finally:
        signal.signal(signal.SIGHUP, before)


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_run_that_is_stopped_says_by_its_code_what_stopped_it(
    folders, monkeypatch, heard, kind, code
):
    step = Trainer.finish

    def stop_after_it(*arguments):
        step(*arguments)
        os.kill(os.getpid(), kind)

    monkeypatch.setattr(Trainer, "finish", stop_after_it)
    small = ("--model", "tiny", "--batch", 2, "--crop", 32, "--steps", 9, "--device", "cpu")
    done = train(folders, *small)
    assert done.exit_code == code, done.output
    assert "--resume goes on" in done.stderr
    monkeypatch.setattr(Trainer, "finish", step)
    assert train(folders, *small, "--resume").exit_code == 0
    done = train(folders, *small, "--resume")
    assert done.exit_code == 0
    assert "the run has reached its end already" in done.stderr


def test_a_run_that_cannot_begin_leaves_no_folder(folders):
    for clip in (folders / "clips").iterdir():
        clip.write_bytes(b"no video at all")
    assert train(folders, "--steps", 1, "--model", "tiny", "--device", "cpu").exit_code == 3
    assert not (folders / "run").exists()
