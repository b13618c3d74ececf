"""Colors through the whole tool: source frames stay, and made ones are of their kind."""

import itertools
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from tests.lossless import assert_same_planes, color_of, frame_of, noise, scene, write_lossless
from tests.video.test_reader import real as real_clip
from tests.video.test_tags import limited_by_rule
from vfimamba_cli import pipeline
from vfimamba_cli.checkpoint.load import load_model
from vfimamba_cli.engine.color import to_rgb
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.frame import ColorTags
from vfimamba_cli.model.config import TINY
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.pipeline import interpolate_video
from vfimamba_cli.pipeline.options import EngineOptions, TimeOptions
from vfimamba_cli.video import cuts
from vfimamba_cli.video.encoder import offered_formats
from vfimamba_cli.video.formats import FORMATS, format_for
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.writer import VideoWriter

MATRIX_CODES = {"bt709": 1, "fcc": 4, "bt601": 6, "smpte240m": 7, "ycgco": 8, "bt2020": 9}
TINY_SPEC = ModelSpec(name="tiny", config=TINY, arbitrary_time=True)

LAYOUTS = ("yuv420p", "yuv422p10le", "yuv444p16le")
"""For every matrix; `tests/engine/test_color.py` has the others, without files."""

NOT_IN_NUT = {
    *("yuv440p10le", "yuv440p12le", "yuvj420p", "yuvj422p", "yuvj440p", "yuvj444p", "yuvj411p"),
    *("nv16", "nv24", "nv42", "nv20le", "p010le", "p012le", "p016le", "p210le", "p212le"),
    *("p216le", "p410le", "p412le", "p416le", "y212le", "vuyx", "ayuv64le", "xv36le"),
    *("ya16le", "ya16be"),
}
"""Formats that no file holds as they are; `tests/video/test_formats.py` has them."""


@pytest.fixture(scope="module")
def engine():
    return Interpolator(TINY_SPEC.build(), device="cpu")


@pytest.fixture
def bundled(monkeypatch, weights):
    """The bundled model, which is not built again for every clip."""
    monkeypatch.setattr(pipeline, "load_model", lambda _: weights)


@pytest.fixture(scope="module")
def weights():
    return load_model("vfimamba-s")


@pytest.fixture
def averaging(monkeypatch, engine):
    """Frames are made, of identical ones too, and by an engine that cannot change a code."""
    monkeypatch.setattr(cuts, "is_static", lambda *_: False)
    monkeypatch.setattr(pipeline, "load_model", lambda _: None)
    monkeypatch.setattr(pipeline, "Interpolator", lambda *_, **__: engine)
    monkeypatch.setattr(
        engine, "between", lambda first, second, times: ((first + second) / 2 for _ in times)
    )


def real(device):
    return {"model": "vfimamba-s", "device": device}


def interpolate(source, target, *, factor=2, model="tiny", codec="ffv1", device="cpu"):
    """The source's frames, all frames of the result, and what is known of both files."""
    interpolate_video(
        source,
        target,
        time=TimeOptions(factor=factor),
        engine=EngineOptions(model=model, device=device),
        writing=WriteOptions(codec=codec),
    )
    (before, old), (after, new) = map(read, (source, target))
    return old, new, before, after


def read(path):
    with VideoReader(path) as reader:
        return reader.info, list(reader.frames())


@pytest.mark.usefixtures("averaging")
@pytest.mark.parametrize("name", [name for name in FORMATS if name not in NOT_IN_NUT])
def test_no_format_flickers_and_source_frames_are_bit_identical(tmp_path, name):
    """A still picture of any codes: every frame of the result is that picture, made ones too."""
    color = color_of(name)
    still = noise(color, 10, 12)
    write_lossless(tmp_path / "in.nut", [still, still], encoder="rawvideo", pixel_format=name)
    old, new, before, after = interpolate(tmp_path / "in.nut", tmp_path / "out.mkv", factor=3)
    assert before.pixel_format == name
    assert len(new) == 6
    assert_same_planes(old[0], still)
    if format_for(color, offered_formats("ffv1")):
        assert after.color.bit_depth == color.bit_depth
        for frame in new:
            assert_same_planes(frame, still)
    for frame in new:
        assert_same_planes(frame, new[0])


@pytest.mark.usefixtures("averaging")
@pytest.mark.parametrize("name", ["yuv420p", "yuv422p10le", "bgra", "gray12le"])
@pytest.mark.parametrize("factor", [2, 3, Fraction(5, 2), Fraction(7, 3), 8])
def test_source_frames_are_bit_identical_wherever_they_are_shown(tmp_path, name, factor):
    source = [scene(color_of(name), 32, 48, shift=shift) for shift in range(8)]
    write_lossless(tmp_path / "in.mkv", source)
    _, new, _, _ = interpolate(tmp_path / "in.mkv", tmp_path / "out.mkv", factor=factor)
    shown = [(i / factor, frame) for i, frame in enumerate(new)]
    at_source = [(int(t), frame) for t, frame in shown if t == int(t)]
    assert len(at_source) == len(range(0, 8, Fraction(factor).denominator))
    for index, frame in at_source:
        assert_same_planes(frame, source[index])


