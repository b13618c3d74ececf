"""Which encoder is taken, how its options are checked, and what comes out of it."""

from errno import EPERM
from fractions import Fraction
from types import SimpleNamespace

import av
import numpy as np
import pytest

from tests.clips import make_clip
from tests.lossless import color_of, scene, write_lossless
from tests.video.test_writer import REAL
from tests.writing import double, read, unchanged
from vfimamba_cli.errors import OptionError, OutputError
from vfimamba_cli.video import codec_choice, codecs
from vfimamba_cli.video.codecs import CODECS
from vfimamba_cli.video.encoder_options import check_options, parse_options
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.writer import VideoWriter

HDR = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}


def encoder_for(source, target, **options):
    with VideoReader(source) as reader:
        info = reader.info
    writer = VideoWriter(
        target,
        info=info,
        timing=unchanged(info),
        options=WriteOptions(**options),
    )
    return writer.encoder, writer.pixel_format


@pytest.mark.parametrize(
    ("pix_fmt", "size", "suffix", "expected"),
    [
        ("yuv420p", (64, 48), ".mp4", "libx264 (crf 16, preset medium)"),
        ("yuv422p", (64, 48), ".mkv", "libx264 (crf 16, preset medium)"),
        ("yuv420p10le", (64, 48), ".mp4", "libx265"),
        ("yuv444p10le", (64, 48), ".mov", "libx265"),
        ("yuv420p", (64, 48), ".webm", "libvpx-vp9"),
        ("yuv420p10le", (64, 48), ".webm", "libsvtav1"),
        ("yuv444p", (61, 45), ".mov", "libx264"),
        ("yuv420p", (64, 48), ".ts", "libx264"),
    ],
)
def test_the_default_is_h264_for_8_bits_and_h265_above(tmp_path, pix_fmt, size, suffix, expected):
    make_clip(tmp_path / "in.mkv", frames=1, size=size, pix_fmt=pix_fmt, audio=False)
    encoder, taken = encoder_for(tmp_path / "in.mkv", tmp_path / f"out{suffix}")
    assert str(encoder).startswith(expected)
    assert taken == pix_fmt


def test_hdr_becomes_h265_even_in_8_bits(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=1, tags=HDR, audio=False)
    assert encoder_for(tmp_path / "in.mp4", tmp_path / "out.mp4")[0].name == "libx265"


@pytest.mark.parametrize(
    ("codec", "suffix", "pix_fmt", "family", "taken"),
    [
        ("h264", ".mkv", "yuv420p10le", "h264", "yuv420p10le"),
        ("h265", ".mp4", "yuv420p", "hevc", "yuv420p"),
        ("av1", ".mp4", "yuv420p10le", "av1", "yuv420p10le"),
        ("av1", ".webm", "yuv420p", "av1", "yuv420p"),
        ("vp9", ".mp4", "yuv444p", "vp9", "yuv444p"),
        ("ffv1", ".mkv", "yuv422p10le", "ffv1", "yuv422p10le"),
        ("h264", ".nut", "yuv420p", "h264", "yuv420p"),
        ("prores", ".mov", "yuv422p10le", "prores", "yuv422p10le"),
    ],
)
def test_every_codec_comes_out_as_asked_with_its_times_and_tags(
    tmp_path, codec, suffix, pix_fmt, family, taken
):
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    make_clip(source, frames=5, size=(64, 64), pix_fmt=pix_fmt, rate=Fraction(24000, 1001))
    times, writer = double(source, target, codec=codec, preset=None)
    info, frames = read(target)
    assert (info.codec, info.pixel_format) == (family, taken)
    assert writer.pixel_format == taken
    inexact = Fraction(1, 1000) if suffix in (".mkv", ".webm") else 0
    shift = frames[0].pts_seconds - times[0]
    errors = [abs(f.pts_seconds - shift - time) for f, time in zip(frames, times, strict=True)]
    assert max(errors) <= inexact
    assert info.color.tags == read(source)[0].color.tags


