import importlib.util
import json
import pickle
from pathlib import Path

import pytest
import torch

from tests.published import SPEC, MakesFolder, as_pickle, published_name, published_weights
from vfimamba_cli.checkpoint.official import (
    PUBLISHED,
    convert_file,
    convert_official,
    infer_spec,
    our_names,
)
from vfimamba_cli.checkpoint.store import check_weights, read_checkpoint
from vfimamba_cli.errors import CheckpointError

GOLDEN = Path(__file__).resolve().parents[2] / "../shared/golden"
SIZES = {"vfimamba_s": "vfimamba-s", "vfimamba": "vfimamba"}


@pytest.fixture
def given(tmp_path):
    def write(content):
        path = tmp_path / "given.pkl"
        path.write_bytes(content if isinstance(content, bytes) else as_pickle(content))
        return path

    return write


@pytest.mark.parametrize("file", SIZES)
def test_the_published_names_and_shapes_become_exactly_the_network_s(file):
    if not GOLDEN.is_dir():
        pytest.skip(f"no published shapes in {GOLDEN}")
    shapes = json.loads((GOLDEN / f"{file}.shapes.json").read_text())
    with torch.device("meta"):
        published = {f"module.{name}": torch.empty(shape) for name, shape in shapes.items()}
        network = PUBLISHED[SIZES[file]].build()
    ours = our_names(published, origin="x")
    check_weights(network, ours, origin="x")
    assert infer_spec(ours, name=SIZES[file], origin="x") == PUBLISHED[SIZES[file]]
    assert {published_name(name) for name in ours} == shapes.keys()


def test_each_value_arrives_under_its_new_name(given):
    published = published_weights()
    ours = convert_official(given(published))
    for name, value in ours.items():
        assert torch.equal(value, published[f"module.{published_name(name)}"])
    assert not any("HW" in name or "attn_mask" in name for name in ours)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("module.block.1.conv.0.0.weight", "heads.1.conv.0.0.weight"),
        ("local_block.0.lastconv.bias", "local_blocks.0.lastconv.bias"),
        ("feature_bone.patch_embed4.norm.bias", "backbone.embeds.3.norm.bias"),
        (
            "feature_bone.block3.blocks.2.self_attention.A_logs",
            "backbone.stages.3.blocks.2.mixer.A_logs",
        ),
        (
            "feature_bone.block4.blocks.0.conv_blk.cab.3.attention.1.bias",
            "backbone.stages.4.blocks.0.cab.3.attention.1.bias",
        ),
        ("module.unet.up0.1.weight", "unet.up0.1.weight"),
    ],
)
def test_names_are_those_of_the_table(theirs, ours):
    assert list(our_names({theirs: torch.zeros(1)}, origin="x")) == [ours]


def test_unknown_parameters_are_named(given):
    weights = {f"module.backbone.{i}": torch.zeros(1) for i in range(5)}
    with pytest.raises(CheckpointError, match=r"5 unknown \(backbone.0, .*backbone.2, \.\.\.\)"):
        convert_official(given(weights))


def test_a_pickle_of_no_weights_is_refused(given):
    with pytest.raises(CheckpointError, match="no weights in it"):
        convert_official(given({}))


@pytest.mark.parametrize("content", [torch.zeros(3), [1, 2], {"a": 1}, {1: torch.zeros(1)}])
def test_a_pickle_of_something_else_is_refused(given, content):
    with pytest.raises(CheckpointError, match="something other than named tensors"):
        convert_official(given(content))


def test_a_pickle_that_asks_for_code_is_refused_and_does_not_run(given, tmp_path):
    trap = tmp_path / "trap"
    for content in (as_pickle({"a": MakesFolder(trap)}), pickle.dumps(MakesFolder(trap), 2)):
        with pytest.raises(CheckpointError, match=r"asks for code \(posix.mkdir\)") as caught:
            convert_official(given(content))
        assert "Do not trust" in caught.value.hint
    assert not trap.exists()
    pickle.loads(pickle.dumps(MakesFolder(trap)))
    assert trap.exists(), "the trap itself does not work"


def test_damaged_pickles_of_every_kind_end_in_the_same_error(given):
    whole = as_pickle({"module.unet.conv.bias": torch.zeros(3)})
    for end in range(0, len(whole) - 1, 37):
        with pytest.raises(CheckpointError, match=r"cut off one \(\d+ bytes; .*given.pkl"):
            convert_official(given(whole[:end]))
    bad = (b"\x80\x04\x95", b"\x80(", b"text\n", b"\x80\x02}q\x00(X\x05\x00", b"\x00" * 64)
    for content in bad:
        with pytest.raises(CheckpointError, match="damaged or cut off"):
            convert_official(given(content))


@pytest.mark.parametrize("content", [b"", b"x" * 100])
def test_damaged_safetensors_end_in_that_error_too(tmp_path, content):
    (tmp_path / "given.safetensors").write_bytes(content)
    with pytest.raises(CheckpointError, match=r"damaged or cut off.*given.safetensors"):
        convert_official(tmp_path / "given.safetensors")


def test_no_such_pickle_is_said(tmp_path):
    with pytest.raises(CheckpointError, match="No such file") as caught:
        convert_official(tmp_path / "no.pkl")
    assert "weights pull" in caught.value.hint
    with pytest.raises(CheckpointError, match=r"Cannot read the pickle: .*irectory"):
        convert_official(tmp_path)


def test_weights_of_another_size_are_refused_and_nothing_is_written(given, tmp_path):
    target = tmp_path / "out.safetensors"
    path = given(published_weights())
    with pytest.raises(CheckpointError, match=r"\d+ missing \(backbone.*given.pkl"):
        convert_file(path, target, spec=PUBLISHED["vfimamba-s"])
    with pytest.raises(CheckpointError, match=r"\d+ wrong shape"):
        convert_file(path, target, spec=PUBLISHED["vfimamba"])
    assert not target.exists()


def test_without_a_spec_the_size_is_read_off_the_tensors(given, tmp_path):
    target = tmp_path / "out.safetensors"
    convert_file(given(published_weights()), target, name="tiny-official")
    assert read_checkpoint(target).spec == SPEC


def test_weights_of_no_telling_size_are_refused(given, tmp_path):
    weights = published_weights()
    del weights["module.feature_bone.block0.conv.0.weight"]
    with pytest.raises(CheckpointError, match="Cannot tell the size"):
        convert_file(given(weights), tmp_path / "out.safetensors")


def test_the_golden_weights_convert_and_load(tmp_path):
    if not GOLDEN.is_dir():
        pytest.skip(f"no golden weights in {GOLDEN}")
    module = importlib.util.spec_from_file_location("golden_weights", GOLDEN / "weights.py")
    golden = importlib.util.module_from_spec(module)
    module.loader.exec_module(golden)
    shapes = json.loads((GOLDEN / "vfimamba_s.shapes.json").read_text())
    arrays = golden.golden_state_dict(shapes)
    torch.save({name: torch.from_numpy(a) for name, a in arrays.items()}, tmp_path / "s.pkl")
    convert_file(tmp_path / "s.pkl", tmp_path / "s.safetensors", spec=PUBLISHED["vfimamba-s"])
    weights = read_checkpoint(tmp_path / "s.safetensors").weights
    assert len(weights) == len(arrays)
    for name, value in weights.items():
        assert torch.equal(value, torch.from_numpy(arrays[published_name(name)]))
