"""How busy the GPU was, as `vfimamba bench --dataset` says it."""

import sys
import time
from itertools import cycle
from types import SimpleNamespace

import pytest
import torch

from vfimamba_cli.bench import busy
from vfimamba_cli.bench.busy import watch

GPUS = [torch.device("cuda", 0), torch.device("cuda", 1)]


class NVMLError(Exception):
    """As the library's."""


@pytest.fixture
def library(monkeypatch):
    """As if it were installed, and read at once."""
    monkeypatch.setattr(busy, "PERIOD", 0.001)
    monkeypatch.setitem(sys.modules, "pynvml", SimpleNamespace(NVMLError=NVMLError))


def test_of_several_gpus_it_is_the_mean(library, monkeypatch):
    shares = cycle([100, 50])
    monkeypatch.setattr(torch.cuda, "utilization", lambda gpu: next(shares))
    with watch(GPUS) as found:
        time.sleep(0.2)
    assert len(found.readings) >= 4
    assert found.percent == 75
    assert found.seconds >= 0.2
    assert found.line().startswith("measured in 0.2 s, GPU busy 75 % of it")


def test_without_the_library_the_line_claims_nothing(monkeypatch):
    monkeypatch.setitem(sys.modules, "pynvml", None)
    with watch(GPUS) as found:
        pass
    assert found.percent is None
    assert found.line() == "measured in 0.0 s"


@pytest.mark.parametrize("error", [NVMLError("Not Supported"), RuntimeError("not visible")])
def test_where_one_gpu_does_not_tell_the_line_claims_nothing(library, monkeypatch, error):
    answers = iter([100] * 5)  # then it does not, so that what was read is of a part of the time

    def utilization(gpu):
        if (answer := next(answers, None)) is None:
            raise error
        return answer

    monkeypatch.setattr(torch.cuda, "utilization", utilization)
    with watch(GPUS) as found:
        time.sleep(0.05)
    assert found.percent is None


def test_it_is_known_when_measuring_fails(library, monkeypatch):
    monkeypatch.setattr(torch.cuda, "utilization", lambda gpu: 1)
    with pytest.raises(ZeroDivisionError), watch(GPUS) as found:
        time.sleep(0.05)
        1 / 0  # noqa: B018
    readings = len(found.readings)
    time.sleep(0.05)
    assert len(found.readings) == readings > 0, "still reading after the end"


@pytest.mark.gpu
def test_a_gpu_at_work_is_busy_and_one_that_waits_is_not():
    pytest.importorskip("pynvml")
    gpu = torch.device("cuda", 0)
    matrix = torch.randn(4096, 4096, device=gpu)
    with watch([gpu]) as working:
        until = time.monotonic() + 2
        while time.monotonic() < until:
            for _ in range(10):
                matrix @ matrix
            torch.cuda.synchronize()
    time.sleep(1.5)
    with watch([gpu]) as waiting:
        time.sleep(1.5)
    assert working.percent > 60
    assert waiting.percent < working.percent / 2