@pytest.mark.usefixtures("averaging")
@pytest.mark.parametrize("tagged", [True, False], ids=["tagged", "untagged"])
@pytest.mark.parametrize("matrix", MATRIX_CODES)
def test_no_matrix_or_range_flickers_and_tags_stay_as_they_are(tmp_path, matrix, tagged):
    for name, full_range in itertools.product(LAYOUTS, (False, True)):
        tags = ColorTags(range=1 + full_range)
        if tagged:
            tags = ColorTags(
                matrix=MATRIX_CODES[matrix], primaries=1, transfer=13, range=1 + full_range
            )
        still = noise(color_of(name, matrix=matrix, full_range=full_range, tags=tags), 10, 12)
        source, target = (
            tmp_path / f"{name}{full_range}.mkv",
            tmp_path / f"{name}{full_range}.out.mkv",
        )
        write_lossless(source, [still, still])
        _, new, before, after = interpolate(source, target)
        assert before.color.tags == after.color.tags == tags
        assert before.color.full_range == full_range
        assert before.color.matrix == (matrix if tagged else "bt601")
        for frame in new:
            assert_same_planes(frame, still)


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize(
    "color",
    [
        color_of("yuv420p"),
        color_of("yuv420p10le", matrix="bt2020", tags=ColorTags(matrix=9, transfer=16)),
        color_of("yuv444p12le", full_range=True, tags=ColorTags(range=2)),
        color_of("yuva422p10le"),
        color_of("gbrp10le"),
        color_of("gray12le"),
    ],
    ids=lambda color: f"{color.matrix}-{color.subsampling}-{color.bit_depth}",
)
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_frames_that_the_network_makes_are_no_shade_brighter(tmp_path, color, device):
    """Between two pictures that are the same but for one code of one pixel."""
    first = scene(color, 64, 96)
    planes = [plane.copy() for plane in first.planes]
    planes[0][10, 10] += 1
    write_lossless(tmp_path / "in.mkv", [first, frame_of(planes, color)])
    _, new, _, _ = interpolate(tmp_path / "in.mkv", tmp_path / "out.mkv", **real(device))
    assert_same_planes(new[0], first)
    unit = 1 << (color.bit_depth - 8)
    means = [[plane.mean() / unit for plane in frame.planes] for frame in new[:2]]
    shifts = [abs(made - real) for real, made in zip(*means, strict=True)]
    assert any((a != b).any() for a, b in zip(new[0].planes, new[1].planes, strict=True))
    assert shifts[0] < 0.25
    assert max(shifts) < 0.5


REAL_CLIPS = {
    "bt601.mp4": (".mp4", "yuv420p", "h264"),
    "bt709_full_range.mp4": (".mp4", "yuvj420p", "h264"),
    "sample_srgb.mp4": (".mkv", "yuv420p", "h264"),
    "odd_427x241_444.mp4": (".mp4", "yuv444p", "h264"),
    "mjpeg.avi": (".mp4", "yuvj420p", "h264"),
    "sample_av1_mono.mp4": (".mkv", "gray", "h264"),
    "h264_10bits.mp4": (".mp4", "yuv420p10le", "hevc"),
    "prores_pcm.mov": (".mov", "yuv422p10le", "hevc"),
    "roadtrip-vp92-10bit.webm": (".webm", "yuv420p10le", "av1"),
    "sample_vvc.mp4": (".mkv", "yuv420p10le", "hevc"),
    "hlg10-color-test.mp4": (".mp4", "yuv420p10le", "hevc"),
    "hdr10-av1.mp4": (".mp4", "yuv420p10le", "hevc"),
    "sample_with_colr_mdcv_and_clli.mp4": (".mp4", "yuv420p10le", "hevc"),
    "alpha.webm": (".webm", "yuva420p", "vp9"),
}
"""What becomes of them by default."""


@pytest.mark.usefixtures("averaging")
@pytest.mark.parametrize("name", REAL_CLIPS)
def test_real_clips_keep_their_format_their_tags_and_their_light(tmp_path, name):
    suffix, pixel_format, codec = REAL_CLIPS[name]
    source = real_clip(name)
    target = tmp_path / f"out{suffix}"
    options = WriteOptions(preset="ultrafast" if codec in ("h264", "hevc") else None)
    interpolate_video(
        source,
        target,
        time=TimeOptions(factor=2, end_seconds=Fraction(1, 10)),
        engine=EngineOptions(device="cpu"),
        writing=options,
    )
    with VideoReader(source) as reader:
        before, first = reader.info, next(reader.frames())
    after, frames = read(target)
    assert before.pixel_format == pixel_format
    assert after.codec == codec
    assert limited_by_rule(after.color.tags) == limited_by_rule(before.color.tags)
    assert after.hdr == before.hdr
    kept = "alpha", "bit_depth", "matrix", "full_range"
    assert all(getattr(after.color, name) == getattr(before.color, name) for name in kept)
    unit = 1 << (before.color.bit_depth - 8)
    for plane, other in zip(first.planes, frames[0].planes, strict=False):
        assert abs(plane.mean() - other.mean()) < unit


