import json
from dataclasses import replace
from xml.etree import ElementTree

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vfimamba_cli.bench import receptive_field
from vfimamba_cli.cli.app import app
from vfimamba_cli.model.config import TINY
from vfimamba_cli.model.registry import ModelSpec


def fields_of(mixer):
    network = ModelSpec(name=mixer, config=replace(TINY, mixer=mixer)).build()
    return receptive_field.receptive_field(network, torch.rand(2, 1, 3, 64, 64))


@pytest.mark.parametrize(("mixer", "sees_the_other"), [("none", False), ("s6", True)])
def test_a_feature_depends_on_the_other_frame_only_through_the_mixer(mixer, sees_the_other):
    fields = fields_of(mixer)
    assert fields.shape == (2, 64, 64)
    assert fields.sum() == pytest.approx(1)
    assert (fields[1].sum() > 0) == sees_the_other


def test_a_convolution_sees_most_around_its_place():
    own, other = fields_of("conv")
    for field in (own, other):
        assert field[24:56, 24:56].sum() > 0.3 * field.sum()  # a quarter of the pixels
    assert own[32:48, 32:48].mean() > 2 * own[:8].mean()


def test_half_of_an_even_gradient_lies_in_half_of_the_pixels():
    assert receptive_field.share_of_pixels(np.ones((10, 10))) == pytest.approx(0.5, abs=0.02)
    point = np.zeros((10, 10))
    point[3, 4] = 1
    assert receptive_field.share_of_pixels(point) == 0
    assert receptive_field.share_of_pixels(np.zeros((10, 10))) == 0


def test_the_command_draws_untrained_mixers_beside_the_model(tmp_path, monkeypatch):
    monkeypatch.setattr(receptive_field, "SIDE", 32)
    monkeypatch.setattr(receptive_field, "SAMPLES", 1)
    monkeypatch.setattr(receptive_field, "MIXERS", ("conv",))
    monkeypatch.setattr(receptive_field, "VFIMAMBA_S", TINY)
    picture, file = tmp_path / "field.svg", tmp_path / "field.json"
    arguments = ["bench", "--receptive-field", "--model", "tiny", "--device", "cpu"]
    done = CliRunner().invoke(app, [*arguments, "--plot", str(picture), "--json", str(file)])
    assert done.exit_code == 0, done.stderr
    rows = done.stdout.splitlines()[2:]
    assert [row.split()[:3] for row in rows] == [["conv", "conv", "no"], ["tiny", "s6", "yes"]]
    assert [row["trained"] for row in json.loads(file.read_text())["rows"]] == [False, True]
    images = ElementTree.parse(picture).getroot().findall("{http://www.w3.org/2000/svg}image")
    assert len(images) == 4
