"""LPIPS: measured where its package and weights are there, else said to be missing."""

import json
import sys
from types import ModuleType

import pytest
import torch
from typer.testing import CliRunner

from tests.bench import layouts
from vfimamba_cli.bench import session
from vfimamba_cli.bench.score import Score
from vfimamba_cli.bench.sharing import Place
from vfimamba_cli.cli.app import app

FAKE = """
import warnings
import torch

class LPIPS(torch.nn.Module):
    def __init__(self, pretrained=True, net="alex", version="0.1", verbose=True):
        super().__init__()
        assert net == "alex" and not verbose
        warnings.warn("The parameter 'pretrained' is deprecated since 0.13")

    def forward(self, in0, in1, retPerLayer=False, normalize=False):
        assert in0.dtype == torch.float32 and not normalize
        assert in0.shape == in1.shape and in0.shape[1] == 3
        assert in1.min() < -0.5 and in1.max() <= 1, "from -1 to 1"
        return (in0 - in1).abs().mean(dim=(1, 2, 3), keepdim=True)
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    """A stand-in for `lpips` in the current folder, and AlexNet's weights where they belong."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.delitem(sys.modules, "lpips", raising=False)
    (tmp_path / "lpips.py").write_text(FAKE)
    (tmp_path / "torch/hub/checkpoints").mkdir(parents=True)
    (tmp_path / "torch/hub/checkpoints/alexnet-owt-0.pth").touch()
    folder = tmp_path / "data"
    layouts.write_frames([folder / f"{i:02}.png" for i in range(9)], size=(32, 48))
    yield folder
    sys.modules.pop("lpips", None)


def run(*arguments):
    return CliRunner().invoke(app, ["bench", "--dataset", *map(str, arguments)])


def measure(data, *more):
    options = ("--data", data, "--method", "average", "--json", "out.json", "--lpips", *more)
    done = run("folder-4x", *options)
    assert done.exit_code == 0, done.stderr
    with open("out.json", encoding="utf-8") as file:  # noqa: PTH123
        return done, json.load(file)


def test_every_made_frame_has_its_distance_and_the_table_a_column(package):
    done, found = measure(package)
    (clip,) = found["clips"]
    first, second, truth = (
        torch.from_numpy(layouts.moving_picture(i, 32, 48)) / 255 for i in (0, 4, 1)
    )
    made = ((first + second) / 2 * 255).round() / 255
    assert list(clip["lpips"]) == list(clip["psnr"]) == ["1", "2", "3", "5", "6", "7"]
    assert clip["lpips"]["1"] == pytest.approx(2 * (made - truth).abs().mean().item(), rel=1e-4)
    mean = sum(clip["lpips"].values()) / 6
    assert found["summary"][0]["lpips"] == pytest.approx(mean)
    assert found["settings"]["lpips"].startswith("alex, lpips ")
    head, average = done.stdout.splitlines()[-2:]
    assert head.split()[-1] == "LPIPS"
    assert average.split()[-1] == f"{mean:.4f}"
    assert "not measured" not in done.stderr


def test_an_interrupted_run_and_two_processes_have_it_too(package, monkeypatch):
    _, expected = measure(package)
    layouts.write_frames([package / f"{i:02}.png" for i in range(17)], size=(32, 48))
    broken = package / "12.png"
    good = broken.read_bytes()
    broken.write_bytes(b"")
    options = ("--data", package, "--method", "average", "--json", "out.json", "--lpips")
    assert run("folder-4x", *options).exit_code == 3
    broken.write_bytes(good)
    done, found = measure(package)
    assert "1 scores from" in done.stderr
    assert found["clips"][0] == expected["clips"][0]
    assert list(Score.from_dict(found["clips"][0]).lpips) == [1, 2, 3, 5, 6, 7]

    monkeypatch.setattr(session, "find_places", lambda name: (Place("cpu"), Place("cpu")))
    _, shared = measure(package)
    del shared["seconds"], found["seconds"]
    assert shared == found


@pytest.mark.parametrize("missing", ["package", "part", "other torch", "weights"])
def test_without_package_or_weights_a_line_says_so_and_the_rest_is_measured(package, missing):
    if missing == "package":
        sys.modules["lpips"] = None  # what makes an import fail
        reason = "import of lpips halted"
    elif missing == "part":
        (package.parent / "lpips.py").write_text("import no_torchvision")
        reason = "No module named 'no_torchvision': `pip install lpips torchvision`"
    elif missing == "other torch":
        (package.parent / "lpips.py").write_text("raise RuntimeError('no torchvision::nms')")
        reason = "no torchvision::nms: `pip install lpips torchvision`"
    else:
        next(package.parent.glob("torch/hub/checkpoints/*")).unlink()
        reason = f"AlexNet's weights are missing: {package.parent}/torch/hub/checkpoints/alexnet"
    done, found = measure(package)
    line, took = done.stderr.splitlines()
    assert took.startswith("measured in ")
    assert line.startswith("LPIPS is not measured: ")
    assert reason in line
    assert found["settings"]["lpips"] == line
    assert found["clips"][0]["lpips"] is None
    assert found["summary"][0]["lpips"] is None
    assert "LPIPS" not in done.stdout


def test_nobody_who_does_not_ask_loads_it(package):
    sys.modules["lpips"] = ModuleType("an empty one")
    done = run("folder-4x", "--data", package, "--method", "average")
    assert done.exit_code == 0, done.stderr
    assert "LPIPS" not in done.stderr
