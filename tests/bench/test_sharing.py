"""Clips shared by two processes, on the CPU here: the numbers of one, however the run ends."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from tests.bench import layouts
from vfimamba_cli.bench import session
from vfimamba_cli.bench.sharing import Place, find_places
from vfimamba_cli.cli.app import app

ROOT = Path(__file__).resolve().parents[2]
PLACES = tuple(Place("cpu", {"CUDA_VISIBLE_DEVICES": n}) for n in ("4", "7"))

METHODS = """
import os, signal, time, torch

def mean(first, second, times):
    return torch.stack([(first + second) / 2 for _ in times])

def noisy(first, second, times):
    with open("log.txt", "a") as log:
        log.write(f"{os.environ['CUDA_VISIBLE_DEVICES']} {os.getpid()}\\n")
    time.sleep(0.1 if os.environ["CUDA_VISIBLE_DEVICES"] == "4" else 0)  # the first comes last
    return mean(first, second, times) + 0.1 * torch.rand(len(times), *first.shape)

def broken(first, second, times):
    raise LookupError("out of ideas")

def killed(first, second, times):
    os.kill(os.getpid(), signal.SIGKILL)

def slow(first, second, times):
    with open("log.txt", "a") as log:
        log.write(f"{os.environ['CUDA_VISIBLE_DEVICES']} {os.getpid()}\\n")
    time.sleep(0 if os.path.getsize("log.txt") < 30 else 60)
    return mean(first, second, times)
"""


def run(dataset, *arguments):
    return CliRunner().invoke(app, ["bench", "--dataset", dataset, *map(str, arguments)])


@pytest.fixture
def work(tmp_path, monkeypatch):
    """A current folder with methods in it, and five triplets."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "of this process")
    (tmp_path / "shared_methods.py").write_text(METHODS)
    monkeypatch.delitem(sys.modules, "shared_methods", raising=False)
    layouts.write_ucf101(tmp_path / "ucf101", size=(32, 48), clips=5)
    return tmp_path


@pytest.fixture
def shared(work, monkeypatch):
    """Two processes instead of one."""
    monkeypatch.setattr(session, "find_places", lambda name: PLACES)
    return work


