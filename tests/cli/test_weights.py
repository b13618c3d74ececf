import hashlib
import re

import pytest
import torch
import typer
from typer.testing import CliRunner

from tests.fake_hub import COMMIT, FakeHub, point_at, serving
from tests.published import SPEC, as_pickle, published_weights
from vfimamba_cli.checkpoint import load, manifest, official
from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.checkpoint.manifest import Entry
from vfimamba_cli.checkpoint.store import save_checkpoint
from vfimamba_cli.cli.errors import user_errors
from vfimamba_cli.cli.weights import Size, app
from vfimamba_cli.errors import DeviceError, VfimambaError

REPO = "someone/weights"
PICKLE = as_pickle(published_weights())


def run(*arguments):
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def models(monkeypatch, tmp_path):
    """A manifest of one bundled and one Hub model, the Hub to fetch it from, and a fresh cache."""
    bundled = tmp_path / "weights" / "own.safetensors"
    bundled.parent.mkdir()
    save_checkpoint(bundled, SPEC, {"unet.conv.bias": torch.zeros(3)})
    facts = {"spec": SPEC, "license": "Apache-2.0", "megabytes": 1.4}
    own = Entry(**facts, file=bundled.name, sha256=hashlib.sha256(bundled.read_bytes()).hexdigest())
    hub = {"repo": REPO, "revision": COMMIT, "file": "ckpt/x.pkl"}
    fetched = Entry(**facts, **hub, sha256=hashlib.sha256(PICKLE).hexdigest())
    entries = {"own": own, SPEC.name: fetched}
    for module in (manifest, load):
        monkeypatch.setattr(module, "read_manifest", lambda: entries)
    monkeypatch.setattr("vfimamba_cli.checkpoint.local.weights_folder", lambda: bundled.parent)
    with serving(FakeHub()) as served:
        served.add(REPO, "ckpt/x.pkl", PICKLE)
        point_at(monkeypatch, served.url, tmp_path)
        yield served


def test_list_says_of_each_model_where_it_is_from_and_whether_it_is_here():
    done = run("list")
    assert done.exit_code == 0
    head, *rows = [re.split(r"  +", line) for line in done.stdout.splitlines()]
    assert head == ["NAME", "SIZE", "LICENSE", "TIMESTEPS", "HERE", "SOURCE"]
    table = {row[0]: row for row in rows}
    assert table["vfimamba-s"][2:4] == ["Apache-2.0", "any"]
    assert table["vfimamba-s"][5] == "bundled"
    official = table["vfimamba-official"]
    assert official[1:4] == ["264 MB", "Apache-2.0", "0.5"]
    assert official[5] == "MCG-NJU/VFIMamba_ckpts@7c383874:ckpt/VFIMamba.pkl"


def test_pull_then_list_then_verify(models, tmp_path):
    assert re.search(r"tiny-official .* no ", run("list").stdout)
    assert run("verify").stdout.splitlines()[1] == "tiny-official: not here"
    pulled = run("pull", "tiny-official")
    assert pulled.exit_code == 0, pulled.stderr
    assert pulled.stderr.endswith("tiny-official: width 16, BGR, t = 0.5, others by halving\n")
    path = pulled.stdout.strip()
    assert path.startswith(str(tmp_path / "cache" / "vfimamba"))
    assert load_model(path).spec == SPEC
    assert re.search(r"tiny-official .* yes ", run("list").stdout)
    assert run("verify", "tiny-official").stdout == f"tiny-official: intact: {path}\n"
    assert [line.split(":")[1] for line in run("verify").stdout.splitlines()] == [" intact"] * 2


def test_verify_asks_no_network_and_fails_for_a_named_model_that_is_not_here(models):
    done = run("verify", "tiny-official")
    assert done.exit_code == 5
    assert "error: The weights of tiny-official are not here" in done.stderr
    assert "hint: Fetch them: `vfimamba weights pull tiny-official`" in done.stderr
    assert models.requests == []


def test_verify_fails_for_a_bundled_file_that_was_exchanged(models, tmp_path):
    (tmp_path / "weights" / "own.safetensors").write_bytes(b"other")
    done = run("verify")
    assert done.exit_code == 5
    assert "not those of the manifest: SHA-256 is" in done.stderr


