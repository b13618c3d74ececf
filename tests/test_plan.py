"""What is said beforehand is what comes out, and anything else is an error."""

from fractions import Fraction

import pytest

from tests.clips import make_clip
from tests.video.test_parts import woven
from vfimamba_cli.errors import InputError, OutputError
from vfimamba_cli.pipeline import interpolate_video
from vfimamba_cli.pipeline.describe import describe_plan, describe_video
from vfimamba_cli.pipeline.frames import FrameMaker
from vfimamba_cli.pipeline.options import EngineOptions, TimeOptions
from vfimamba_cli.video.reader import VideoReader

TINY_CPU = EngineOptions(model="tiny", device="cpu")


@pytest.mark.parametrize(
    ("options", "frames", "duration", "rate"),
    [
        ({}, 10, "0.208", "24 fps -> 48 fps"),
        ({"factor": Fraction(5, 2)}, 13, "0.208", "24 fps -> 60 fps, variable"),
        ({"fps": Fraction(30000, 1001)}, 6, "0.200", "24 fps -> 30000/1001 (29.97) fps"),
        ({"slowmo": 2}, 10, "0.417", "24 fps -> 24 fps"),
        ({"tail": "drop"}, 9, "0.188", "24 fps -> 48 fps"),
        ({"start_seconds": Fraction(1, 10)}, 4, "0.083", "24 fps -> 48 fps"),
    ],
)
def test_the_plan_is_what_comes_out(tmp_path, options, frames, duration, rate):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make_clip(source, frames=5, size=(64, 48), audio=False)
    time = TimeOptions(**options)
    plan = describe_plan(source, target, time=time)
    assert not target.exists()
    assert any(line.endswith(f"-> {frames} frames") for line in plan)
    assert any(line.endswith(f"-> {duration} s") for line in plan)
    assert f"rate: {rate}" in plan
    interpolate_video(source, target, time=time, engine=TINY_CPU)
    with VideoReader(target) as reader:
        assert len(list(reader.frames())) == frames
        assert f"{float(reader.info.duration_seconds):.3f}" == duration


@pytest.mark.parametrize("lost", [0, -1])
def test_a_frame_that_was_planned_and_not_made_is_an_error(tmp_path, monkeypatch, lost):
    make_clip(tmp_path / "in.mp4", frames=5, size=(64, 48))
    frames = FrameMaker.frames

    def without_one(self, source):
        made = list(frames(self, source))
        del made[lost]
        return iter(made)

    monkeypatch.setattr(FrameMaker, "frames", without_one)
    with pytest.raises(OutputError, match="9 frames were made instead of 10"):
        interpolate_video(tmp_path / "in.mp4", tmp_path / "out.mp4", engine=TINY_CPU)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_plan_is_refused_as_the_run_would_be(tmp_path):
    woven(tmp_path / "in.mp4", 3)
    with pytest.raises(InputError, match="interlaced"):
        describe_plan(tmp_path / "in.mp4", tmp_path / "out.mp4")
    make_clip(tmp_path / "there.mp4", frames=2)
    with pytest.raises(OutputError, match="exists already"):
        describe_plan(tmp_path / "there.mp4", tmp_path / "in.mp4")


def test_what_is_seen_of_a_video_is_said(tmp_path):
    ticks = [0, 41, 83, 2083, 2124]
    make_clip(
        tmp_path / "in.mp4", frames=4, ticks=ticks, time_base=Fraction(1, 1000), sar=Fraction(4, 3)
    )
    text = "\n".join(describe_video(tmp_path / "in.mp4"))
    for seen in (
        "in.mp4: mov,mp4",
        "2.124 s from 0.000 s, 4 frames, 1.88324 fps, variable",
        "64x48, yuv420p, pixels 4:3",
        "bt601, limited range, 8 bits, 4:2:0, chroma left; primaries 6, transfer 6",
        "stream 0: audio, aac (deu)",
        "stream 1: video, h264",
        "4 frames -> 8 frames",
        "stream 0: audio, aac (deu): copied",
    ):
        assert seen in text


def test_what_an_interlaced_video_needs_is_said(tmp_path):
    woven(tmp_path / "in.mp4", 3)
    lines = describe_video(tmp_path / "in.mp4")
    assert any(line.endswith(", interlaced") for line in lines)
    assert "interpolate --deinterlace:" in lines


def test_tags_that_the_file_leaves_open_are_called_assumed(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, tags={})
    assert any(
        line.endswith("assumed: matrix, range") for line in describe_video(tmp_path / "in.mp4")
    )