@pytest.mark.parametrize("codec", ["h264", "h265", "av1"])
def test_a_variable_rate_keeps_its_last_duration_in_mp4_whatever_the_codec(tmp_path, codec):
    source, target = tmp_path / "in.mp4", tmp_path / "out.mp4"
    ticks = [0, 41, 83, 125, 166, 2166, 2966]
    make_clip(source, frames=6, size=(64, 64), ticks=ticks, time_base=Fraction(1, 1000))
    times, _ = double(source, target, codec=codec, preset=None)
    info, frames = read(target)
    assert [frame.pts_seconds - frames[0].pts_seconds for frame in frames] == times
    assert info.duration_seconds == Fraction(2966, 1000)


@pytest.mark.parametrize(
    "pix_fmt", ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"]
)
@pytest.mark.parametrize("factor", [2, 3])
def test_ffv1_keeps_every_source_frame_bit_for_bit(tmp_path, pix_fmt, factor):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    make_clip(source, frames=3, pix_fmt=pix_fmt, audio=False)
    double(source, target, codec="ffv1", preset=None, factor=factor)
    before, after = read(source)[1], read(target)[1]
    for a, b in zip(before, after[::factor], strict=True):
        assert all(np.array_equal(p, q) for p, q in zip(a.planes, b.planes, strict=True))


@pytest.mark.parametrize(
    ("options", "message", "hint"),
    [
        ({"codec": "h246"}, "'h246' is not one of h264, h265", "Is h265 meant?"),
        ({"crf": 99}, "--crf goes from 0 to 51 for libx264, got 99", "default is 16"),
        ({"codec": "ffv1", "crf": 3}, "ffv1 has no --crf", "Leave --crf out"),
        ({"codec": "ffv1", "preset": "fast"}, "ffv1 has no --preset", "Leave --preset out"),
        ({"preset": "fats"}, "libx264 has no preset 'fats'", "ultrafast"),
        ({"encoder_options": {"tuen": "film"}}, "libx264 has no option 'tuen'", "tune"),
        ({"encoder_options": {"zzz": "1"}}, "libx264 has no option 'zzz'", "lists them"),
        ({"encoder_options": {"qp": "-9"}}, "libx264 takes qp from -1 to .*, got -9", ""),
        ({"encoder_options": {"aq-mode": "x"}}, "libx264 takes no aq-mode=x", "variance"),
    ],
)
def test_a_wrong_option_is_named_with_what_would_be_right(tmp_path, options, message, hint):
    make_clip(tmp_path / "in.mp4", frames=1, audio=False)
    with pytest.raises(OptionError, match=message) as caught:
        encoder_for(tmp_path / "in.mp4", tmp_path / "out.mkv", **options)
    assert hint in caught.value.hint


def test_options_of_the_encoder_reach_it(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=12, audio=False)
    double(tmp_path / "in.mp4", tmp_path / "out.mp4", encoder_options={"g": "4", "bf": "0"})
    with av.open(str(tmp_path / "out.mp4")) as container:
        keys = [packet.is_keyframe for packet in container.demux(video=0) if packet.size]
    assert [i for i, key in enumerate(keys) if key] == [0, 4, 8, 12, 16, 20]


def test_what_only_the_encoder_can_judge_stops_the_run_before_any_frame(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=2, audio=False)
    with pytest.raises(OutputError, match="The encoder cannot be started") as caught:
        double(tmp_path / "in.mp4", tmp_path / "out.mp4", encoder_options={"tune": "fil"})
    assert "tune fil" in str(caught.value)
    assert [path.name for path in tmp_path.iterdir()] == ["in.mp4"]


@pytest.mark.parametrize(
    ("codec", "suffix", "message"),
    [
        ("ffv1", ".mp4", r"MP4 does not hold ffv1 \(\.mkv, \.nut, \.avi do\)"),
        ("h264", ".webm", "WebM does not hold h264"),
        ("vp9", ".mov", "MOV does not hold vp9"),
    ],
)
def test_a_codec_that_the_container_does_not_hold_is_refused(tmp_path, codec, suffix, message):
    make_clip(tmp_path / "in.mp4", frames=1, audio=False)
    with pytest.raises(OutputError, match=message):
        encoder_for(tmp_path / "in.mp4", tmp_path / f"out{suffix}", codec=codec)


