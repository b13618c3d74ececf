"""`vfimamba runs table`: what sets runs apart, and what the last validation of each found."""

import json
from dataclasses import replace

import pytest
import torch
from typer.testing import CliRunner

from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.checkpoint.store import save_checkpoint
from vfimamba_cli.cli.app import app
from vfimamba_cli.train.recipes import make_recipe
from vfimamba_cli.train.run_folder import RunFolder


def write_run(path, validations, *, recipe, step=40, **config):
    """The files that a run of this recipe leaves, as far as they are read."""
    path.mkdir()
    entries = [{"kind": "phase", "step": 0}, {"kind": "train", "step": 1, "loss": 1.0}]
    entries += [{"kind": "validation", "step": at, **found} for at, found in validations]
    lines = [json.dumps(entry) for entry in entries]
    folder = RunFolder(path)
    folder.metrics.write_text("\n".join(lines) + '\n{"kind": "train", "st')  # as a kill leaves it
    spec = replace(TINY_SPEC, config=replace(TINY_SPEC.config, **config))
    save_checkpoint(
        folder.average, spec, {"weight": torch.zeros(1)}, recipe=recipe.to_dict(), step=step
    )
    return str(path)


def found(middle, **bands):
    scores = {"middle": middle, "step": middle + 5, **bands}
    return {f"{name}_psnr_db": value for name, value in scores.items()} | {"middle_ssim": 0.5}


@pytest.fixture
def runs(tmp_path):
    """Two that differ in everything the table shows, the better one first."""
    plain = make_recipe("clips", steps=100, batch=4)
    mixed = make_recipe("curriculum", steps=100, batch=8, synthetic_share=0.25)
    return [
        write_run(
            tmp_path / "b-long", [(20, found(18.5)), (40, found(19.25, small=30.0, large=15.125))],
            recipe=mixed, mixer="full_attention", rows="sequential",
            column_merge="exact",
        ),
        write_run(tmp_path / "a", [], recipe=plain, step=7),
    ]  # fmt: skip


def run(*arguments):
    return CliRunner().invoke(app, ["runs", "table", *map(str, arguments)])


def test_each_run_is_a_row_in_the_order_given_with_its_last_validation(runs):
    done = run(*runs)
    assert done.exit_code == 0, done.stderr
    head, first, second = done.stdout.splitlines()
    told = " ".join(first.split())
    assert told == (
        "b-long curriculum full_attention sequential interleaved exact 25 % 40 320 40 "
        "19.25 24.25 30.00 - 15.12"
    )
    told = " ".join(second.split())
    assert told == "a clips s6 interleaved interleaved published 0 % 7 28 - - - - - -"
    for title, cell in (("column merge", "exact"), ("middle", "19.25"), ("large", "15.12")):
        assert head.index(title) == first.index(cell), "one below the other"


def test_the_document_has_the_same_unrounded(runs, tmp_path):
    file = tmp_path / "table.json"
    assert run(*runs, "--json", file).exit_code == 0
    written = json.loads(file.read_text())
    assert written["measured"] == "runs"
    first, second = written["rows"]
    assert first["psnr_db"] == {"middle": 19.25, "step": 24.25, "small": 30.0, "large": 15.125}
    assert first["synthetic_share"] == pytest.approx(0.25)
    assert (first["steps"], first["samples"], first["validated_step"]) == (40, 320, 40)
    assert (second["psnr_db"], second["validated_step"]) == ({}, None)


def test_a_folder_that_holds_no_run_is_refused(runs, tmp_path):
    done = run(*runs, tmp_path)
    assert done.exit_code == 3
    assert f"No log of a run: {tmp_path}/metrics.jsonl" in done.stderr
    save_checkpoint(tmp_path / "a/ema.safetensors", TINY_SPEC, {"weight": torch.zeros(1)})
    done = run(*runs)
    assert done.exit_code == 5
    assert "The weights do not say how they were trained (KeyError('recipe'))" in done.stderr
