"""Scan backends are timed only when they are right."""

import pytest
import torch

from vfimamba_cli.bench.scan import ScanSize, time_backends
from vfimamba_cli.bench.training_scan import time_training
from vfimamba_cli.errors import DeviceError
from vfimamba_cli.ops.scan import chunked

CPU = torch.device("cpu")
SMALL = ScanSize(orders=2, channels=8, states=4, tokens=50)


def test_every_backend_of_the_cpu_gets_a_row():
    rows = list(time_backends(["cpu", "chunked", "reference"], CPU, size=SMALL, runs=1))
    assert [row.backend for row in rows] == ["cpu", "chunked", "reference"]
    assert all(row.error < 1e-4 and row.forward_seconds > 0 for row in rows)
    assert [row.training_seconds is None for row in rows] == [True, False, False]


def test_a_wrong_backend_is_not_timed(monkeypatch):
    right = chunked.selective_scan
    monkeypatch.setattr(chunked, "selective_scan", lambda *args: right(*args) * 1.001)
    with pytest.raises(ArithmeticError, match="'chunked' is off by"):
        list(time_backends(["chunked"], CPU, size=SMALL, runs=1))


def test_a_row_does_not_wait_for_the_next(monkeypatch):
    right = chunked.selective_scan
    monkeypatch.setattr(chunked, "selective_scan", lambda *args: 2 * right(*args))
    rows = time_backends(["cpu", "chunked"], CPU, size=SMALL, runs=1)
    assert next(rows).backend == "cpu"
    with pytest.raises(ArithmeticError):
        next(rows)


def test_a_backend_that_cannot_run_is_an_error_not_a_missing_row():
    with pytest.raises(DeviceError):
        time_backends(["mamba_cuda"], CPU, size=SMALL, runs=1)


@pytest.mark.gpu
def test_the_scans_of_training_are_timed_by_kernels_and_level():
    rows = list(time_training(torch.device("cuda", 0), runs=2))
    assert [(row.size.channels, row.kernels) for row in rows] == [
        (256, "chosen"), (256, "triton"), (512, "chosen"), (512, "triton"),
    ]  # fmt: skip
    assert all(0 < row.error < 3e-2 and 0 < row.forward < row.backward for row in rows)
