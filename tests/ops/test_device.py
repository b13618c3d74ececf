"""Choosing a device."""

import pytest
import torch

from vfimamba_cli.errors import DeviceError
from vfimamba_cli.ops.device import choose_device


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