@pytest.mark.parametrize("codec", ["h264_nvenc", "hevc_nvenc", "av1_nvenc"])
def test_a_gpu_encoder_is_never_replaced_where_it_cannot_run(tmp_path, monkeypatch, codec):
    make_clip(tmp_path / "in.mp4", frames=1, audio=False)

    def refuse():
        raise PermissionError(EPERM, "Operation not permitted")

    def without_hardware(name, mode):
        context = SimpleNamespace(open=refuse)
        return SimpleNamespace(canonical_name=av.Codec(name, mode).name, create=lambda _: context)

    for module in (codecs, codec_choice):
        monkeypatch.setattr(module, "Codec", without_hardware)
    with pytest.raises(OutputError, match=f"{codec} cannot run here") as caught:
        encoder_for(tmp_path / "in.mp4", tmp_path / "out.mkv", codec=codec)
    assert "CPU" in caught.value.hint


def test_a_loss_of_the_pictures_is_said_and_refused_when_strict(tmp_path):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mp4"
    make_clip(source, frames=1, size=(64, 64), pix_fmt="yuv444p10le", audio=False)
    with VideoReader(source) as reader:
        info = reader.info
    times = {"info": info, "timing": unchanged(info)}
    writer = VideoWriter(target, **times, options=WriteOptions(codec="av1"))
    assert writer.notes == [
        "The pictures lose chroma, 444 to 420: libsvtav1 does not take it.",
    ]
    with pytest.raises(OutputError, match="chroma, 444 to 420"):
        VideoWriter(target, **times, options=WriteOptions(codec="av1", strict=True))


def test_that_r_g_b_loses_chroma_by_choice_is_said_and_what_keeps_it(tmp_path):
    source, target = tmp_path / "in.mkv", tmp_path / "out.mkv"
    still = scene(color_of("gbrp10le"), 64, 64)
    write_lossless(source, [still, still])
    with VideoReader(source) as reader:
        info = reader.info
    times = {"info": info, "timing": unchanged(info)}
    said = "R'G'B' becomes what most players show, ffv1 in Matroska keeps it"
    notes = VideoWriter(target, **times, options=WriteOptions(codec="h265")).notes
    assert f"The pictures lose chroma, 444 to 420: {said}." in notes
    with pytest.raises(OutputError, match="chroma, 444 to 420") as caught:
        VideoWriter(target, **times, options=WriteOptions(strict=True))
    assert "--codec ffv1" in caught.value.hint
    assert not VideoWriter(target, **times, options=WriteOptions(codec="ffv1", strict=True)).notes


def test_every_default_is_among_the_encoders_own_options():
    for codec in CODECS.values():
        settings = {codec.quality: f"{codec.crf:g}", codec.speed: codec.preset, **codec.fixed}
        settings.pop("", None)
        check_options(codec.encoder, settings)


def test_color_tags_that_neither_codec_nor_container_hold_are_a_loss(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=1, audio=False)
    _, writer = double(tmp_path / "in.mp4", tmp_path / "out.nut", codec="ffv1", preset=None)
    assert writer.notes == ["The color tags are dropped: ffv1 in NUT does not hold them."]


@pytest.mark.parametrize("text", ["tune", "=film", ""])
def test_an_encoder_option_needs_a_name_and_a_value(text):
    with pytest.raises(OptionError, match="takes name=value"):
        parse_options([text])


def test_the_value_of_an_encoder_option_may_hold_equals_signs():
    assert parse_options(["x264-params=a=1:b=2"]) == {"x264-params": "a=1:b=2"}


def test_alpha_beside_vp9_is_still_there_when_the_result_is_read(tmp_path):
    if not REAL.is_dir():
        pytest.skip(f"no real footage at {REAL}")
    double(REAL / "alpha.webm", tmp_path / "out.webm", preset="8")
    info, frames = read(tmp_path / "out.webm")
    assert info.pixel_format == "yuva420p"
    assert frames[0].planes[3].min() < 10 < 240 < frames[0].planes[3].max()
