from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from tests.clips import audio_packets_hash, make_clip
from tests.writing import double, read, unchanged
from vfimamba_cli.errors import InputError, OutputError
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.writer import VideoWriter

REAL = Path(__file__).resolve().parents[2] / "../shared/data/test"


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".m4v"])
@pytest.mark.parametrize("factor", [2, 3])
def test_times_and_duration_are_those_that_were_written(tmp_path, suffix, factor):
    source, target = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    make_clip(source, frames=7, rate=Fraction(24000, 1001))
    times, _ = double(source, target, factor=factor)
    before, _ = read(source)
    after, frames = read(target)
    inexact = Fraction(1, 1000) if suffix == ".mkv" else 0
    shift = frames[0].pts_seconds - times[0]
    written = [frame.pts_seconds - shift for frame in frames]
    assert max(abs(a - b) for a, b in zip(written, times, strict=True)) <= inexact
    assert abs(after.duration_seconds - before.duration_seconds) <= inexact
    assert float(after.rate) == pytest.approx(float(before.rate) * factor, rel=1e-5)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_variable_rate_survives_with_its_last_duration(tmp_path, suffix):
    source, target = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    ticks = [0, 41, 83, 125, 166, 2166, 2966]
    make_clip(source, frames=6, ticks=ticks, time_base=Fraction(1, 1000))
    times, _ = double(source, target, preset="medium")
    info, frames = read(target)
    inexact = Fraction(1, 1000) if suffix == ".mkv" else 0
    shift = frames[0].pts_seconds
    written = [frame.pts_seconds - shift for frame in frames]
    assert max(abs(a - b) for a, b in zip(written, times, strict=True)) <= inexact
    assert abs(info.duration_seconds - Fraction(2966, 1000)) <= inexact


