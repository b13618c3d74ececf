import json
import math
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from vfimamba_cli.bench import davis7
from vfimamba_cli.bench.report import Report, Row
from vfimamba_cli.cli.app import app
from vfimamba_cli.data.davis7 import FILE, read_davis7
from vfimamba_cli.errors import InputError

DATA = Path(__file__).resolve().parents[2] / "../shared/data/val"


def run(*arguments):
    return CliRunner().invoke(app, ["bench", "--dataset", "davis7", *map(str, arguments)])


def write_clips(folder, frames):
    """Lossless RGB clips under the expected name."""
    with av.open(str(folder / FILE), "w") as container:
        stream = container.add_stream("libx264rgb", rate=25, options={"qp": "0"})
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "rgb24"
        for frame in frames:
            picture = av.VideoFrame.from_ndarray(frame, format="rgb24").reformat(format="gbrp")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


@pytest.fixture
def brightening(tmp_path):
    """Two clips whose frame i has the value 10 i and 20 i: the average is exact at the middle."""
    values = np.concatenate([step * np.arange(9) for step in (10, 20)]).astype(np.uint8)
    frames = np.broadcast_to(values[:, None, None, None], (18, 32, 48, 3))
    write_clips(tmp_path, np.ascontiguousarray(frames))
    return tmp_path


def test_the_average_scores_what_the_published_baseline_says():
    if not (DATA / FILE).is_file():
        pytest.skip(f"no DAVIS-7 clips in {DATA}")
    clips = read_davis7(davis7.find_clips(DATA))
    assert clips.shape == (355, 9, 256, 256, 3)
    found = davis7.measure(davis7.MIDDLES, lambda _: davis7.average, clips, batch=8)
    assert found == {
        "4 from 0,8": pytest.approx(17.98, abs=0.005),
        "1 from 0,2": pytest.approx(22.18, abs=0.005),
    }


def test_each_task_asks_for_its_frames_at_their_times():
    asked = {task.name: (task.timesteps, task.schedule) for task in davis7.QUARTERS}
    quarters = [Fraction(1, 4), Fraction(3, 4)]
    assert asked == {
        "2,6 from 0,8 direct": (quarters, "direct"),
        "2,6 from 0,8 halving": (quarters, "halving"),
    }
    assert [task.timesteps for task in davis7.MIDDLES] == [[Fraction(1, 2)]] * 2


def test_a_method_is_compared_with_the_frame_at_each_time(brightening):
    clips = read_davis7(davis7.find_clips(brightening))

    def linear(first, second, timesteps):
        return torch.stack([first + float(t) * (second - first) for t in timesteps])

    tasks = davis7.MIDDLES + davis7.QUARTERS
    found = davis7.measure(tasks, lambda _: linear, clips, batch=2)
    assert found == {task.name: math.inf for task in tasks}
    held = davis7.measure(tasks[2:3], lambda _: davis7.average, clips, batch=1)
    errors = [20, 20, 40, 40]  # frames 2 and 6 against frame 4, both clips
    expected = np.mean([20 * math.log10(255 / error) for error in errors])
    assert held == {tasks[2].name: pytest.approx(expected, abs=1e-4)}


def test_the_command_prints_a_row_per_method_and_writes_the_same_as_json(brightening, tmp_path):
    file = tmp_path / "out.json"
    done = run("--data", brightening, "--model", "tiny", "--device", "cpu", "--json", file)
    assert done.exit_code == 0, done.stderr
    title, head, *rows = done.stdout.splitlines()
    assert title == "davis7, 2 clips"
    assert [row.split()[0] for row in rows] == ["average", "tiny"]
    report = json.loads(file.read_text())
    average, tiny = report["rows"]
    assert list(average["psnr"]) == [task.name for task in davis7.MIDDLES]
    assert list(tiny["psnr"]) == [task.name for task in davis7.MIDDLES + davis7.QUARTERS]
    assert all(0 < value < 60 for value in tiny["psnr"].values())
    assert tiny["psnr"]["2,6 from 0,8 direct"] != tiny["psnr"]["2,6 from 0,8 halving"]
    assert f"{tiny['psnr']['4 from 0,8']:.2f}" in rows[1]
    assert tiny["settings"]["device"] == "cpu"
    assert all(task.name in head for task in davis7.QUARTERS)


def test_limit_takes_the_first_clips(brightening):
    assert run("--data", brightening, "--model", "tiny", "--limit", 1).stdout.startswith(
        "davis7, 1 clips"
    )


@pytest.mark.parametrize("given", ["nothing", "an empty folder", "an empty VFIMAMBA_DATA"])
def test_without_the_clips_the_error_says_what_is_expected_and_where_from(
    tmp_path, monkeypatch, given
):
    monkeypatch.delenv("VFIMAMBA_DATA", raising=False)
    if given == "an empty VFIMAMBA_DATA":
        monkeypatch.setenv("VFIMAMBA_DATA", str(tmp_path))
    done = run("--data", tmp_path) if given == "an empty folder" else run()
    assert done.exit_code == 3
    assert "error: No DAVIS-7 clips" in done.stderr
    assert "hint: Expected DIR/vidim_davis7.mp4: 355 clips of 9 frames" in done.stderr
    assert "vidim-interpolation.github.io" in done.stderr


def test_vfimamba_data_names_the_folder_of_all_datasets(tmp_path, monkeypatch):
    monkeypatch.setenv("VFIMAMBA_DATA", str(tmp_path))
    (tmp_path / "davis7").mkdir()
    (tmp_path / "davis7" / FILE).touch()
    assert davis7.find_clips(None) == tmp_path / "davis7" / FILE


def test_a_file_of_broken_clips_is_refused(tmp_path):
    write_clips(tmp_path, np.zeros((10, 32, 32, 3), np.uint8))
    with pytest.raises(InputError, match="10 frames, no multiple of 9"):
        read_davis7(tmp_path / FILE)


def test_an_unknown_model_fails_before_anything_is_decoded(tmp_path):
    (tmp_path / FILE).touch()
    done = run("--data", tmp_path, "--model", "nothing")
    assert done.exit_code == 5
    assert "Unknown model: nothing" in done.stderr


def test_numbers_that_cannot_be_written_are_an_output_error(brightening, tmp_path):
    done = run("--data", brightening, "--model", "tiny", "--limit", 1, "--json", tmp_path)
    assert done.exit_code == 4
    assert f"Cannot write: Is a directory: {tmp_path}" in done.stderr


def test_a_task_that_does_not_apply_is_a_dash_in_the_table():
    rows = (Row(method="a", psnr={"x": 20.0}), Row(method="b", psnr={"x": 21.456, "y": 9.0}))
    assert Report(dataset="d", clips=3, rows=rows).table().splitlines() == [
        "d, 3 clips",
        "PSNR in dB  x      y     settings",
        "a           20.00  -",
        "b           21.46  9.00",
    ]
