import pytest
import torch

import vfimamba_cli
from tests.published import SPEC
from vfimamba_cli.checkpoint import manifest
from vfimamba_cli.checkpoint.load import TINY_SPEC, load_model
from vfimamba_cli.checkpoint.local import verify
from vfimamba_cli.checkpoint.manifest import Entry, read_manifest, weights_folder
from vfimamba_cli.checkpoint.store import read_checkpoint, save_checkpoint, sha256
from vfimamba_cli.errors import CheckpointError
from vfimamba_cli.model.config import VFIMAMBA, VFIMAMBA_S


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    torch.manual_seed(3)
    path = tmp_path_factory.mktemp("weights") / "mine.safetensors"
    weights = {name: value.half() for name, value in SPEC.build().state_dict().items()}
    save_checkpoint(path, SPEC, weights)
    return path


@pytest.mark.parametrize("kind", [str, lambda path: path], ids=["str", "Path"])
def test_a_path_gives_its_network_in_fp32_and_eval_mode_with_its_spec(file, kind):
    network = load_model(kind(file))
    assert network.spec == SPEC
    assert not network.training
    stored = read_checkpoint(file).weights
    for name, value in network.state_dict().items():
        assert value.dtype == torch.float32
        assert torch.equal(value, stored[name].float())


def test_the_hidden_tiny_network_is_the_same_each_time_and_leaves_the_seed_alone():
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    one, two = load_model("tiny"), load_model("tiny")
    assert torch.equal(torch.rand(3), expected)
    assert one.spec == TINY_SPEC
    assert not one.training
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)
    assert "tiny" not in read_manifest()


def test_an_unknown_name_lists_the_known_ones_and_the_closest():
    with pytest.raises(CheckpointError, match="Unknown model: vfimaba-s ") as caught:
        load_model("vfimaba-s")
    assert all(name in str(caught.value) for name in read_manifest())
    assert "Did you mean vfimamba-s?" in caught.value.hint
    with pytest.raises(CheckpointError, match="Unknown model: rife") as caught:
        load_model("rife")
    assert "Did you mean" not in caught.value.hint


@pytest.mark.parametrize("name", ["no/such.safetensors", "./x/y", "no.pkl"])
def test_a_path_that_does_not_exist_is_not_looked_for_on_the_hub(name):
    with pytest.raises(CheckpointError, match=r"No such file|Unknown model"):
        load_model(name)


def test_a_damaged_checkpoint_is_an_error_of_its_own(file, tmp_path):
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(file.read_bytes()[:1_000_000])
    with pytest.raises(CheckpointError, match=r"damaged or cut off .*cut\.safetensors"):
        load_model(cut)


def test_weights_that_do_not_fit_their_own_spec_are_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    save_checkpoint(path, SPEC, {"unet.conv.bias": torch.zeros(3)})
    with pytest.raises(CheckpointError, match=r"\d+ missing .*x\.safetensors"):
        load_model(path)


def test_the_manifest_says_of_each_model_what_one_must_know():
    entries = read_manifest()
    assert list(entries) == ["vfimamba-s", "vfimamba-s-official", "vfimamba-official"]
    own, small, large = entries.values()
    assert own.bundled
    assert own.spec.arbitrary_time
    assert own.spec.channel_order == "rgb"
    for entry, config, file, digest in (
        (small, VFIMAMBA_S, "ckpt/VFIMamba_S.pkl", "ddc1e07e"),
        (large, VFIMAMBA, "ckpt/VFIMamba.pkl", "c1dac5b0"),
    ):
        assert (entry.repo, entry.file) == ("MCG-NJU/VFIMamba_ckpts", file)
        assert entry.revision == "7c383874883191d240bcc9435590eecc573f1055"
        assert entry.sha256.startswith(digest)
        assert entry.spec.config == config
        assert entry.spec.channel_order == "bgr"
        assert not entry.spec.arbitrary_time
        assert entry.license == "Apache-2.0"


def test_every_bundled_file_is_the_one_the_manifest_describes():
    for entry in read_manifest().values():
        if not entry.bundled:
            continue
        checkpoint = read_checkpoint(verify(entry))
        assert checkpoint.spec == entry.spec
        assert {value.dtype for value in checkpoint.weights.values()} == {torch.float16}


def test_a_bundled_file_that_was_exchanged_is_refused_with_both_hashes(file, monkeypatch):
    monkeypatch.setattr("vfimamba_cli.checkpoint.local.weights_folder", lambda: file.parent)
    entry = Entry(spec=SPEC, file=file.name, sha256="0" * 64, megabytes=1, license="Apache-2.0")
    with pytest.raises(CheckpointError) as caught:
        verify(entry)
    assert "0" * 64 in str(caught.value)
    assert sha256(file) in str(caught.value)
    assert "from your clone: `pip install --force-reinstall .`" in caught.value.hint


def test_the_weights_folder_is_found_in_a_wheel_and_in_a_checkout(tmp_path, monkeypatch):
    package = tmp_path / "vfimamba_cli"
    package.mkdir()
    monkeypatch.setattr(vfimamba_cli, "__file__", str(package / "__init__.py"))
    with pytest.raises(CheckpointError) as caught:
        weights_folder()
    for place in (tmp_path / "weights", package / "weights"):
        assert str(place) in str(caught.value)
        place.mkdir()
        (place / "manifest.toml").touch()
        assert weights_folder() == place


@pytest.mark.parametrize("text", ["[x", "[x]\nfile = 'a'", "[x]\nconfig = {width = 3}"])
def test_a_damaged_manifest_is_named(tmp_path, monkeypatch, text):
    (tmp_path / "manifest.toml").write_text(text)
    monkeypatch.setattr(manifest, "weights_folder", lambda: tmp_path)
    with pytest.raises(CheckpointError, match=r"manifest is damaged .*manifest\.toml") as caught:
        read_manifest()
    assert "from your clone" in caught.value.hint
