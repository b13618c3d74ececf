import os
import signal
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.data.footage import panning, texture, write_clip, write_photo
from vfimamba_cli.checkpoint.store import read_checkpoint
from vfimamba_cli.cli.app import app
from vfimamba_cli.cli.train import stop_on_signals


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
        (("--steps", 1, "--stage", "curriculum"), 2, "Choose one of: clips"),
        ((), 2, "How long to train?"),
        (("--steps", 1, "--resume"), 2, "No run to resume"),
        (("--steps", 1, "--resume", "--init", "mine"), 2, "--init starts from those in mine"),
        (("--steps", 1, "--model", "vfimamba-xl"), 5, "Unknown model"),
        (("--steps", 1, "--device", "quantum"), 6, "No such kind of device: 'quantum'"),
        (("--steps", 1, "--scan", "fastest"), 2, "no scan backend"),
        (("--steps", 1, "--model", "tiny", "--photos", "nowhere"), 3, "No such folder: nowhere"),
        (("--steps", 1, "--model", "tiny", "--val", "nowhere"), 3, "no such file: nowhere"),
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
    done = train(folders, *small, "--resume", "--photos", folders / "photos")
    assert done.exit_code == 2
    for found in ("clips was 1, now 2", "frames of clips was 6, now 10", "SHA-256 of file names"):
        assert found in done.stderr
    assert "hint: Name its --data and --photos" in done.stderr


def test_ctrl_c_while_decoding_ends_at_once(folders, monkeypatch):
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


@pytest.mark.parametrize("kind", [signal.SIGINT, signal.SIGTERM])
def test_a_polite_kill_asks_the_run_to_stop_and_save(kind):
    before = signal.getsignal(kind)
    with stop_on_signals() as stopped:
        assert not stopped()
        os.kill(os.getpid(), kind)
        assert stopped()
    assert signal.getsignal(kind) is before
