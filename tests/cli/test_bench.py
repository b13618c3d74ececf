"""`vfimamba bench`: one thing at a time, measured and printed."""

import re

import pytest
from typer.testing import CliRunner

import vfimamba_cli.bench.scan as scan
from vfimamba_cli.cli.app import app


def run(*arguments):
    return CliRunner().invoke(app, ["bench", *arguments])


def test_speed_prints_the_median_with_what_it_ran_on():
    done = run("--speed", "--model", "tiny", "--size", "48x32", "--device", "cpu", "--runs", "3")
    assert done.exit_code == 0, done.output
    numbers = r"median [\d.]+ ms of 3 \([\d.]+ to [\d.]+\), peak [\d.]+ GiB\n"
    assert re.fullmatch("tiny  48x32  cpu float32 cpu  " + numbers, done.stdout)


def test_scan_prints_every_backend_that_can_run_here(monkeypatch):
    small = scan.ScanSize(channels=8, tokens=64)
    monkeypatch.setattr(scan, "ScanSize", lambda: small)
    done = run("--scan", "--device", "cpu", "--runs", "1")
    assert done.exit_code == 0, done.output
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == [
        "cpu",
        "chunked",
        "reference",
    ]


@pytest.mark.parametrize("what", [(), ("--speed", "--scan"), ("--dataset", "davis7", "--speed")])
def test_exactly_one_measurement_is_asked_for(what):
    done = run(*what)
    assert done.exit_code == 2
    assert "exactly one of --dataset, --speed and --scan" in done.stderr


@pytest.mark.parametrize("size", ["640", "640x", "0x32", "axb", "-1x32"])
def test_a_size_that_is_none_is_refused(size):
    done = run("--speed", "--size", size)
    assert done.exit_code == 2
    assert repr(size) in done.stderr