def test_a_start_later_than_zero_is_kept_beside_sound_that_starts_at_zero(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=3, ticks=[7, 8, 9, 10], rate=24)
    double(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert read(tmp_path / "out.mp4")[0].start_seconds == Fraction(7, 24)
    assert sound_times(tmp_path / "out.mp4") == sound_times(tmp_path / "in.mp4")


def sound_times(path):
    with av.open(str(path)) as container:
        return [packet.pts for packet in container.demux(audio=0) if packet.size]


@pytest.mark.parametrize(
    ("codec", "suffix"), [("aac", ".mp4"), ("aac", ".mkv"), ("pcm_s16le", ".mov"), ("flac", ".mkv")]
)
def test_sound_is_copied_bit_for_bit(tmp_path, codec, suffix):
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    make_clip(source, frames=12, audio=codec)
    double(source, target)
    assert audio_packets_hash(target) == audio_packets_hash(source)
    assert audio_packets_hash(source)[0][0] > 4
    before, after = ([s.language for s in read(path)[0].streams[:1]] for path in (source, target))
    assert after == before


def test_sound_and_pictures_lie_side_by_side_in_the_file(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=72, size=(32, 32))
    double(tmp_path / "in.mp4", tmp_path / "out.mp4")
    with av.open(str(tmp_path / "out.mp4")) as container:
        packets = sorted((p.pos, p.stream.type) for p in container.demux() if p.size)
    halves = [kind for _, kind in packets[: len(packets) // 2]]
    assert abs(halves.count("audio") / len(halves) - 0.5) < 0.2


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
)
def test_the_pixel_format_stays_and_lossless_is_bit_exact_in_eight_bits(tmp_path, pix_fmt):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    make_clip(source, frames=2, pix_fmt=pix_fmt, audio=False)
    double(source, target, crf=0)
    before, old = read(source)
    after, new = read(target)
    assert after.pixel_format == before.pixel_format
    if before.color.bit_depth == 8:
        for a, b in zip(old, new[::2], strict=True):
            assert all(np.array_equal(p, q) for p, q in zip(a.planes, b.planes, strict=True))


@pytest.mark.parametrize(
    "tags",
    [
        {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1},
        {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1},
        {"colorspace": 6, "color_primaries": 6, "color_trc": 6, "color_range": 2},
        {},
    ],
)
def test_color_tags_stay_as_found(tmp_path, tags):
    make_clip(tmp_path / "in.mp4", frames=2, tags=tags)
    double(tmp_path / "in.mp4", tmp_path / "out.mp4")
    before, after = read(tmp_path / "in.mp4")[0], read(tmp_path / "out.mp4")[0]
    assert after.color == before.color
    assert before.color.tags.matrix == tags.get("colorspace", 2)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_rotation_pixel_shape_and_titles_stay(tmp_path, suffix):
    source, target = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    make_clip(source, frames=2, rotation=90, sar=Fraction(15, 11), metadata={"title": "Grüße"})
    double(source, target)
    before, after = read(source)[0], read(target)[0]
    assert after.display_matrix == before.display_matrix != None  # noqa: E711
    assert after.sample_aspect_ratio == Fraction(15, 11)
    with av.open(str(target)) as container:
        assert container.metadata["title"] == "Grüße"


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_titles_that_are_no_utf8_stay_byte_for_byte(tmp_path, suffix):
    source, target = tmp_path / f"in{suffix}", tmp_path / f"out{suffix}"
    make_clip(source, frames=2, metadata={"title": "Gruessle"})
    recode(source, b"Gruessle", b"Gr\xfc\xdfchen")
    double(source, target)
    assert b"Gr\xfc\xdfchen" in target.read_bytes()


def test_a_language_and_a_file_name_that_are_no_utf8_become_printable(tmp_path):
    plain, source = tmp_path / "plain.mkv", tmp_path / "in.mkv"
    make_clip(plain, frames=2)
    add_extras(plain, source)
    recode(plain, b"deu", b"d\xfcu")
    assert "d\ufffdu" in [stream.language for stream in read(plain)[0].streams]
    recode(source, b"a.ttf", b"\xfc.ttf")
    double(source, tmp_path / "out.mkv")
    assert "\ufffd.ttf".encode() in (tmp_path / "out.mkv").read_bytes()


def recode(path, text, other):
    assert path.read_bytes().count(text) == 1
    path.write_bytes(path.read_bytes().replace(text, other))


@pytest.mark.parametrize(("size", "pix_fmt"), [((61, 45), "yuv420p"), ((61, 46), "yuv422p")])
def test_odd_sizes_keep_size_and_format(tmp_path, size, pix_fmt):
    source = tmp_path / "in.mkv"
    write_odd(source, size, pix_fmt)
    times, writer = double(source, tmp_path / "out.mp4", preset=None)
    info, frames = read(tmp_path / "out.mp4")
    assert (info.width, info.height, info.pixel_format) == (*size, pix_fmt)
    assert [frame.pts_seconds for frame in frames] == times
    assert writer.encoder.name == "libvpx-vp9"
    with pytest.raises(OutputError, match=f"MOV takes {pix_fmt} of 61x4"):
        double(source, tmp_path / "out.mov", preset=None)


def write_odd(path, size, pix_fmt):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(
            "ffv1", 25, width=size[0], height=size[1], pix_fmt=pix_fmt, time_base=Fraction(1, 25)
        )
        for i in range(3):
            picture = av.VideoFrame(*size, pix_fmt)
            for plane in picture.planes:
                np.frombuffer(plane, np.uint8)[:] = 60 + 20 * i
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def test_what_a_container_cannot_hold_is_announced_before_the_first_frame(tmp_path):
    source = tmp_path / "in.mkv"
    make_clip(tmp_path / "plain.mkv", frames=3)
    add_extras(tmp_path / "plain.mkv", source)
    _, writer = double(source, tmp_path / "out.mp4")
    assert any("(subrip) becomes mov_text" in note for note in writer.notes)
    assert any("MP4 holds no attachments" in note for note in writer.notes)
    _, writer = double(source, tmp_path / "out.mkv")
    assert writer.notes == []
    kinds = [stream.kind for stream in read(tmp_path / "out.mkv")[0].streams]
    assert kinds == ["audio", "video", "subtitle", "attachment"]
    with av.open(str(tmp_path / "out.mkv")) as container:
        (words,) = [bytes(p) for p in container.demux(subtitles=0) if p.size]
        assert words == b"Hello"
        assert [chapter["metadata"]["title"] for chapter in container.chapters()] == ["One"]


def add_extras(plain, target):
    """Copy `plain` with a subtitle, a font and a chapter."""
    with av.open(str(plain)) as source, av.open(str(target), "w") as container:
        streams = [container.add_stream_from_template(stream) for stream in source.streams]
        words = container.add_mux_stream("subrip")
        container.add_attachment("a.ttf", "font/ttf", b"letters")
        container.set_chapters(
            [
                {
                    "id": 1,
                    "start": 0,
                    "end": 100,
                    "time_base": Fraction(1, 1000),
                    "metadata": {"title": "One"},
                }
            ]
        )
        packets = [packet for packet in source.demux() if packet.size]
        for packet in packets:
            packet.stream = streams[packet.stream_index]
            container.mux(packet)
        line = av.Packet(b"Hello")
        line.stream, line.time_base = words, Fraction(1, 1000)
        line.pts = line.dts = 10
        line.duration = 50
        container.mux(line)


def test_a_result_with_a_frame_missing_is_not_kept(tmp_path, monkeypatch):
    make_clip(tmp_path / "in.mp4", frames=4, audio=False)
    encode = VideoWriter._encode
    monkeypatch.setattr(
        VideoWriter, "_encode", lambda w, p: (p and p.pts == 3 * p.duration) or encode(w, p)
    )
    with pytest.raises(OutputError, match="has 7 frames instead of 8"):
        double(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_no_frames_make_no_file(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2)
    with VideoReader(tmp_path / "in.mp4") as reader:
        info = reader.info
        with (
            pytest.raises(OutputError, match="Not one frame"),
            VideoWriter(tmp_path / "out.mp4", info=info, timing=unchanged(info)),
        ):
            pass
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_a_source_whose_sound_breaks_off_leaves_no_file(tmp_path):
    source = tmp_path / "in.mp4"
    make_clip(source, frames=4)
    with VideoReader(source) as reader:
        info, frames = reader.info, list(reader.frames())
    source.write_bytes(source.read_bytes()[:400])
    with (
        pytest.raises(InputError),
        VideoWriter(tmp_path / "o.mp4", info=info, timing=unchanged(info)) as w,
    ):
        w.write(frames[0])
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


def test_times_too_fine_for_matroska_are_refused(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=3, rate=1000, audio=False)
    with pytest.raises(OutputError, match="multiples of 1 ms"):
        double(tmp_path / "in.mp4", tmp_path / "out.mkv")
    double(tmp_path / "in.mp4", tmp_path / "out.mp4")


@pytest.mark.parametrize("suffix", [".mp4", ".mov"])
def test_a_factor_too_high_for_microseconds_is_refused(tmp_path, suffix):
    make_clip(tmp_path / "in.mp4", frames=1, rate=Fraction(24000, 1001), audio=False)
    with pytest.raises(OutputError, match=r"multiples of 0.001 ms") as caught:
        double(tmp_path / "in.mp4", tmp_path / f"out{suffix}", factor=50_000)
    assert caught.value.hint == "Use a smaller factor"


def test_a_rate_that_is_assumed_is_announced(tmp_path):
    make_clip(tmp_path / "in.h264", frames=2, audio=False, rate=Fraction(24000, 1001))
    make_clip(tmp_path / "in.mp4", frames=2, audio=False)
    _, writer = double(tmp_path / "in.h264", tmp_path / "out.mp4")
    assert writer.notes == [
        "The source holds no frame times: 23.976 frames per second are assumed."
    ]
    _, writer = double(tmp_path / "in.mp4", tmp_path / "other.mp4")
    assert writer.notes == []


@pytest.mark.parametrize(
    "name",
    [
        "demo.mp4",
        "vfr_real.mp4",
        "var_fps_video.mp4",
        "oa4_launch.webm",
        "flower-fragmented.mp4",
        "rotate90.mp4",
        "h264_10bits.mp4",
        "three_sounds.mkv",
        "one_frame.mp4",
        "video_desks.3gp",
        "bear-vp9-odd-dimensions.webm",
    ],
)
def test_real_files_come_out_doubled_with_times_length_and_sound(tmp_path, name):
    if not REAL.is_dir():
        pytest.skip(f"no real footage at {REAL}")
    target = tmp_path / "out.mp4"
    times, _ = double(REAL / name, target, preset=None if "odd" in name else "ultrafast")
    before, after = read(REAL / name)[0], read(target)
    assert [frame.pts_seconds for frame in after[1]] == times
    assert after[0].duration_seconds == before.duration_seconds
    assert after[0].display_matrix == before.display_matrix
    assert audio_packets_hash(target) == audio_packets_hash(REAL / name)
