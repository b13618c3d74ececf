"""A clip in, a smoother clip out: counts, times, sound, cuts, statics, and what goes wrong."""

import threading
from collections import Counter
from dataclasses import replace
from fractions import Fraction
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from tests.clips import audio_packets_hash, make_clip, read_frames
from tests.making import maker
from tests.video.test_parts import woven
from tests.writing import read
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.errors import InputError, OptionError, OutputError
from vfimamba_cli.pipeline import discard_frames, interpolate_video, look_singly, pump
from vfimamba_cli.pipeline.describe import describe_plan
from vfimamba_cli.pipeline.job import default_output
from vfimamba_cli.pipeline.options import EngineOptions, PictureOptions, TimeOptions
from vfimamba_cli.pipeline.report import Report, Watch
from vfimamba_cli.video.options import WriteOptions

TINY_CPU = EngineOptions(model="tiny", device="cpu")


@pytest.mark.parametrize(
    ("count", "size", "rate", "factor"),
    [
        (5, (64, 48), Fraction(24), 2),
        (4, (70, 50), Fraction(24000, 1001), 3),
        (1, (64, 48), Fraction(25), 2),
        (2, (64, 48), Fraction(30000, 1001), 4),
    ],
)
def test_n_frames_become_n_times_factor_over_the_same_time(tmp_path, count, size, rate, factor):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    make_clip(source, frames=count, size=size, rate=rate)
    report = interpolate_video(source, target, time=TimeOptions(factor=factor), engine=TINY_CPU)
    before, old = read(source)
    after, new = read(target)
    assert len(new) == count * factor == report.frames.total()
    assert after.duration_seconds == before.duration_seconds
    assert [f.pts_seconds for f in new[::factor]] == [f.pts_seconds for f in old]
    gap = old[0].duration_seconds / factor
    assert [f.pts_seconds - old[0].pts_seconds for f in new] == [i * gap for i in range(len(new))]
    assert audio_packets_hash(target) == audio_packets_hash(source)
    assert after.pixel_format == before.pixel_format
    assert after.color.tags == before.color.tags


def test_source_frames_reach_the_encoder_untouched_and_the_last_is_held(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=4, size=(64, 48))
    _, source = read(tmp_path / "in.mp4")
    made = list(maker(2).frames(look_singly(source)))
    for i, frame in enumerate(source):
        assert all(a is b for a, b in zip(made[2 * i].planes, frame.planes, strict=True))
    assert made[-1].planes is source[-1].planes
    assert any((a != b).any() for a, b in zip(made[1].planes, source[0].planes, strict=True))


def test_nothing_is_made_across_a_cut(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=6, size=(96, 64), cut_at=3)
    _, source = read(tmp_path / "in.mp4")
    frame_maker = maker(4)
    made = list(frame_maker.frames(look_singly(source)))
    assert all(frame.planes is source[2].planes for frame in made[8:12])
    assert frame_maker.count == Counter(source=6, made=12, held=6)


@pytest.mark.parametrize(
    ("cut", "shown"),
    [("hold", "AAAA"), ("nearest", "AABB"), ("blend", "Axyz"), ("off", "Amno")],
)
def test_what_is_shown_between_two_scenes_can_be_chosen(tmp_path, cut, shown):
    make_clip(tmp_path / "in.mp4", frames=6, size=(96, 64), cut_at=3)
    _, source = read(tmp_path / "in.mp4")
    frame_maker = maker(4)
    frame_maker.cut = "hold" if cut == "off" else cut
    looked_at = list(look_singly(source))
    if cut == "off":
        looked_at[3] = replace(looked_at[3], change="motion")
    made = list(frame_maker.frames(looked_at))[8:12]
    for frame, what in zip(made, shown, strict=True):
        assert (frame.planes is source[2].planes) == (what == "A")
        assert (frame.planes is source[3].planes) == (what == "B")
    if cut == "blend":
        a, b = (source[i].planes[0].astype(float) for i in (2, 3))
        for i, frame in enumerate(made):
            expected = a * (1 - i / 4) + b * i / 4
            assert np.abs(frame.planes[0] - expected).max() < 2.5
        assert frame_maker.count["blended"] == 3


