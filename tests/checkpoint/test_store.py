import hashlib
import json
import os

import pytest
import safetensors.torch
import torch
from torch import nn

from tests.published import MakesFolder, as_pickle
from vfimamba_cli.checkpoint.store import (
    HEADER_KEY,
    load_weights,
    read_checkpoint,
    save_checkpoint,
    sha256,
)
from vfimamba_cli.errors import CheckpointError, OutputError
from vfimamba_cli.model.config import VFIMAMBA_S, ModelConfig
from vfimamba_cli.model.registry import ModelSpec

SPEC = ModelSpec(
    name="mine",
    config=ModelConfig(width=32, depths=(1, 2, 3, 4, 5), mixer="conv", columns="sequential"),
    channel_order="bgr",
    arbitrary_time=True,
)


@pytest.fixture
def saved(tmp_path):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, SPEC, {"a": torch.randn(64, 3).half(), "b": torch.randn(7)}, step=12)
    return path


def test_what_is_saved_is_read_back(tmp_path):
    weights = {"half": torch.randn(3, 4).half(), "strided": torch.randn(4, 5).t()}
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, SPEC, weights, step=12, recipe={"lr": 1e-4}, notes=["å", None])
    checkpoint = read_checkpoint(path)
    assert checkpoint.spec == SPEC
    assert checkpoint.facts == {"step": 12, "recipe": {"lr": 1e-4}, "notes": ["å", None]}
    assert checkpoint.weights.keys() == weights.keys()
    for name, tensor in weights.items():
        assert checkpoint.weights[name].dtype == tensor.dtype
        assert torch.equal(checkpoint.weights[name], tensor)


def test_equal_content_gives_equal_bytes_whatever_its_order(tmp_path):
    weights = {name: torch.arange(5.0) for name in "abcdef"}
    one, two = tmp_path / "1.safetensors", tmp_path / "2.safetensors"
    save_checkpoint(one, SPEC, weights, a=2, b=1)
    save_checkpoint(two, SPEC, dict(reversed(weights.items())), b=1, a=2)
    assert one.read_bytes() == two.read_bytes()


def test_whoever_reads_the_old_file_keeps_it(saved):
    before = saved.read_bytes()
    with saved.open("rb") as reader:
        save_checkpoint(saved, SPEC, {"a": torch.ones(9)})
        assert reader.read() == before
    assert saved.read_bytes() != before


def test_a_failed_write_leaves_the_old_file_and_nothing_else(saved, monkeypatch):
    before = saved.read_bytes()

    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match=r"No space left on device: .*x\.safetensors") as caught:
        save_checkpoint(saved, SPEC, {"a": torch.zeros(9_000_000)})
    assert "36 MB are needed" in caught.value.hint
    assert saved.read_bytes() == before
    assert list(saved.parent.iterdir()) == [saved]


def test_a_folder_that_does_not_exist_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No such file or directory"):
        save_checkpoint(tmp_path / "no" / "x.safetensors", SPEC, {})


@pytest.mark.parametrize("kept", [1, 7, 9, 300, -1])
def test_a_cut_off_file_is_named_as_such(saved, kept):
    saved.write_bytes(saved.read_bytes()[:kept])
    with pytest.raises(CheckpointError, match=rf"[Nn]ot a safetensors|cut off.*{saved.name}"):
        read_checkpoint(saved)


def headless(path):
    safetensors.torch.save_file({"a": torch.zeros(3)}, path)


def with_header(header):
    def write(path):
        safetensors.torch.save_file({"a": torch.zeros(3)}, path, metadata={HEADER_KEY: header})

    return write


GOOD = {"format": 1, "spec": SPEC.to_dict(), "facts": {}}
WRONG_KINDS = {
    "empty": (lambda path: path.write_bytes(b""), "is empty"),
    "text": (lambda path: path.write_text("hello " * 99), "Not a safetensors checkpoint"),
    "pickle": (lambda path: path.write_bytes(as_pickle({"a": torch.zeros(2)})), "PyTorch pickle"),
    "old pickle": (lambda path: path.write_bytes(b"\x80\x02}q\x00."), "PyTorch pickle"),
    "folder": (lambda path: path.mkdir(), "it is a folder"),
    "nothing": (lambda path: None, "No such file"),
    "foreign safetensors": (headless, "no description of their network"),
    "no JSON": (with_header("{"), "description of its network is damaged"),
    "no object": (with_header("[]"), "description of its network is damaged"),
    "no spec": (with_header('{"format": 1, "facts": {}}'), "description .* is damaged"),
    "newer": (with_header('{"format": 2, "new": 1}'), "format 2 is newer than .* reads \\(1\\)"),
    "unknown mixer": (
        with_header(json.dumps(GOOD).replace('"conv"', '"magic"')),
        "description .* is damaged .*mixer must be one of .* got 'magic'",
    ),
}


@pytest.mark.parametrize("kind", WRONG_KINDS)
def test_a_wrong_kind_of_file_is_told_by_its_kind_and_name(tmp_path, kind):
    write, message = WRONG_KINDS[kind]
    path = tmp_path / "given.safetensors"
    write(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        read_checkpoint(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 5


def test_a_pickle_given_as_checkpoint_does_not_run(tmp_path):
    trap, path = tmp_path / "trap", tmp_path / "x.safetensors"
    path.write_bytes(as_pickle({"a": MakesFolder(trap)}))
    with pytest.raises(CheckpointError, match="PyTorch pickle"):
        read_checkpoint(path)
    assert not trap.exists()


def test_stored_fp16_becomes_fp32_exactly():
    model = nn.Linear(5, 4)
    weights = {name: torch.randn_like(value).half() for name, value in model.state_dict().items()}
    load_weights(model, weights, origin="x")
    for name, value in model.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, weights[name].float())


def test_loading_is_strict_and_names_the_first_misfits():
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 1))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    weights = {
        "0.weight": torch.zeros(3, 9),
        "0.bias": torch.zeros(3),
        **{f"more.{i}": torch.zeros(1) for i in range(4)},
    }
    with pytest.raises(CheckpointError) as caught:
        load_weights(model, weights, origin="some/file")
    assert str(caught.value) == (
        "Weights do not fit the model: 2 missing (1.bias, 1.weight); "
        "4 unexpected (more.0, more.1, more.2, ...); 1 wrong shape (0.weight): some/file"
    )
    assert "vfimamba weights convert" in caught.value.hint
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


def test_the_hash_is_that_of_the_bytes(tmp_path):
    (tmp_path / "x").write_bytes(b"abc")
    assert sha256(tmp_path / "x") == hashlib.sha256(b"abc").hexdigest()


def test_every_field_of_a_spec_survives_the_header():
    for spec in (SPEC, ModelSpec(name="s", config=VFIMAMBA_S)):
        assert ModelSpec.from_dict(json.loads(json.dumps(spec.to_dict()))) == spec
