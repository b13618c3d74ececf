"""An interrupted run of `vfimamba bench --dataset` goes on where it was."""

import errno
import json
import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.bench.command import run
from vfimamba_cli.bench.ledger import Ledger
from vfimamba_cli.errors import OutputError


def test_a_clip_that_cannot_be_read_stops_the_run_and_the_next_one_goes_on_from_there(
    triplets, tmp_path
):
    file, ledger = tmp_path / "out.json", tmp_path / "out.json.clips.jsonl"
    options = ("--data", triplets, "--limit", 3, "--method", "average", "--json", file)
    broken = triplets / "3/frame_01_gt.png"
    good = broken.read_bytes()
    broken.write_bytes(good[:60])
    done = run("ucf101", *options)
    assert done.exit_code == 3
    assert str(broken) in done.stderr
    assert not file.exists()
    assert [json.loads(line)["clip"] for line in ledger.read_text().splitlines()[1:]] == ["1", "2"]

    broken.write_bytes(good)
    for name in ("1", "2"):  # no longer needed
        (triplets / name / "frame_00.png").write_bytes(b"x")
    done = run("ucf101", *options)
    assert done.exit_code == 0, done.stderr
    assert f"going on with an interrupted run: 2 scores from {ledger}" in done.stderr
    assert [clip["clip"] for clip in json.loads(file.read_text())["clips"]] == ["1", "2", "3"]
    assert not ledger.exists()


def test_scores_of_a_run_with_other_options_are_not_mixed_in(triplets, tmp_path, functions):
    file = tmp_path / "out.json"
    ledger = tmp_path / "out.json.clips.jsonl"
    options = ("--data", triplets, "--limit", 2, "--json", file)
    assert run("ucf101", *options, "--method", f"{functions}:broken").exception is not None
    before = ledger.read_text()
    done = run("ucf101", *options, "--method", f"{functions}:linear")
    assert done.exit_code == 2
    assert "Another run's scores are kept here: methods." in done.stderr
    assert ledger.read_text() == before


def test_a_method_that_was_changed_since_is_another(triplets, tmp_path, functions):
    file, source = tmp_path / "out.json", tmp_path / f"{functions}.py"
    again = ("--data", triplets, "--limit", 2, "--json", file, "--method", f"{functions}:broken")
    assert run("ucf101", *again).exception is not None
    source.write_text(source.read_text().replace("out of ideas", "no idea"))
    done = run("ucf101", *again)
    assert done.exit_code == 2
    assert "Another run's scores are kept here: methods." in done.stderr


def test_a_ledger_that_cannot_be_mended_is_left_as_it_was(tmp_path, monkeypatch):
    path = tmp_path / "clips.jsonl"
    Ledger(path, {"seed": 0})
    with path.open("a") as file:
        file.write('{"protocol": "uc')
    before = path.read_bytes()

    def fsync(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", fsync)
    with pytest.raises(OutputError, match="No space left"):
        Ledger(path, {"seed": 0})
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_line_that_was_cut_off_is_measured_again(triplets, tmp_path):
    file, ledger = tmp_path / "out.json", tmp_path / "out.json.clips.jsonl"
    options = ("--data", triplets, "--limit", 3, "--method", "average", "--json", file)
    broken = triplets / "3/frame_01_gt.png"
    good = broken.read_bytes()
    broken.write_bytes(b"")
    assert run("ucf101", *options).exit_code == 3
    ledger.write_bytes(ledger.read_bytes()[:-9])
    done = run("ucf101", *options)
    assert done.exit_code == 3
    assert "1 scores from" in done.stderr
    broken.write_bytes(good)
    done = run("ucf101", *options)
    assert done.exit_code == 0, done.stderr
    assert "2 scores from" in done.stderr
    assert len(json.loads(file.read_text())["clips"]) == 3


def test_scores_that_cannot_be_read_are_an_input_error(triplets, tmp_path):
    file, ledger = tmp_path / "out.json", tmp_path / "out.json.clips.jsonl"
    options = ("--data", triplets, "--limit", 1, "--method", "average", "--json", file)
    for content in (b"{}\n[1]\n", b"[1]\n", b"\xff\xfe\n", b"nonsense\n"):
        ledger.write_bytes(content)
        done = run("ucf101", *options)
        assert done.exit_code in (2, 3)
        assert str(ledger) in done.stderr
        assert ledger.read_bytes() == content


def test_a_full_disk_ends_the_run_and_keeps_the_clips_that_fit(triplets, tmp_path):
    file, ledger = tmp_path / "out.json", tmp_path / "out.json.clips.jsonl"
    options = ("--data", triplets, "--limit", 3, "--method", "average", "--json", file)
    broken = triplets / "2/frame_00.png"
    good = broken.read_bytes()
    broken.write_bytes(b"")
    assert run("ucf101", *options).exit_code == 3
    broken.write_bytes(good)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (ledger.stat().st_size + 250, hard))
    try:
        done = run("ucf101", *options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert done.exit_code == 4
    assert f"Cannot write: File too large: {ledger}" in done.stderr
    assert "the same command goes on from there" in done.stderr
    assert ledger.read_text().count("\n") == 3  # the settings, two clips, and a part of a line
    assert not file.exists()
    assert run("ucf101", *options).exit_code == 0
    assert [clip["clip"] for clip in json.loads(file.read_text())["clips"]] == ["1", "2", "3"]


def test_numbers_that_cannot_be_written_are_an_output_error(triplets, tmp_path, monkeypatch):
    file = tmp_path / "out.json"

    def replace(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "replace", replace)
    options = ("--data", triplets, "--limit", 1, "--method", "average", "--json", file)
    done = run("ucf101", *options)
    assert done.exit_code == 4
    assert f"Cannot write: No space left on device: {file}" in done.stderr
    assert [path.name for path in tmp_path.glob("out*")] == ["out.json.clips.jsonl"]


def test_ctrl_c_keeps_the_clips_that_are_done(triplets, tmp_path, heard):
    (tmp_path / "slow_method.py").write_text(
        "import time\n"
        "def wait(first, second, times):\n"
        "    open('begun', 'a').close()\n"
        "    time.sleep(60 if open('count', 'a').tell() else 0)\n"
        "    open('count', 'a').write('x')\n"
        "    return ((first + second) / 2)[None]\n"
    )
    command = [sys.executable, "-m", "vfimamba_cli", "bench", "--dataset", "ucf101", "--data"]
    command += [str(triplets), "--limit", "3", "--method", "slow_method:wait", "--json", "out.json"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    ledger = tmp_path / "out.json.clips.jsonl"
    while process.poll() is None and (
        not ledger.exists() or len(ledger.read_text().splitlines()) < 3
    ):
        time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    assert "interrupted" in process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert [json.loads(line)["clip"] for line in ledger.read_text().splitlines()[1:]] == ["1", "1"]