def test_cuts_are_listed_and_a_list_is_obeyed(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=6, size=(96, 64), cut_at=3)
    paths, cuts = (tmp_path / "in.mp4", tmp_path / "out.mp4"), tmp_path / "cuts.txt"
    said = []
    report = interpolate_video(
        *paths, pictures=PictureOptions(write_cuts=cuts), engine=TINY_CPU, announce=said.append
    )
    assert report.cuts == (Fraction(3, 24),)
    assert "cuts: 1, at 0.125 s" in said
    assert cuts.read_text().splitlines()[1:] == ["0.125000"]
    cuts.write_text("0.04\n0.17\n1:30  # after the end\n")
    (tmp_path / "out.mp4").unlink()
    report = interpolate_video(
        *paths, pictures=PictureOptions(cuts=cuts), engine=TINY_CPU, announce=said.append
    )
    assert said[-1] == "cuts: 2 of the 3 listed, at 0.042, 0.167 s"
    assert report.cuts == (Fraction(1, 24), Fraction(4, 24))
    assert report.frames == Counter(source=6, made=3, held=3)


def test_a_list_of_cuts_is_not_replaced_unasked(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, size=(64, 48))
    (tmp_path / "cuts.txt").write_text("precious")
    pictures = PictureOptions(write_cuts=tmp_path / "cuts.txt")
    with pytest.raises(OutputError, match="exists already"):
        interpolate_video(tmp_path / "in.mp4", tmp_path / "out.mp4", pictures=pictures)
    assert (tmp_path / "cuts.txt").read_text() == "precious"


def converted(tmp_path, *, pictures=PictureOptions(), frames=24, **time):
    """A clip of 24 fps after its way through the pipeline: what is known of it, and its frames."""
    make_clip(tmp_path / "in.mp4", frames=frames, size=(64, 48), audio=False)
    options = {"time": TimeOptions(**time), "pictures": pictures, "engine": TINY_CPU}
    interpolate_video(tmp_path / "in.mp4", tmp_path / "out.mp4", **options)
    return read(tmp_path / "out.mp4")


def test_a_constant_rate_replaces_that_of_the_source(tmp_path):
    info, frames = converted(tmp_path, frames=5, fps=Fraction(60000, 1001))
    assert [f.pts_seconds for f in frames] == [i * Fraction(1001, 60000) for i in range(12)]
    assert info.duration_seconds == 12 * Fraction(1001, 60000)


def test_a_lower_rate_takes_source_frames_where_it_meets_them(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=6, size=(64, 48), audio=False)
    report = interpolate_video(
        tmp_path / "in.mp4", tmp_path / "out.mp4", time=TimeOptions(fps=12), engine=TINY_CPU
    )
    assert report.frames == Counter(source=3)
    assert "6 -> 3 frames (3 source)" in report.summary()


def test_slow_motion_lasts_longer_at_the_rate_of_the_source(tmp_path):
    info, frames = converted(tmp_path, frames=4, slowmo=Fraction(5, 2))
    assert [f.pts_seconds for f in frames] == [Fraction(i, 24) for i in range(10)]
    assert info.duration_seconds == Fraction(5, 2) * Fraction(4, 24)


def test_slow_motion_at_a_rate_of_its_own(tmp_path):
    info, frames = converted(tmp_path, frames=4, slowmo=3, fps=30)
    assert len(frames) == 15
    assert info.duration_seconds == Fraction(1, 2)


def test_only_the_frames_from_start_to_end_are_written(tmp_path):
    info, frames = converted(tmp_path, start_seconds=Fraction(1, 4), end_seconds=Fraction(1, 2))
    assert [f.pts_seconds for f in frames] == [Fraction(i, 48) for i in range(12)]
    assert info.duration_seconds == Fraction(1, 4)


def test_without_the_tail_the_video_ends_with_the_last_source_frame(tmp_path):
    info, frames = converted(tmp_path, frames=4, tail="drop")
    assert len(frames) == 7
    assert info.duration_seconds == Fraction(7, 48)


def test_an_interlaced_video_is_refused_unless_it_is_to_be_made_whole(tmp_path):
    woven(tmp_path / "in.mp4", 3)
    paths = tmp_path / "in.mp4", tmp_path / "out.mp4"
    with pytest.raises(InputError, match=r"interlaced.*in\.mp4") as caught:
        interpolate_video(*paths, engine=TINY_CPU)
    assert "--deinterlace" in caught.value.hint
    interpolate_video(*paths, engine=TINY_CPU, pictures=PictureOptions(deinterlace=True))
    info, frames = read(tmp_path / "out.mp4")
    assert len(frames) == 6
    assert not info.interlaced


