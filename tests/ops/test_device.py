"""Choosing a device."""

import pytest
import torch

from vfimamba_cli.errors import DeviceError
from vfimamba_cli.ops.device import choose_device, numbered


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cuda", "0 usable CUDA devices"),
        ("cuda:1", "0 usable CUDA devices"),
        ("gpu", "'gpu'"),
        ("meta", "not supported"),
    ],
)
def test_a_device_asked_for_by_name_is_never_replaced(monkeypatch, name, message):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match=message):
        choose_device(name)


@pytest.mark.parametrize(("there", "chosen"), [(True, "cuda"), (False, "cpu")])
def test_auto_takes_cuda_where_there_is_one(monkeypatch, there, chosen):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: there)
    assert choose_device("auto").type == chosen


def test_cuda_alone_is_the_current_device_and_stays_it(monkeypatch):
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 3)
    assert numbered(torch.device("cuda")) == torch.device("cuda", 3)
    assert numbered(torch.device("cuda", 1)) == torch.device("cuda", 1)
    assert numbered(torch.device("cpu")) == torch.device("cpu")