@pytest.fixture
def one_thread():
    """Two processes on two cores have one each, and the last bits of a network depend on it."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def document(path):
    found = json.loads(path.read_text())
    assert found.pop("seconds") > 0
    assert found.pop("gpu_busy_percent") is None
    return json.dumps(found)  # the order counts, too


def test_two_processes_give_the_table_and_the_document_of_one(work, monkeypatch, one_thread):
    folder = work / "data"
    layouts.write_frames([folder / f"three/{i}.png" for i in range(3)], size=(32, 48))
    layouts.write_frames([folder / f"many/{i:02}.png" for i in range(41)], size=(32, 48))
    options = ("--data", folder, "--method", "shared_methods:noisy", "--model", "tiny")
    one = run("folder", *options, "--json", "one.json")
    assert one.exit_code == 0, one.stderr
    (work / "log.txt").unlink()

    monkeypatch.setattr(session, "find_places", lambda name: PLACES)
    two = run("folder", *options, "--json", "two.json")
    assert two.exit_code == 0, two.stderr
    assert two.stdout == one.stdout
    assert document(work / "two.json") == document(work / "one.json")
    calls = [line.split() for line in (work / "log.txt").read_text().splitlines()]
    processes = {tuple(call) for call in calls}
    assert {place for place, _ in processes} == {"4", "7"}
    assert len(processes) == 2
    assert str(os.getpid()) not in {process for _, process in processes}
    # the triplet, and three of the five sequences, at 4 + 2 + 1 pairs each
    assert sum(place == "4" for place, _ in calls) == 1 + 3 * 7
    assert sum(place == "7" for place, _ in calls) == 2 * 7


def test_a_clip_that_one_process_cannot_read_ends_the_run_and_the_next_goes_on(shared):
    options = ("--data", "ucf101", "--limit", 5, "--method", "average", "--json", "out.json")
    broken = shared / "ucf101/5/frame_01_gt.png"
    good = broken.read_bytes()
    broken.write_bytes(good[:60])
    done = run("ucf101", *options)
    assert done.exit_code == 3
    assert str(broken.relative_to(shared)) in done.stderr
    ledger = shared / "out.json.clips.jsonl"
    kept = {json.loads(line)["clip"] for line in ledger.read_text().splitlines()[1:]}
    assert {"1", "3"} <= kept < {"1", "2", "3", "4", "5"}, "those before it, of its process"

    broken.write_bytes(good)
    done = run("ucf101", *options)
    assert done.exit_code == 0, done.stderr
    assert f"{len(kept)} scores from" in done.stderr
    clips = json.loads((shared / "out.json").read_text())["clips"]
    assert [clip["clip"] for clip in clips] == ["1", "2", "3", "4", "5"]


def test_a_method_that_fails_shows_its_own_traceback_and_the_clip(shared):
    done = run("ucf101", "--data", "ucf101", "--limit", 2, "--method", "shared_methods:broken")
    assert isinstance(done.exception, RuntimeError)
    text = str(done.exception)
    assert "on cpu CUDA_VISIBLE_DEVICES=" in text
    assert 'raise LookupError("out of ideas")' in text
    assert "while shared_methods:broken made" in text


def test_a_process_that_is_killed_ends_the_run(shared):
    done = run("ucf101", "--data", "ucf101", "--limit", 2, "--method", "shared_methods:killed")
    assert done.exit_code == 1
    assert "error: The process for cpu CUDA_VISIBLE_DEVICES=" in done.stderr
    assert "was ended, exit code -9" in done.stderr


def test_a_single_clip_is_not_shared(shared):
    options = ("--data", "ucf101", "--limit", 1, "--method", "shared_methods:noisy")
    assert run("ucf101", *options).exit_code == 0
    assert (shared / "log.txt").read_text() == f"of this process {os.getpid()}\n"


@pytest.mark.parametrize("finished", [0, 2], ids=["while they start", "while they measure"])
def test_ctrl_c_ends_all_processes_and_keeps_the_clips_that_are_done(work, finished, heard):
    code = (
        "from vfimamba_cli.bench import session\n"
        "from vfimamba_cli.bench.sharing import Place\n"
        f"session.find_places = lambda name: {PLACES!r}\n"
        "from vfimamba_cli.cli.app import app\n"
        "app()\n"
    )
    command = [sys.executable, "-c", code, "bench", "--dataset", "ucf101", "--data", "ucf101"]
    command += ["--limit", "5", "--method", "shared_methods:slow", "--json", "out.json"]
    process = subprocess.Popen(
        command,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    ledger = work / "out.json.clips.jsonl"
    while process.poll() is None and (
        not ledger.exists() or len(ledger.read_text().splitlines()) < 1 + finished
    ):
        time.sleep(0.1)
    time.sleep(0 if finished else 0.7)  # they load PyTorch now
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of them
    error = process.communicate(timeout=60)[1]
    assert process.returncode == 130
    assert error.splitlines()[-1] == "interrupted"
    assert "Traceback" not in error
    assert len(ledger.read_text().splitlines()) >= 1 + finished
    log = work / "log.txt"
    for line in log.read_text().splitlines() if log.exists() else ():
        with pytest.raises(ProcessLookupError):
            os.kill(int(line.split()[1]), 0)


@pytest.mark.parametrize(
    ("name", "kinds", "listed", "taken"),
    [
        ("auto", ["H100", "H100", "T4", "H100"], None, {0: "0", 1: "1", 3: "3"}),
        ("auto", ["H100", "H100"], "3,GPU-5a", {0: "3", 1: "GPU-5a"}),
        ("auto", ["H100", "T4"], None, {}),
        ("auto", ["H100"], None, {}),
        ("auto", [], None, {}),
        ("cuda", ["H100", "H100"], None, {}),
        ("cuda:1", ["H100", "H100"], None, {}),
        ("cpu", ["H100", "H100"], None, {}),
    ],
)
def test_auto_takes_all_gpus_of_the_first_ones_kind(monkeypatch, name, kinds, listed, taken):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: bool(kinds))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(kinds))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda i: kinds[i])
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if listed:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", listed)
    expected = [Place("cuda", {"CUDA_VISIBLE_DEVICES": n}, gpu) for gpu, n in taken.items()]
    assert list(find_places(name)) == expected
