"""What measuring is tried on: made-up clips, made-up methods."""

import sys

import pytest

from tests.bench import layouts


@pytest.fixture
def triplets(tmp_path):
    """Three triplets in UCF101's layout."""
    folder = tmp_path / "ucf101"
    layouts.write_ucf101(folder, size=(32, 48), clips=3)
    return folder


@pytest.fixture
def functions(tmp_path, monkeypatch):
    """A module of methods in the current folder."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_methods.py").write_text(
        "import torch\n"
        "def linear(first, second, times):\n"
        "    return torch.stack([first + t * (second - first) for t in times])\n"
        "def flat(first, second, times):\n"
        "    return linear(first, second, times)[:, 0]\n"
        "def hole(first, second, times):\n"
        "    made = linear(first, second, times)\n"
        "    made[0, 0, 1, 2, 3] = float('nan')\n"
        "    return made\n"
        "def spoil(first, second, times):\n"
        "    return first.zero_()[None]\n"
        "def bytes(first, second, times):\n"
        "    return (255 * linear(first, second, times)).byte()\n"
        "def listed(first, second, times):\n"
        "    return list(linear(first, second, times))\n"
        "def ended(first, second, times):\n"
        "    raise SystemExit(0)\n"
        "def broken(first, second, times):\n"
        "    raise RuntimeError('out of ideas')\n"
    )
    monkeypatch.delitem(sys.modules, "my_methods", raising=False)
    return "my_methods"
