import json
import xml.etree.ElementTree as ET

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from tests.data.footage import panning, write_clip
from vfimamba_cli.bench.plot import even_ticks
from vfimamba_cli.bench.sheet import Pair, hardest_of_each_part, make_sheet
from vfimamba_cli.cli.app import app
from vfimamba_cli.errors import InputError
from vfimamba_cli.train.logbook import read_validations
from vfimamba_cli.video.still import read_still

SVG = "{http://www.w3.org/2000/svg}"


def write_log(folder, *validations):
    folder.mkdir()
    entries = [{"kind": "train", "step": 1, "loss": 1.0}]
    entries += [
        {"kind": "validation", "step": step, "middle_psnr_db": psnr, "step_psnr_db": psnr + 5}
        for step, psnr in validations
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(e) + "\n" for e in entries))
    return folder


def draw(folder, *runs):
    done = CliRunner().invoke(
        app, ["runs", "curves", *map(str, runs), "-o", str(folder / "curves.svg")]
    )
    assert done.exit_code == 0, done.output
    return ET.fromstring((folder / "curves.svg").read_text())


def test_every_run_is_a_line_under_its_name_in_both_panels(tmp_path):
    runs = [
        write_log(tmp_path / "mixed", (100, 18.0), (200, 19.0), (300, 19.5)),
        write_log(tmp_path / "curriculum", (100, 18.5), (200, 19.5), (300, 20.0)),
    ]
    panels = draw(tmp_path, *runs).findall(f"{SVG}g")
    assert len(panels) == 2
    for panel in panels:
        texts = [text.text for text in panel.findall(f"{SVG}text")]
        assert {"mixed", "curriculum", "100", "200", "300"} <= set(texts)
        dots = panel.findall(f"{SVG}circle")
        assert len(dots) == 6
        mixed, curriculum = dots[:3], dots[3:]
        for lower, higher in zip(mixed, curriculum, strict=True):
            assert float(higher.get("cy")) < float(lower.get("cy")), "better is higher"
        spacing = [float(dot.get("cy")) for dot in mixed]
        assert spacing[0] - spacing[1] == pytest.approx(2 * (spacing[1] - spacing[2]), abs=0.2)


def test_runs_of_one_name_are_told_apart_and_one_that_was_killed_is_drawn(tmp_path):
    runs = []
    for parent in ("before", "after"):
        (tmp_path / parent).mkdir()
        runs.append(write_log(tmp_path / parent / "vfimamba-s", (100, 18.0)))
    with (runs[0] / "metrics.jsonl").open("a") as log:
        log.write('{"kind": "train", "st')
    for panel in draw(tmp_path, *runs).findall(f"{SVG}g"):
        texts = [text.text for text in panel.findall(f"{SVG}text")]
        assert set(map(str, runs)) <= set(texts)
        assert len(panel.findall(f"{SVG}circle")) == 2


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(17.3, 19.9, [17, 18, 19, 20]), (0, 300, [0, 100, 200, 300]), (5, 5, [5, 6])],
)
def test_marks_of_an_even_axis_are_round_and_enclose_the_values(low, high, expected):
    assert even_ticks(low, high) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No log of a run"),
        ("{}\n", "log of the run is damaged"),
        ('{"kind": "train", "step": 1}\n', "never validated"),
    ],
)
def test_a_folder_without_curves_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "metrics.jsonl").write_text(content)
    with pytest.raises(InputError, match=message) as caught:
        read_validations(tmp_path / "metrics.jsonl")
    assert message.startswith("log") or caught.value.hint


@pytest.fixture
def clips(tmp_path):
    rng = np.random.default_rng(0)
    for step in (0, 1, 4, 2):
        write_clip(tmp_path / f"{step}.mkv", panning(rng, frames=9, step=step or 1))
    return tmp_path


def test_a_sheet_shows_each_model_beside_average_and_truth(clips, tmp_path):
    path = tmp_path / "sheet.png"
    done = CliRunner().invoke(
        app,
        ["runs", "sheet", "tiny", "--data", str(clips), "--pairs", "2", "-o", str(path),
         "--device", "cpu"],
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    assert "columns: first frame, average, tiny, truth, second frame" in done.stdout
    assert "worst of tiny: row" in done.stdout
    picture = read_still(path)
    assert picture.shape == (2 * 48, 5 * 64, 3)
    made = make_sheet(["tiny"], folder=clips, pairs=2, device="cpu")
    assert np.array_equal(made.picture, picture)
    first, average, _, _, second = np.split(picture.astype(int), 5, axis=1)
    assert np.abs((first + second) / 2 - average).max() <= 0.5
    error = np.square(average[:48] - np.split(picture, 5, axis=1)[3][:48].astype(int)).mean()
    assert made.psnr["average"][0].item() == pytest.approx(10 * np.log10(255**2 / error), abs=0.01)


def test_the_hardest_pair_of_each_part_is_taken_far_apart_and_close_in_turn():
    moved = torch.zeros(6, 9, 3, 16, 16, dtype=torch.uint8)
    for clip, (far, close) in enumerate(((0, 9), (90, 0), (200, 3), (0, 40), (3, 0), (40, 99))):
        moved[clip, 4], moved[clip, 1] = far, close
    far, close = (0, 4, 8), (0, 1, 2)
    assert hardest_of_each_part(moved, 3) == [Pair(1, far), Pair(3, close), Pair(5, far)]
    assert [pair.clip for pair in hardest_of_each_part(moved, 99)] == list(range(6))
