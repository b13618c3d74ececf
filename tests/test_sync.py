"""Sound and pictures of a long film stay together, and every source time is where it was."""

from fractions import Fraction
from itertools import pairwise

import av
import numpy as np
import pytest
from av.codec.context import Flags

from tests.clips import even_times, make_clip, make_picture, same_planes
from tests.stand_in import Fading
from vfimamba_cli import pipeline
from vfimamba_cli.pipeline import interpolate_video
from vfimamba_cli.pipeline.options import EngineOptions, TimeOptions
from vfimamba_cli.pipeline.plan import choose_timeline
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader

RATE = Fraction(24000, 1001)
SAMPLE_RATE = 1000
BLACK, WHITE = 16, 235
SIZE = 16
TWO_HOURS = round(7200 * RATE)
"""In frames."""


def flat(level):
    chroma = np.full((SIZE // 2, SIZE // 2), 128, np.uint8)
    return make_picture([np.full((SIZE, SIZE), level, np.uint8), chroma, chroma], "yuv420p")


def film(path, indices, flashes):
    """Frames of a film at 24000/1001: black, or white with a click. Left out ones prolong others.

    Args:
        indices: of the frames there are, from 0 on, and of the end.
        flashes: of those that are white.
    """
    options = {"video_track_timescale": str(RATE.numerator)}
    with av.open(str(path), "w", container_options=options) as container:
        video = container.add_stream(
            "libx264", RATE, options={"preset": "ultrafast", "tune": "zerolatency"}
        )
        video.width, video.height, video.pix_fmt = SIZE, SIZE, "yuv420p"
        video.codec_context.time_base = video.time_base = 1 / RATE
        video.codec_context.flags |= Flags.frame_duration
        sound = container.add_stream("pcm_u8", SAMPLE_RATE, layout="mono")
        for i, following in pairwise(indices):
            picture = flat(WHITE if i in flashes else BLACK)
            picture.pts, picture.duration, picture.time_base = i, following - i, 1 / RATE
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        samples = np.full(round(indices[-1] / RATE * SAMPLE_RATE), 128, np.uint8)
        samples[[round(i / RATE * SAMPLE_RATE) for i in flashes]] = 255
        for start in range(0, len(samples), 100_000):
            block = av.AudioFrame.from_ndarray(
                samples[None, start : start + 100_000], format="u8", layout="mono"
            )
            block.sample_rate, block.pts = SAMPLE_RATE, start
            block.time_base = Fraction(1, SAMPLE_RATE)
            container.mux(sound.encode(block))
        container.mux(sound.encode(None))


def flashes_and_clicks(path):
    """Seconds of the brightest frame of every flash, and of every click, as a file has them."""
    with av.open(str(path)) as container:
        light = [
            (int(np.frombuffer(picture.planes[0], np.uint8)[0]), picture.pts * picture.time_base)
            for picture in container.decode(video=0)
        ]
    levels = [0, *(level for level, _ in light), 0]
    flashes = [
        time
        for (level, time), before, after in zip(light, levels[:-2], levels[2:], strict=True)
        if level > (BLACK + WHITE) // 2 and before <= level > after
    ]
    clicks = []
    with av.open(str(path)) as container:
        for block in container.decode(audio=0):
            loud = np.flatnonzero(block.to_ndarray()[0] > 200)
            clicks += [block.pts * block.time_base + Fraction(int(i), SAMPLE_RATE) for i in loud]
    return flashes, clicks


@pytest.fixture
def stand_in(monkeypatch):
    monkeypatch.setattr(pipeline, "load_model", lambda _: None)
    monkeypatch.setattr(pipeline, "Interpolator", lambda *_, **__: Fading())
    monkeypatch.setattr(pipeline, "choices", lambda *_: iter(()))


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("options", [{"factor": 2}, {"factor": Fraction(5, 2)}])
def test_after_two_hours_flashes_and_clicks_are_together(tmp_path, options):
    """Frames are there around every flash only; one is black for the minutes in between."""
    flashes = range(2, TWO_HOURS, 10_000)
    indices = sorted({0, TWO_HOURS, *(i + step for i in flashes for step in (-1, 0, 1))})
    film(tmp_path / "in.mov", indices, set(flashes))
    interpolate_video(tmp_path / "in.mov", tmp_path / "out.mov", time=TimeOptions(**options))
    lit, loud = flashes_and_clicks(tmp_path / "out.mov")
    assert len(lit) == len(loud) == len(flashes)
    assert loud[-1] > 7000
    offsets = [float((light - click) * RATE) for light, click in zip(lit, loud, strict=True)]
    assert max(map(abs, offsets)) < 0.5


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("options", [{"factor": 2}, {"factor": Fraction(5, 2)}, {"fps": 60}])
@pytest.mark.parametrize(
    ("frames", "apart"),
    [(960, 50), pytest.param(TWO_HOURS, 5000, marks=pytest.mark.clips)],
    ids=["40 s", "2 h"],
)
def test_flashes_and_clicks_are_together_in_a_film_of_all_its_frames(
    tmp_path, options, frames, apart
):
    flashes = range(10, frames, apart)
    film(tmp_path / "in.mov", range(frames + 1), set(flashes))
    interpolate_video(tmp_path / "in.mov", tmp_path / "out.mov", time=TimeOptions(**options))
    lit, loud = flashes_and_clicks(tmp_path / "out.mov")
    assert len(lit) == len(loud) == len(flashes)
    offsets = [float((light - click) * RATE) for light, click in zip(lit, loud, strict=True)]
    assert max(map(abs, offsets)) < 0.5


@pytest.mark.parametrize("options", [{"factor": 2}, {"factor": Fraction(5, 2)}, {"fps": 60}])
def test_two_hours_of_frames_are_planned_without_drift(options):
    """Frames from all over two hours, their times rounded to the ticks that the file counts in."""
    timeline = choose_timeline(even_times(TWO_HOURS, RATE), TimeOptions(**options))
    timing = timeline.timing()
    for i in (*range(0, TWO_HOURS, 101), *range(TWO_HOURS - 50, TWO_HOURS)):
        span = i / RATE, (i + 1) / RATE
        for slot in (timeline.slots if i < TWO_HOURS - 1 else timeline.tail_slots)(i, *span):
            written = round(slot.pts_seconds / timing.time_base) * timing.time_base
            assert abs(written - (i + slot.t) / RATE) < Fraction(1, 100_000)
    assert slot.pts_seconds == (timing.frame_count - 1) / timing.rate
    assert abs(timing.duration_seconds - TWO_HOURS / RATE) <= 1 / (2 * timing.rate)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_every_time_of_a_variable_rate_is_there_and_its_duration(tmp_path, suffix):
    ticks = [0]
    for gap in (41, 42, 42, 41, 42, 2000, 41, 42, 41, 42, 42, 125):
        ticks.append(ticks[-1] + gap)
    millisecond = Fraction(1, 1000)
    source, target = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    make_clip(source, frames=12, size=(32, 32), ticks=ticks, time_base=millisecond)
    report = interpolate_video(source, target)
    inexact = millisecond if suffix == ".mkv" else 0
    with VideoReader(target) as reader:
        times = [frame.pts_seconds for frame in reader.frames()]
        duration = reader.info.duration_seconds
    assert len(times) == report.frames.total() == 24
    for time, tick in zip(times[::2], ticks, strict=False):
        assert abs(time - times[0] - tick * millisecond) <= inexact
    assert abs(duration - ticks[-1] * millisecond) <= inexact


@pytest.mark.parametrize(
    ("frames", "cuts"),
    [(1, ()), (2, ()), (3, ()), (7, ()), (2, (1,)), (5, (1,)), (5, (4,)), (12, (4, 8))],
)
def test_a_clip_of_any_length_begins_and_ends_as_its_source_and_mixes_no_scenes(
    tmp_path, frames, cuts
):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make_clip(source, frames=frames, size=(128, 96), cut_at=cuts)
    tiny = EngineOptions(model="tiny", device="cpu")
    report = interpolate_video(source, target, engine=tiny, writing=WriteOptions(crf=0))
    with VideoReader(source) as reader:
        old = list(reader.frames())
    with VideoReader(target) as reader:
        new = list(reader.frames())
    assert len(new) == 2 * frames
    assert [same_planes(a, b) for a, b in zip(old, new[::2], strict=True)] == [True] * frames
    assert same_planes(new[-1], old[-1])  # held, not black
    assert report.cuts == tuple(Fraction(cut, 24) for cut in cuts)
    for cut in cuts:
        assert same_planes(new[2 * cut - 1], old[cut - 1])
