"""Libraries load while the network is prepared; whatever becomes of that, preparing goes on."""

import threading

import pytest
import torch

from vfimamba_cli.engine import warm_up
from vfimamba_cli.engine.warm_up import touch, warming_up

GPU = torch.device("cuda")


@pytest.fixture
def touched(monkeypatch):
    """What was touched, and the threads that did it; there is a GPU."""
    seen, threads = [], []

    def noted(*asked):
        seen.append(asked)
        threads.append(threading.current_thread())

    monkeypatch.setattr(warm_up, "choose_device", torch.device)
    monkeypatch.setattr(warm_up, "touch", noted)
    return seen, threads


def test_a_gpu_is_touched_by_another_thread_and_is_done_at_the_end(touched):
    seen, threads = touched
    with warming_up("cuda"):
        pass
    assert seen == [(GPU, torch.float16)]
    assert threading.main_thread() not in threads
    assert not any(thread.is_alive() for thread in threads)


def test_what_else_a_gpu_loads_follows_in_the_same_thread_and_may_fail(touched):
    seen, threads = touched

    def fail(device):
        seen.append(device)
        threads.append(threading.current_thread())
        raise RuntimeError("no room")

    with warming_up("cuda", fail):
        pass
    assert seen == [(GPU, torch.float16), GPU]
    assert threads[0] is threads[1]


def test_preparing_that_fails_leaves_no_thread_behind(touched):
    seen, threads = touched
    with pytest.raises(KeyError), warming_up("cuda"):
        raise KeyError
    assert len(seen) == 1
    assert not any(thread.is_alive() for thread in threads)


def test_a_cpu_has_nothing_to_load(touched):
    with warming_up("cpu", pytest.fail):
        pass
    assert touched == ([], [])


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