def test_what_was_chosen_is_announced(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, size=(64, 48))
    said = []
    interpolate_video(
        tmp_path / "in.mp4", tmp_path / "out.mp4", engine=TINY_CPU, announce=said.append
    )
    text = "\n".join(said)
    for choice in (
        "tiny",
        "float32 on cpu",
        "scan cpu",
        "found at 1 of 64x48",
        "libx264",
        "crf 16",
    ):
        assert choice in text


def test_the_output_is_named_after_its_rate_by_default(tmp_path):
    make_clip(tmp_path / "a b.mp4", frames=2, size=(64, 48), rate=Fraction(24000, 1001))
    report = interpolate_video(tmp_path / "a b.mp4", engine=TINY_CPU)
    assert report.output == tmp_path / "a b.47.952fps.mp4"
    assert len(read_frames(report.output)) == 4


def test_a_container_that_is_not_written_becomes_matroska_by_default(tmp_path):
    rate = Fraction(50)
    assert default_output(tmp_path / "a.avi", rate) == tmp_path / "a.50fps.mkv"
    assert default_output(tmp_path / "a.MOV", rate) == tmp_path / "a.50fps.MOV"


@pytest.mark.parametrize("options", [{"codec": "h246"}, {"codec": "ffv1"}])
def test_how_to_write_is_checked_before_any_model_is_loaded(tmp_path, monkeypatch, options):
    make_clip(tmp_path / "in.mp4", frames=2, size=(64, 48))
    monkeypatch.setattr("vfimamba_cli.pipeline.load_model", lambda _: pytest.fail("loaded"))
    with pytest.raises((OptionError, OutputError)):
        interpolate_video(
            tmp_path / "in.mp4", tmp_path / "out.mp4", writing=WriteOptions(**options)
        )


def test_times_that_matroska_cannot_tell_apart_are_refused_before_any_model_is_loaded(
    tmp_path, monkeypatch
):
    source, ticks = tmp_path / "in.mkv", [0, 42, 83, 84, 125, 167]
    make_clip(source, frames=5, ticks=ticks, time_base=Fraction(1, 1000), audio=False)
    monkeypatch.setattr("vfimamba_cli.pipeline.load_model", lambda _: pytest.fail("loaded"))
    with pytest.raises(OutputError, match=r"frame at 0.0835 s, which lasts 0.5 ms") as caught:
        interpolate_video(source, tmp_path / "out.mkv", engine=TINY_CPU)
    assert ".mp4 or .nut" in caught.value.hint
    assert describe_plan(source, tmp_path / "out.nut")
    assert describe_plan(source, tmp_path / "out.mkv", time=TimeOptions(slowmo=2))


@pytest.mark.parametrize("tail", ["hold", "drop"])
def test_a_last_frame_that_matroska_cannot_hold_is_refused_ahead_and_none_else(tmp_path, tail):
    source, target, time = tmp_path / "in.mp4", tmp_path / "out.mkv", TimeOptions(tail=tail)
    for last, fits in ((1, False), (2, True)):
        ticks = [0, 42, 84, 84 + last]
        make_clip(source, frames=3, ticks=ticks, time_base=Fraction(1, 1000), audio=False)
        if fits:
            interpolate_video(source, target, engine=TINY_CPU, time=time)
        else:
            with pytest.raises(OutputError, match=r"frame at 0.084 s, which lasts 0.5 ms"):
                describe_plan(source, target, time=time)
    assert len(read(target)[1]) == {"hold": 6, "drop": 5}[tail]


