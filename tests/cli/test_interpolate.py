"""`vfimamba interpolate`, started as a user does: what it prints, what it leaves, how it ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.clips import audio_packets_hash, make_clip, read_frames
from vfimamba_cli.cli.app import app

TINY = ("--model", "tiny", "--device", "cpu")


def start(*arguments):
    return subprocess.Popen(
        [sys.executable, "-m", "vfimamba_cli", "interpolate", *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def run(*arguments):
    process = start(*arguments)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


@pytest.fixture
def clip(tmp_path):
    path = tmp_path / "in.mp4"
    make_clip(path, frames=4, size=(64, 48))
    return path


def test_a_clip_comes_out_with_twice_the_frames_and_its_sound(clip):
    target = clip.with_name("spaced — naïve 'out'.mp4")
    code, out, err = run(clip, "-o", target, *TINY)
    assert code == 0
    assert len(read_frames(target)) == 8
    assert audio_packets_hash(target) == audio_packets_hash(clip)
    assert "4 -> 8 frames (3 made, 1 held)" in out
    assert "scan cpu" in err
    assert sorted(p.name for p in clip.parent.iterdir()) == sorted([clip.name, target.name])


FAULTS = {
    "no such file": (["missing.mp4", "-o", "out.mp4"], 3, "missing.mp4"),
    "not a video": (["text.mp4", "-o", "out.mp4"], 3, "text.mp4"),
    "no video stream": (["sound.mp4", "-o", "out.mp4"], 3, "sound.mp4"),
    "truncated mp4": (["cut.mp4", "-o", "out.mp4"], 3, "cut.mp4"),
    "truncated matroska": (["cut.mkv", "-o", "out.mp4"], 3, "cut.mkv"),
    "output equals input": (["in.mp4", "-o", "in.mp4", "-y"], 4, "in.mp4"),
    "no such folder": (["in.mp4", "-o", "nowhere/out.mp4"], 4, "nowhere"),
    "unwritable folder": (["in.mp4", "-o", "/proc/out.mp4"], 4, "/proc"),
    "output exists": (["in.mp4", "-o", "there.mp4"], 4, "--yes"),
    "unknown container": (["in.mp4", "-o", "out.xyz"], 4, "xyz"),
    "unknown model": (["in.mp4", "-o", "out.mp4", "--model", "vfimamba-z"], 5, "vfimamba-s"),
    "factor 0": (["in.mp4", "-o", "out.mp4", "--factor", "0"], 2, "The factor"),
    "factor a word": (["in.mp4", "-o", "out.mp4", "--factor", "two"], 2, "--factor"),
    "two rates": (["in.mp4", "-o", "out.mp4", "--fps", "60", "--factor", "2"], 2, "exclude"),
    "factor 1": (["in.mp4", "-o", "out.mp4", "--factor", "1"], 2, "--dedup"),
    "a time a word": (["in.mp4", "-o", "out.mp4", "--start", "soon"], 2, "--start"),
    "start after the end": (["in.mp4", "-o", "out.mp4", "--start", "1:30"], 2, "90 s"),
    "unknown tail": (["in.mp4", "-o", "out.mp4", "--tail", "fade"], 2, "hold, drop"),
    "unknown cut": (["in.mp4", "-o", "out.mp4", "--cut", "fade"], 2, "nearest"),
    "no such list": (["in.mp4", "-o", "out.mp4", "--cuts", "none.txt"], 3, "none.txt"),
    "no such mask": (["in.mp4", "-o", "out.mp4", "--mask", "none.png"], 3, "none.png"),
    "a run of one": (["in.mp4", "-o", "out.mp4", "--dedup", "1"], 2, "2 frames or more"),
    "list over the input": (["in.mp4", "-o", "o.mp4", "--yes", "--write-cuts", "in.mp4"], 4, "in."),
    "list over the output": (["in.mp4", "-o", "o.mp4", "--write-cuts", "./o.mp4"], 4, "o.mp4"),
    "a folder": ([".", "-o", "out.mp4"], 3, "FOLDER/%04d.png"),
    "list in no folder": (["in.mp4", "-o", "out.mp4", "--write-cuts", "no/a.txt"], 4, "no"),
    "bad flow scale": (["in.mp4", "-o", "out.mp4", "--flow-scale", "0.3"], 2, "0.3"),
    "corrupt checkpoint": (["in.mp4", "-o", "out.mp4", "--model", "bad.safetensors"], 5, "bad."),
    "unknown device": (["in.mp4", "-o", "out.mp4", "--device", "tpu9"], 6, "tpu9"),
    "scan that cannot run": (["in.mp4", "-o", "out.mp4", "--scan", "mamba_cuda"], 6, "mamba_cuda"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_bad_input_is_named_and_leaves_nothing(tmp_path, monkeypatch, fault, sources):
    monkeypatch.chdir(tmp_path)
    for path in sources.iterdir():
        shutil.copy(path, tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir()}
    arguments, expected, named = FAULTS[fault]
    if "--model" not in arguments:
        arguments = [*arguments, "--model", "tiny"]
    if "--device" not in arguments:
        arguments = [*arguments, "--device", "cpu"]
    done = CliRunner().invoke(app, ["interpolate", *arguments])
    assert done.exit_code == expected, done.output
    assert isinstance(done.exception, SystemExit), "an error that is no message but a traceback"
    assert named in done.stderr
    assert done.stdout == ""
    assert {p.name: p.read_bytes() for p in tmp_path.iterdir()} == before


@pytest.fixture(scope="module")
def sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    make_clip(folder / "in.mp4", frames=4, size=(64, 48))
    make_clip(folder / "whole.mkv", frames=24, size=(64, 48))
    whole = (folder / "whole.mkv").read_bytes()
    (folder / "cut.mkv").write_bytes(whole[: len(whole) * 2 // 3])
    whole = (folder / "in.mp4").read_bytes()
    (folder / "cut.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    make_clip(folder / "sound.mp4", frames=0, size=(64, 48))
    (folder / "text.mp4").write_text("this is not a video\n" * 50)
    (folder / "there.mp4").write_text("precious")
    (folder / "bad.safetensors").write_bytes(b"\x10\0\0\0\0\0\0\0{not json at all")
    return folder


@pytest.mark.parametrize(
    ("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
)
def test_a_stopped_run_leaves_no_file(tmp_path, heard, kind, code):
    make_clip(tmp_path / "in.mp4", frames=60, size=(256, 192))
    process = start(tmp_path / "in.mp4", "-o", tmp_path / "out.mp4", *TINY)
    deadline = time.monotonic() + 60
    while not any(tmp_path.glob("out.mp4*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(kind)
    _, err = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in err
    assert ("interrupted" in err) == (kind == signal.SIGINT)
    assert [p.name for p in tmp_path.iterdir()] == ["in.mp4"]


def test_a_leading_dash_in_a_name_is_no_option_after_two_dashes(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    make_clip(Path("-in.mp4"), frames=2, size=(64, 48))
    code, _, err = run("-o", "out.mp4", *TINY, "--", "-in.mp4")
    assert code == 0, err
    assert len(read_frames(tmp_path / "out.mp4")) == 4


def test_a_dry_run_prints_the_plan_and_writes_nothing(clip):
    target = clip.with_name("out.mp4")
    code, out, err = run(clip, "-o", target, "--dry-run", "--fps", "60", *TINY)
    assert code == 0, err
    assert "frames: 4 frames -> 10 frames" in out
    assert "stream 0: audio, aac (deu): copied" in out
    assert [path.name for path in clip.parent.iterdir()] == [clip.name]


def test_info_looks_at_files_only():
    done = CliRunner().invoke(app, ["info", "-"], input="")
    assert done.exit_code == 3
    assert "interpolate - -o OUT --dry-run" in done.stderr


def test_a_file_that_may_not_be_read_is_no_mistyped_option(clip, monkeypatch):
    monkeypatch.setattr("os.access", lambda path, mode: mode != os.R_OK)  # root may read all
    assert CliRunner().invoke(app, ["info", str(clip)]).exit_code == 0


def test_info_says_what_is_seen(clip):
    done = CliRunner().invoke(app, ["info", str(clip)])
    assert done.exit_code == 0, done.output
    assert "4 frames, 24 fps" in done.stdout
    assert [path.name for path in clip.parent.iterdir()] == [clip.name]
