"""GIF and APNG: as many pictures, for as long, in colors close to the source's."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.clips import make_clip
from tests.lossless import color_of, scene, write_lossless
from vfimamba_cli.errors import OutputError
from vfimamba_cli.pipeline import interpolate_video
from vfimamba_cli.pipeline.options import EngineOptions, TimeOptions
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.webp import frame_durations, verify_webp

ENGINE = EngineOptions(model="tiny", device="cpu")


def colors(path):
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.mark.parametrize(("suffix", "error"), [(".gif", 6), (".apng", 4)])
def test_an_animation_has_the_pictures_of_the_source_in_close_colors(tmp_path, suffix, error):
    source, target = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    make_clip(source, frames=4, size=(64, 48), rate=25, audio=False)
    interpolate_video(source, target, engine=ENGINE)
    before, after = colors(source), colors(target)
    assert len(after) == 8
    for old, new in zip(before, after[::2], strict=True):
        assert np.abs(old.astype(int) - new).mean() < error
    with av.open(str(target)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    tick = packets[0].time_base
    assert [packet.pts * tick for packet in packets] == [Fraction(2 * i, 100) for i in range(8)]
    assert packets[-1].duration * tick == pytest.approx(0.02)


def test_a_gif_keeps_a_variable_rate(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=3, rate=25, ticks=[0, 1, 4, 6], audio=False)
    interpolate_video(tmp_path / "in.mp4", tmp_path / "out.gif", engine=ENGINE)
    with av.open(str(tmp_path / "out.gif")) as container:
        times = [packet.pts for packet in container.demux(video=0) if packet.size]
    assert times == [0, 2, 4, 10, 16, 20]


def test_a_gif_comes_out_of_a_gif_with_what_is_transparent(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, rate=10, audio=False)
    interpolate_video(tmp_path / "in.mp4", tmp_path / "in.gif", engine=ENGINE)
    report = interpolate_video(
        tmp_path / "in.gif",
        tmp_path / "out.gif",
        engine=ENGINE,
        time=TimeOptions(factor=2),
        writing=WriteOptions(overwrite=True),
    )
    assert report.frames.total() == len(colors(tmp_path / "out.gif")) == 8


def test_a_gif_too_fast_for_players_is_refused_and_a_slower_one_is_not(tmp_path):
    source, target = tmp_path / "in.mp4", tmp_path / "out.gif"
    make_clip(source, frames=3, rate=30, size=(64, 48), audio=False)
    with pytest.raises(OutputError, match="keep up with 50 frames per second, not with 60") as said:
        interpolate_video(source, target, engine=ENGINE)
    assert "--fps 50" in said.value.hint
    interpolate_video(source, target, engine=ENGINE, time=TimeOptions(fps=50))
    assert len(colors(target)) == 5


def test_sound_and_colors_that_an_animation_has_no_place_for_are_said(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, size=(64, 48))
    said = []
    interpolate_video(
        tmp_path / "in.mp4", tmp_path / "out.gif", engine=ENGINE, announce=said.append
    )
    assert any("(aac) is dropped: GIF cannot hold it" in line for line in said)
    assert any("Each picture keeps 256 colors" in line for line in said)


@pytest.mark.parametrize("rate", [25, Fraction(30000, 1001)])
def test_a_webp_has_all_its_frames_and_their_times(tmp_path, rate):
    make_clip(tmp_path / "in.mp4", frames=4, rate=rate)
    interpolate_video(tmp_path / "in.mp4", tmp_path / "out.webp", engine=ENGINE)
    durations = list(frame_durations((tmp_path / "out.webp").read_bytes()))
    assert len(durations) == 7  # the last one is held, and stored once
    assert float(sum(durations)) == pytest.approx(4 / float(rate), abs=0.002)


def test_a_webp_in_which_nothing_changes_is_refused(tmp_path):
    write_lossless(tmp_path / "in.mkv", [scene(color_of("yuv420p"), 64, 48)] * 3)
    with pytest.raises(OutputError, match="All 6 pictures are the same") as said:
        interpolate_video(tmp_path / "in.mkv", tmp_path / "out.webp", engine=ENGINE)
    assert ".apng" in said.value.hint
    assert [path.name for path in tmp_path.iterdir()] == ["in.mkv"]


def test_a_webp_that_is_shorter_than_planned_is_noticed(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, rate=25)
    interpolate_video(tmp_path / "in.mp4", tmp_path / "out.webp", engine=ENGINE)
    verify_webp(tmp_path / "out.webp", frame_count=4, duration_seconds=Fraction(2, 25))
    with pytest.raises(OutputError, match=r"has 3 frames of 0.08 s in all instead of 5 of 0.1 s"):
        verify_webp(tmp_path / "out.webp", frame_count=5, duration_seconds=Fraction(1, 10))


def test_soft_edges_that_a_gif_cannot_hold_are_said_and_refused_when_strict(tmp_path):
    source, target = tmp_path / "in.apng", tmp_path / "out.gif"
    with av.open(str(source), "w", format="apng") as container:
        stream = container.add_stream("apng", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "rgba"
        for i in range(2):
            picture = np.full((48, 64, 4), 60 * i + 40, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgba")))
        container.mux(stream.encode())
    said = []
    interpolate_video(source, target, engine=ENGINE, announce=said.append)
    assert any("partly transparent" in line for line in said)
    with pytest.raises(OutputError, match="partly transparent"):
        strict = WriteOptions(strict=True, overwrite=True)
        interpolate_video(source, target, engine=ENGINE, writing=strict)
    said.clear()
    interpolate_video(target, tmp_path / "again.gif", engine=ENGINE, announce=said.append)
    assert not any("partly transparent" in line or "256 colors" in line for line in said)
