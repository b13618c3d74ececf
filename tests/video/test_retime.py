"""Sound, subtitles and chapters where the output is slower than the source, or a part of it."""

from dataclasses import replace
from fractions import Fraction

import av
import numpy as np
import pytest

from tests.clips import audio_packets_hash
from tests.rich import CLICKS, LINES, heard_clicks, lines_of, make_rich
from tests.video.test_streams import chapters, kinds, packets_of, plain
from tests.writing import read
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.sound import tempo_steps
from vfimamba_cli.video.timeline import MultiplyRate, TimeMap
from vfimamba_cli.video.writer import VideoWriter

CLICK_SECONDS = 0.01
ERROR = 0.016
"""Seconds by which the middle of a stretched click may be off, times how much it is stretched."""


@pytest.fixture(scope="module")
def rich(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rich")
    make_rich(folder / "in.mkv", folder)
    return folder / "in.mkv"


def write(source, target, time_map, **options):
    """Every frame of `source` that is kept, at its time in the output."""
    start, end = time_map.start_seconds, time_map.end_seconds
    with VideoReader(source, start_seconds=start, end_seconds=end) as reader:
        timing = MultiplyRate(Fraction(1), reader.info.times(time_map)).timing()
        writer = VideoWriter(
            target,
            info=reader.info,
            timing=replace(timing, time_map=time_map),
            options=WriteOptions(preset="ultrafast", **options),
        )
        with writer:
            for frame in reader.frames():
                duration = frame.duration_seconds * time_map.scale
                writer.write(frame.at(time_map(frame.pts_seconds), duration))
    return writer


@pytest.mark.parametrize("scale", [Fraction(2), Fraction(5, 2), Fraction(5)])
@pytest.mark.parametrize("suffix", [".mkv", ".mp4"])
def test_slower_sound_text_and_chapters_stay_with_the_pictures(rich, tmp_path, scale, suffix):
    target = tmp_path / f"out{suffix}"
    write(rich, target, TimeMap(scale=scale))
    factor = float(scale)
    duration = read(rich)[0].duration_seconds * scale
    assert abs(read(target)[0].duration_seconds - duration) <= Fraction(1, 1000)
    middles = factor * (np.array(CLICKS) + CLICK_SECONDS / 2)
    for index in range(2):
        np.testing.assert_allclose(loud_middles(target, index), middles, atol=ERROR * factor)
    found, expected = plain(lines_of(target)), plain(lines_of(rich))
    assert [words for *_, words in found] == [words for *_, words in expected]
    times = [[start, end] for start, end, _ in expected]
    np.testing.assert_allclose([line[:2] for line in found], np.array(times) * factor, atol=0.001)
    assert chapters(target) == [(0, factor, "One"), (factor, 2 * factor, "Two")]


def loud_middles(path, index):
    """The middle of each loud part of a file's `index`-th sound, in seconds."""
    with av.open(str(path)) as container:
        parts = [
            (frame.time + np.arange(frame.samples) / frame.sample_rate, frame.to_ndarray()[0])
            for frame in container.decode(audio=index)
        ]
    times, samples = (np.concatenate(values) for values in zip(*parts, strict=True))
    energy = samples.astype(float) ** 2
    loud = np.flatnonzero(energy > 0.01 * energy.max())
    groups = np.split(loud, np.flatnonzero(np.diff(times[loud]) > 0.4) + 1)
    return [np.average(times[group], weights=energy[group]) for group in groups]


def test_stretched_sound_keeps_its_codec_and_says_nothing_is_lost(rich, tmp_path):
    writer = write(rich, tmp_path / "out.mkv", TimeMap(scale=Fraction(2)), strict=True)
    assert writer.notes == []
    assert kinds(tmp_path / "out.mkv") == kinds(rich)


def test_sound_is_left_out_when_told(rich, tmp_path):
    write(rich, tmp_path / "out.mkv", TimeMap(scale=Fraction(2)), audio="drop", strict=True)
    assert "audio" not in [kind for kind, _ in kinds(tmp_path / "out.mkv")]
    assert "subtitle" in [kind for kind, _ in kinds(tmp_path / "out.mkv")]


def test_a_part_has_the_sound_text_and_chapters_of_that_part(rich, tmp_path):
    target = tmp_path / "out.mkv"
    write(rich, target, TimeMap(start_seconds=Fraction(1, 2), end_seconds=Fraction(3, 2)))
    assert abs(read(target)[0].duration_seconds - 1) <= Fraction(1, 24)
    for index in range(2):
        np.testing.assert_allclose(heard_clicks(target, index), [0.5], atol=0.003)
    assert [line[:2] for line in lines_of(target)] == [(0, 0.3), (0.6, 1)]
    assert [line[:2] for line in lines_of(target, 1)] == [(0, 0.7)]
    assert chapters(target) == [(0, 0.5, "One"), (0.5, 1, "Two")]
    pictures = [found for found in packets_of(target, "subtitle") if found[3] == LINES_OF_PGS[1]]
    assert [pts for _, pts, *_ in pictures] == [900]


LINES_OF_PGS = [data for *_, data in LINES["hdmv_pgs_subtitle"]]


def test_sound_of_a_part_is_copied_not_encoded_anew(rich, tmp_path):
    target = tmp_path / "out.mkv"
    write(rich, target, TimeMap(end_seconds=Fraction(1)))
    before = {data for *_, data in packets_of(rich, "audio")}
    after = [data for *_, data in packets_of(target, "audio")]
    assert set(after) < before
    assert all(count > 0 for count, _ in audio_packets_hash(target))


@pytest.mark.parametrize("tempo", [Fraction(1), Fraction(1, 2), Fraction(1, 5), Fraction(2, 3)])
def test_a_tempo_is_the_product_of_what_one_filter_can_do(tempo):
    steps = tempo_steps(tempo)
    assert np.prod([float(step) for step in steps]) == pytest.approx(float(tempo))
    assert all(step >= Fraction(1, 2) for step in steps)
    assert tempo != 1 or steps == []