@pytest.mark.usefixtures("bundled")
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_a_ramp_of_ten_bits_keeps_its_codes_in_made_frames(tmp_path, device):
    color = color_of("yuv420p10le", matrix="bt709")
    ramp = np.tile(np.linspace(64, 940, 1280).round().astype(np.uint16), (32, 1))
    grey = np.full((16, 640), 512, np.uint16)
    moved = np.roll(ramp, 1, axis=1)
    write_lossless(
        tmp_path / "in.mkv", [frame_of((luma, grey, grey), color) for luma in (ramp, moved)]
    )
    _, new, _, after = interpolate(tmp_path / "in.mkv", tmp_path / "out.mkv", **real(device))
    assert after.color.bit_depth == 10
    there = np.intersect1d(new[1].planes[0], ramp)
    assert len(there) >= 0.95 * len(np.unique(ramp))


@pytest.mark.usefixtures("averaging")
@pytest.mark.parametrize(
    ("name", "suffix", "codec", "becomes"),
    [
        ("bgra", ".mp4", "h264", "yuv420p"),
        ("gbrp10le", ".mp4", "h265", "yuv420p10le"),
        ("yuv420p16le", ".mp4", "h265", "yuv420p12le"),
        ("yuv440p", ".mkv", "h264", "yuv444p"),
        ("gray", ".webm", "vp9", "yuv420p"),
        ("ya8", ".webm", "vp9", "yuva420p"),
        ("gray12le", ".mkv", "av1", "yuv420p10le"),
    ],
)
def test_what_an_encoder_cannot_take_is_converted_in_all_frames_alike(
    tmp_path, monkeypatch, name, suffix, codec, becomes
):
    color = color_of(name)
    if FORMATS[name].model == "grey":  # as PNG has it, which calls it R'G'B'
        color = replace(color, full_range=True, tags=ColorTags(matrix=0, range=2))
    still = scene(color, 64, 64)
    source, target = tmp_path / "in.mkv", tmp_path / f"out{suffix}"
    write_lossless(source, [still] * 3)
    sent, write = [], VideoWriter.write
    monkeypatch.setattr(VideoWriter, "write", lambda self, f: sent.append(f) or write(self, f))
    _, _, _, after = interpolate(source, target, codec=codec)
    assert after.pixel_format == becomes
    assert len(sent) == 6
    for frame in sent:
        assert_same_planes(frame, sent[0])
    seen = to_rgb(still.planes, color, "cpu")
    shown = to_rgb(sent[0].planes, sent[0].color, "cpu")
    assert (seen[:3] - shown[:3]).abs().mean() < 2 / 255


@pytest.mark.usefixtures("averaging")
@pytest.mark.parametrize(
    ("suffix", "codec", "pixel_format"),
    [
        (".webm", "vp9", "yuva420p"),
        (".mkv", "ffv1", "yuva420p"),
        (".mov", "prores", "yuva444p12le"),
    ],
)
def test_alpha_stays_where_the_container_has_a_codec_with_it(tmp_path, suffix, codec, pixel_format):
    still = scene(color_of("yuva420p"), 64, 64)
    write_lossless(tmp_path / "in.mkv", [still, still])
    _, new, _, after = interpolate(tmp_path / "in.mkv", tmp_path / f"out{suffix}", codec=None)
    assert (after.codec, after.pixel_format) == (codec, pixel_format)
    before, shown = (f.planes[3] / ((1 << f.color.bit_depth) - 1) for f in (still, new[1]))
    assert abs(before - shown).mean() < 0.01


@pytest.mark.usefixtures("averaging")
@pytest.mark.parametrize("name", ["yuva420p", "bgra", "yuva444p10le"])
def test_alpha_is_dropped_for_a_container_without_and_that_is_said(tmp_path, name):
    still = scene(color_of(name), 64, 64)
    write_lossless(tmp_path / "in.mkv", [still, still])
    said = []
    interpolate_video(
        tmp_path / "in.mkv",
        tmp_path / "out.mp4",
        engine=EngineOptions(device="cpu"),
        announce=said.append,
    )
    assert any("lose their alpha" in line for line in said)
    info, _ = read(tmp_path / "out.mp4")
    assert info.codec == ("hevc" if "10" in name else "h264")
    assert not info.color.alpha