def test_pull_of_what_the_hub_does_not_have_fails(models):
    models.files.clear()
    done = run("pull", "tiny-official")
    assert done.exit_code == 5
    assert re.search(r"^error: .* no such file.*HTTP 404.*ckpt/x.pkl$", done.stderr, re.MULTILINE)
    assert done.stdout == ""


@pytest.mark.parametrize("command", ["pull", "verify"])
def test_an_unknown_model_fails_and_names_the_known_ones(command):
    done = run(command, "vfimamba-x")
    assert done.exit_code == 5
    assert "error: Unknown model: vfimamba-x (known: vfimamba-s, vfimamba-s-off" in done.stderr


def test_convert_writes_a_checkpoint_that_loads(tmp_path, monkeypatch):
    monkeypatch.setitem(official.PUBLISHED, "vfimamba-s", SPEC)
    source, target = tmp_path / "in.pkl", tmp_path / "out.safetensors"
    source.write_bytes(PICKLE)
    done = run("convert", source, target, "--model", "vfimamba-s")
    assert (done.exit_code, done.stdout) == (0, f"{target}\n")
    assert load_model(target).spec == SPEC


def test_convert_replaces_a_file_only_when_told_to(tmp_path, monkeypatch):
    monkeypatch.setitem(official.PUBLISHED, "vfimamba-s", SPEC)
    source, target = tmp_path / "in.pkl", tmp_path / "out.safetensors"
    source.write_bytes(PICKLE)
    target.write_bytes(b"precious")
    done = run("convert", source, target, "--model", "vfimamba-s")
    assert (done.exit_code, target.read_bytes()) == (4, b"precious")
    assert f"error: The output exists already: {target}\nhint: Pass --yes" in done.stderr
    assert run("convert", source, target, "--model", "vfimamba-s", "--yes").exit_code == 0
    assert load_model(target).spec == SPEC


CONVERT_FAILURES = {
    "misfit": (PICKLE, "out.safetensors", 5, "Weights do not fit the model"),
    "cut off": (PICKLE[:999], "out.safetensors", 5, "damaged or cut off"),
    "not a pickle": (b"text", "out.safetensors", 5, "damaged or cut off"),
    "wrong name": (PICKLE, "out.pkl", 2, "must be named .safetensors"),
    "missing": (None, "out.safetensors", 5, "No such file"),
}


@pytest.mark.parametrize("case", CONVERT_FAILURES)
def test_convert_refuses_what_it_cannot_convert_and_writes_nothing(tmp_path, case):
    content, name, code, message = CONVERT_FAILURES[case]
    if content is not None:
        (tmp_path / "in.pkl").write_bytes(content)
    before = sorted(tmp_path.iterdir())
    done = run("convert", tmp_path / "in.pkl", tmp_path / name, "--model", "vfimamba-s")
    assert done.exit_code == code
    assert f"error: {message}" in done.stderr or message in done.stderr
    assert sorted(tmp_path.iterdir()) == before


def test_convert_into_a_folder_that_does_not_exist_is_an_output_error(tmp_path, monkeypatch):
    monkeypatch.setitem(official.PUBLISHED, "vfimamba-s", SPEC)
    (tmp_path / "in.pkl").write_bytes(PICKLE)
    target = tmp_path / "no" / "out.safetensors"
    done = run("convert", tmp_path / "in.pkl", target, "--model", "vfimamba-s")
    assert done.exit_code == 4
    assert f"error: Cannot write: No such file or directory: {target}" in done.stderr


def test_the_sizes_of_the_option_are_the_published_ones():
    assert {size.value for size in Size} == official.PUBLISHED.keys()


def ended_by(error):
    with pytest.raises(typer.Exit) as caught, user_errors():
        raise error
    return caught.value.exit_code


def test_an_error_ends_the_command_with_its_message_hint_and_code(capsys):
    assert ended_by(DeviceError("no such device", hint="use cpu")) == 6
    assert ended_by(VfimambaError("no hint")) == 1
    assert ended_by(KeyboardInterrupt()) == 130
    assert capsys.readouterr() == (
        "",
        "error: no such device\nhint: use cpu\nerror: no hint\ninterrupted\n",
    )


def test_a_programming_mistake_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError), user_errors():
        raise ZeroDivisionError
