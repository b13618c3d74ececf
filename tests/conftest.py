"""Markers that need hardware, and a random state that no test can pass on to the next."""

import importlib.util
import os
import signal

os.environ.setdefault("GOMP_SPINCOUNT", "20000")  # as the command does, before torch loads

import hypothesis
import numpy as np
import pytest
import torch

hypothesis.settings.register_profile("default", deadline=None, max_examples=50)
hypothesis.settings.load_profile("default")


def pytest_collection_modifyitems(items):
    """Skip GPU tests where there is no GPU, unless REQUIRE_GPU=1 says there must be one."""
    if os.environ.get("REQUIRE_GPU") == "1":
        return
    for item in items:
        if item.get_closest_marker("gpu") and not torch.cuda.is_available():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
        elif item.get_closest_marker("mamba") and not importlib.util.find_spec(
            "selective_scan_cuda"
        ):
            item.add_marker(pytest.mark.skip(reason="mamba-ssm's selective_scan_cuda is missing"))


@pytest.fixture(autouse=True)
def _seeded():
    """Every test starts from the same seed, whatever ran before it."""
    torch.manual_seed(0)
    np.random.seed(0)


@pytest.fixture
def heard():
    """Signals that the tests' own process ignores, as under `nohup`, are not in this test."""
    usual = {signal.SIGINT: signal.default_int_handler, signal.SIGHUP: signal.SIG_DFL}
    ignored = [kind for kind in usual if signal.getsignal(kind) is signal.SIG_IGN]
    for kind in ignored:
        signal.signal(kind, usual[kind])
    yield
    for kind in ignored:
        signal.signal(kind, signal.SIG_IGN)