def test_the_output_is_looked_at_before_any_model_is_loaded(tmp_path, monkeypatch):
    make_clip(tmp_path / "in.mp4", frames=2, size=(64, 48))
    monkeypatch.setattr("vfimamba_cli.pipeline.load_model", lambda _: pytest.fail("loaded"))
    with pytest.raises(OutputError, match="does not exist"):
        interpolate_video(tmp_path / "in.mp4", tmp_path / "nowhere" / "out.mp4")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 0}, "must be more than 1, got 0"),
        ({"fps": 0}, "must be positive, got 0"),
        ({"fps": 60, "factor": 2}, "exclude each other"),
        ({"slowmo": Fraction(1, 2)}, "must be more than 1, got 1/2"),
        ({"start_seconds": 3, "end_seconds": 2}, "between 3 s and 2 s"),
        ({"start_seconds": -1}, "between -1 s and the end"),
    ],
)
def test_a_rate_that_makes_no_sense_is_refused(options, message):
    with pytest.raises(OptionError, match=message):
        TimeOptions(**options)


@pytest.mark.parametrize(
    ("decode", "encode", "engine", "limit"),
    [
        (0.1, 0.2, 5, "engine"),
        (4, 1, 5, "decode"),
        (1, 4, 5, "encode"),
        (0.4, 0.6, 9.4, "encode"),
        (0.4, 0.6, 9.8, "engine"),  # its device did not wait
    ],
)
def test_the_stage_that_the_engine_waits_for_is_named(decode, encode, engine, limit):
    report = Report(
        output=Path("out.mp4"),
        info=SimpleNamespace(rate=Fraction(25)),
        rate=Fraction(50),
        source_frames=5,
        frames=Counter(source=5, made=4, held=1),
        seconds=10.0,
        engine_seconds=engine,
        waits={"decode": decode, "encode": encode},
    )
    assert report.limit == limit
    rates = f"1.00 frames/s, of them 0.40 made, which the engine alone makes at {4 / engine:.2f}"
    assert rates in report.summary()
    assert report.summary().endswith(f"limited by {limit}")


def test_only_the_time_until_an_item_is_there_counts_as_waiting(monkeypatch):
    clock = [0.0]
    monkeypatch.setattr("time.perf_counter", lambda: clock[0])

    def slow():
        for i in range(3):
            clock[0] += 2
            yield i

    watch = Watch()
    for _ in watch.timed(slow(), "decode"):
        clock[0] += 10
    with pytest.raises(OSError, match="full"), watch.waiting("encode"):
        clock[0] += 1
        raise OSError("full")
    watch.all_made()
    clock[0] += 5  # the encoder still has frames
    report = watch.report(maker(2), SimpleNamespace(rate=Fraction(25)), Fraction(50))
    assert report.waits == {"decode": 6, "encode": 1 + 5}
    assert report.seconds == 37 + 5


def test_frames_to_discard_are_made_and_written_nowhere(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=5, size=(64, 48))
    for limit, frames in ((None, 5), (3, 3)):
        report = discard_frames(tmp_path / "in.mp4", maker(2).engine, limit=limit)
        assert report.frames == Counter(source=frames, made=frames - 1, held=1)
        assert 0 < report.engine_seconds < report.seconds
        assert report.summary().startswith(f"discarded: {frames} -> {2 * frames} frames")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_when_the_network_fails_half_way_nothing_is_left(tmp_path, monkeypatch):
    make_clip(tmp_path / "in.mp4", frames=6, size=(64, 48))
    between, calls = Interpolator.between, []

    def failing(*arguments):
        calls.append(1)
        if len(calls) == 3:
            raise RuntimeError("the device fell off")
        return between(*arguments)

    monkeypatch.setattr(Interpolator, "between", failing)
    with pytest.raises(RuntimeError, match="fell off"):
        interpolate_video(tmp_path / "in.mp4", tmp_path / "out.mp4", engine=TINY_CPU)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


class Passing:
    """Makes no frames."""

    def frames(self, shown):
        yield from shown


def test_when_writing_fails_nothing_goes_on_reading():
    def write(_):
        raise OutputError("No space left on device")

    with pytest.raises(OutputError) as caught:
        pump(count(), lambda frames: frames, Passing(), write, lambda: None)
    assert caught.value  # which keeps what was being done from being collected
    assert [thread.name for thread in threading.enumerate() if thread.name == "prefetch"] == []


@pytest.mark.parametrize("option", ["cuts", "write_cuts"])
def test_a_list_of_cuts_that_are_not_to_be_looked_for_is_refused(option):
    with pytest.raises(OptionError, match="--cut off"):
        PictureOptions(cut="off", **{option: Path("cuts.txt")})
