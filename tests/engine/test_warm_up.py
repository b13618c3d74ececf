"""Libraries load while the network is prepared; whatever becomes of that, preparing goes on."""

import threading

import pytest
import torch

from vfimamba_cli.engine import warm_up
from vfimamba_cli.engine.warm_up import touch, warming_up

GPU = torch.device("cuda")


@pytest.fixture
def touched(monkeypatch):
    """What was touched, by which thread."""
    seen = []
    record = lambda *asked: seen.append((threading.current_thread().name, *asked))  # noqa: E731
    monkeypatch.setattr(warm_up, "touch", record)
    return seen


def test_a_gpu_is_touched_by_another_thread_and_is_done_at_the_end(touched):
    with warming_up(GPU, torch.float16):
        pass
    assert touched == [("warm-up", GPU, torch.float16)]


def test_preparing_that_fails_leaves_no_thread_behind(touched):
    with pytest.raises(KeyError), warming_up(GPU, torch.float16):
        raise KeyError
    assert len(touched) == 1
    assert all(thread.name != "warm-up" for thread in threading.enumerate())


def test_a_cpu_has_nothing_to_load(touched):
    with warming_up(torch.device("cpu"), torch.float32):
        pass
    assert touched == []


def test_convolution_and_product_are_called(monkeypatch):
    called, product = [], torch.mm
    monkeypatch.setattr(torch, "mm", lambda *pair: called.append(product(*pair)))
    touch(torch.device("cpu"), torch.float32)
    assert [result.shape for result in called] == [(16, 16)]


def test_a_library_that_does_not_load_is_left_to_the_network(monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("cuDNN is not here")

    monkeypatch.setattr(warm_up.F, "conv2d", fail)
    touch(torch.device("cpu"), torch.float32)
