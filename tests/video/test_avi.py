"""AVI, which numbers its pictures and has all streams start together: what fits, what does not."""

from fractions import Fraction

import av
import numpy as np
import pytest
from av.video.frame import PictureType

from tests.clips import audio_packets_hash, make_clip, read_frames
from tests.rich import CLICKS, heard_clicks, make_rich
from tests.writing import double, read
from vfimamba_cli.errors import OutputError


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("rate", [Fraction(24), Fraction(24000, 1001), Fraction(25, 2)])
@pytest.mark.parametrize("codec", ["h264", "ffv1"])
def test_a_constant_rate_is_exact_in_avi(tmp_path, suffix, rate, codec):
    source, target = tmp_path / f"in{suffix}", tmp_path / "out.avi"
    make_clip(source, frames=9, rate=rate)
    double(source, target, codec=codec, preset=None)
    info, frames = read(target)
    assert info.container == "avi"
    assert info.rate == 2 * rate
    assert info.duration_seconds == 9 / rate
    shift = frames[0].pts_seconds  # the library's guess of how far H.264 reorders
    assert [f.pts_seconds - shift for f in frames] == [i / (2 * rate) for i in range(18)]
    assert shift <= 1 / rate


def test_pictures_in_avi_are_coded_in_the_order_they_are_shown_in(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=9)
    _, writer = double(tmp_path / "in.mp4", tmp_path / "out.avi", preset="medium")
    assert writer.encoder.options["bf"] == "0"
    assert "B" not in {
        PictureType(frame.pict_type).name for frame in read_frames(tmp_path / "out.avi")
    }


@pytest.mark.parametrize(
    ("sounds", "become"),
    [
        (("aac", "libmp3lame"), ["aac", "mp3"]),
        (("ac3", "mp2"), ["ac3", "mp2"]),
        (("flac", "libopus"), ["pcm_s16le", "pcm_s16le"]),
    ],
)
def test_sound_in_avi_is_copied_or_becomes_pcm_and_stays_in_sync(tmp_path, sounds, become):
    source, target = tmp_path / "in.mkv", tmp_path / "out.avi"
    make_rich(source, tmp_path, sounds=sounds)
    _, writer = double(source, target, preset=None)
    assert [s.codec for s in read(target)[0].streams] == ["h264", *become]
    for index in range(2):
        np.testing.assert_allclose(heard_clicks(target, index), CLICKS, atol=0.012)
    if become[0] == "aac":  # but for one packet, which is there for the decoder
        (before, _), (after, _) = (audio_packets_hash(path)[0] for path in (source, target))
        assert after == before - 1
    for lost in ("subrip", "ass", "hdmv_pgs_subtitle", "chapters", "rotation", "language"):
        assert any(lost in note for note in writer.notes)


def test_sound_from_before_the_first_picture_makes_no_picture_late(tmp_path):
    make_clip(tmp_path / "in.mkv", frames=60, rate=60, audio="mp2")
    double(tmp_path / "in.mkv", tmp_path / "out.avi", codec="ffv1", preset=None)
    info, _ = read(tmp_path / "out.avi")
    assert (info.start_seconds, info.duration_seconds, info.frame_count) == (0, 1, 120)


def test_the_shape_of_pixels_is_kept_by_h264_and_said_to_go_with_ffv1(tmp_path):
    make_clip(tmp_path / "in.mp4", sar=Fraction(4, 3))
    double(tmp_path / "in.mp4", tmp_path / "h264.avi")
    assert read(tmp_path / "h264.avi")[0].sample_aspect_ratio == Fraction(4, 3)
    _, writer = double(tmp_path / "in.mp4", tmp_path / "ffv1.avi", codec="ffv1", preset=None)
    assert any("shape of the pixels, 4:3" in note for note in writer.notes)


def test_titles_stay_and_pictures_of_many_bits_are_lossless(tmp_path):
    make_clip(tmp_path / "in.mp4", pix_fmt="yuv422p10le", metadata={"title": "A film"})
    _, writer = double(tmp_path / "in.mp4", tmp_path / "out.avi", preset=None)
    assert writer.encoder.name == "ffv1"
    assert read(tmp_path / "out.avi")[0].pixel_format == "yuv422p10le"
    with av.open(str(tmp_path / "out.avi")) as container:
        assert container.metadata["title"] == "A film"


def test_avi_refuses_a_rate_that_varies_and_codecs_it_has_no_name_for(tmp_path):
    ticks = [0, 41, 83, 125, 166, 2166, 2966]
    make_clip(tmp_path / "in.mp4", frames=6, ticks=ticks, time_base=Fraction(1, 1000))
    with pytest.raises(OutputError, match="AVI holds constant rates only") as caught:
        double(tmp_path / "in.mp4", tmp_path / "out.avi")
    assert "--fps" in caught.value.hint
    make_clip(tmp_path / "even.mp4")
    for codec in ("h265", "av1", "vp9", "prores"):
        with pytest.raises(OutputError, match=r"AVI does not hold .*\.mkv"):
            double(tmp_path / "even.mp4", tmp_path / "out.avi", codec=codec, preset=None)


@pytest.mark.parametrize("late", [Fraction(-1, 2), Fraction(1, 2)])
def test_avi_refuses_sound_that_starts_at_another_time(tmp_path, late):
    make_clip(tmp_path / "even.mp4", frames=48)
    with av.open(str(tmp_path / "even.mp4")) as old, av.open(str(tmp_path / "in.mkv"), "w") as new:
        copies = {s.index: new.add_stream_from_template(s, opaque=True) for s in old.streams}
        for packet in (packet for packet in old.demux() if packet.size):
            moved = late if packet.stream.type == "audio" else Fraction(0)
            packet.pts += round((moved + 1) / packet.time_base)
            packet.dts += round((moved + 1) / packet.time_base)
            packet.stream = copies[packet.stream_index]
            new.mux(packet)
    word = "before" if late < 0 else "after"
    with pytest.raises(OutputError, match=f"0.[45]..? s {word} the pictures"):
        double(tmp_path / "in.mkv", tmp_path / "out.avi")
    assert not (tmp_path / "out.avi").exists()


def test_nut_refuses_prores_for_which_it_has_no_name(tmp_path):
    make_clip(tmp_path / "in.mp4", pix_fmt="yuv422p10le")
    with pytest.raises(OutputError, match=r"NUT does not hold prores \(\.mov, \.mkv do\)"):
        double(tmp_path / "in.mp4", tmp_path / "out.nut", codec="prores", preset=None)


def test_y4m_of_a_source_that_counts_milliseconds_has_its_rate(tmp_path):
    make_clip(tmp_path / "in.mkv", rate=Fraction(24000, 1001))
    double(tmp_path / "in.mkv", tmp_path / "out.y4m", preset=None)
    info = read(tmp_path / "out.y4m")[0]
    assert (info.rate, info.frame_count) == (Fraction(48000, 1001), 16)
