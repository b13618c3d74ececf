"""Runs in processes of their own: killed and resumed, and sharing their batches."""

import os
import random
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.data.footage import panning, write_clip
from vfimamba_cli.checkpoint.store import read_checkpoint
from vfimamba_cli.errors import DeviceError, OptionError
from vfimamba_cli.train.distributed import Processes, joined_processes
from vfimamba_cli.train.logbook import read_entries
from vfimamba_cli.train.numbers import Numbers, TrainingError, check_losses

ROOT = Path(__file__).parents[2]
STEPS = 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("processes")
    (folder / "clips").mkdir()
    for step in (1, 3):
        pixels = panning(np.random.default_rng(step), frames=9, step=step)
        write_clip(folder / "clips" / f"{step}.mkv", pixels)
    return folder


def start(*arguments):
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, *map(str, arguments)], cwd=ROOT, env=environment, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def finish(process):
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, out + err
    return out


def losses_of(run, measure="loss"):
    entries = read_entries(run / "metrics.jsonl")
    return {e["step"]: e[measure] for e in entries if e["kind"] == "train" and measure in e}


def test_a_run_killed_at_random_steps_goes_on_as_if_it_had_not_been(folder):
    whole, killed = folder / "whole", folder / "killed"
    small = ("-m", "tests.train.small_run")
    finish(start(*small, whole, folder / "clips", STEPS))
    chance = random.Random(0)
    for number, last in enumerate((chance.randint(2, 15), chance.randint(20, STEPS - 5))):
        flags = ("--resume",) if number else ()
        process = start(*small, killed, folder / "clips", STEPS, *flags)
        for line in process.stdout:
            if line.startswith(f"step {last} "):
                time.sleep(chance.uniform(0, 0.01))
                process.kill()
                break
        process.communicate()
        assert process.returncode == -9
        assert torch.load(killed / "state.pt", weights_only=True)["step"] >= last - 1
        for path in killed.glob("*.safetensors"):
            assert read_checkpoint(path).facts["step"] <= STEPS
    finish(start(*small, killed, folder / "clips", STEPS, "--resume"))
    ours, expected = losses_of(killed), losses_of(whole)
    assert ours.keys() == expected.keys() == set(range(1, STEPS + 1))
    assert all(ours[step] == pytest.approx(expected[step], rel=0, abs=1e-6) for step in ours)
    assert not list(killed.glob("*.part"))
    for name in ("ema", "last"):
        a, b = (read_checkpoint(run / f"{name}.safetensors").weights for run in (whole, killed))
        assert all(torch.equal(a[key], b[key]) for key in a)


def test_two_processes_are_one_with_twice_the_batch(folder):
    options = ("-m", "vfimamba_cli", "train", "--data", folder / "clips", "--model", "tiny",
               "--batch", 4, "--crop", 32, "--steps", 3, "--device", "cpu", "--out")  # fmt: skip
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    finish(start(*options, folder / "one"))
    finish(start(*launcher, *options, folder / "two"))
    ours, expected = losses_of(folder / "two"), losses_of(folder / "one")
    assert ours.keys() == expected.keys() == {1, 3}
    assert all(ours[step] == pytest.approx(expected[step], rel=0, abs=1e-5) for step in ours)
    one, two = (losses_of(folder / run, "gradient_norm")[3] for run in ("one", "two"))
    assert one == pytest.approx(two, rel=1e-5)
    for name in ("last", "ema"):
        path = f"{name}.safetensors"
        one, two = (
            torch.cat([w.flatten() for w in read_checkpoint(folder / run / path).weights.values()])
            for run in ("one", "two")
        )  # Adam may turn the rounding of a gradient of nearly 0 into a step of its own
        assert (one - two).norm() <= 1e-5 * one.norm()


@pytest.mark.gpu
def test_two_gpus_train_about_as_one(folder):
    if torch.cuda.device_count() < 2:
        pytest.skip("needs two GPUs")
    options = ("-m", "vfimamba_cli", "train", "--data", folder / "clips", "--model", "tiny",
               "--batch", 8, "--crop", 64, "--steps", 20, "--out")  # fmt: skip
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", 2)
    finish(start(*options, folder / "one gpu"))
    finish(start(*launcher, *options, folder / "two gpus"))
    ours, expected = losses_of(folder / "two gpus"), losses_of(folder / "one gpu")
    assert ours[1] == pytest.approx(expected[1], rel=1e-2)
    assert ours[20] == pytest.approx(expected[20], rel=5e-2)


def test_a_batch_that_cannot_be_shared_evenly_is_refused():
    assert Processes(count=4).share_of(32) == 8
    with pytest.raises(OptionError, match="32 cannot be shared evenly by 3") as caught:
        Processes(count=3).share_of(32)
    assert "--batch 33" in caught.value.hint


def test_one_gpu_by_name_is_not_shared_by_processes(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    shared = joined_processes("cuda:1")
    with pytest.raises(OptionError, match="2 processes cannot share --device cuda:1"), shared:
        pass


def test_more_processes_than_gpus_are_refused(monkeypatch):
    for name, value in (("WORLD_SIZE", "4"), ("LOCAL_RANK", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    shared = joined_processes("auto")
    with pytest.raises(DeviceError, match="'cuda:2' was asked for, this machine has 2"), shared:
        pass


def test_a_bad_loss_is_traced_to_its_process_by_all():
    rows = Numbers.split([0.5, 0, 1, 0, 9, float("nan"), 0, 1, 0, 9])
    with pytest.raises(TrainingError, match="nan at step 7 in process 1, on clip of 1"):
        check_losses(rows, 7, lambda rank: (f"clip of {rank}",))
    check_losses(rows[:1], 7, lambda rank: ())
