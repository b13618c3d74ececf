"""HDR metadata from the source's pictures to the encoder's stream."""

from dataclasses import replace
from fractions import Fraction
from struct import unpack

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType

from tests.video.test_reader import real
from tests.writing import double
from vfimamba_cli.errors import OutputError
from vfimamba_cli.frame import ColorTags
from vfimamba_cli.video.encoder import merge_options
from vfimamba_cli.video.hdr import ContentLight, MasteringDisplay, StaticHdr, hdr_options
from vfimamba_cli.video.reader import VideoReader

PQ = {"colorspace": 9, "color_primaries": 9, "color_trc": 16, "color_range": 1}
ENCODERS = {"libx264": "ultrafast", "libx265": "ultrafast", "libsvtav1": "12"}


def point(x, y):
    return Fraction(x, 50_000), Fraction(y, 50_000)


HDR = StaticHdr(
    display=MasteringDisplay(
        red=point(34_000, 16_000),
        green=point(13_250, 34_500),
        blue=point(7_500, 3_000),
        white=point(15_635, 16_450),
        darkest=Fraction(50, 10_000),
        brightest=Fraction(1000),
    ),
    light=ContentLight(brightest_pixel=1000, brightest_mean=400),
)


def write_hdr(path, encoder, hdr=HDR, tags=PQ):
    options = {"preset": ENCODERS[encoder], **hdr_options(encoder, hdr)}
    if encoder == "libx265":
        options = merge_options(options, {"x265-params": "log-level=error"})
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, 24, options=options, width=64, height=64)
        stream.pix_fmt = "yuv420p10le"
        for name, value in tags.items():
            setattr(stream.codec_context, name, value)
        for i in range(3):
            picture = av.VideoFrame(64, 64, "yuv420p10le")
            for plane in picture.planes:
                np.frombuffer(plane, np.uint16)[:] = 400 + 40 * i
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def read_info(path):
    with VideoReader(path) as reader:
        return reader.info


def numbers_in_the_file(path):
    """As the library gives them, without the package's help."""
    with av.open(str(path)) as container:
        data = next(container.decode(video=0)).side_data
        display = bytes(data.get(SideDataType.MASTERING_DISPLAY_METADATA))
        return unpack("=22i", display), unpack("=2I", bytes(data[SideDataType.CONTENT_LIGHT_LEVEL]))


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
@pytest.mark.parametrize("codec", [None, "h264", "h265"])
def test_hdr10_comes_out_as_it_went_in(tmp_path, codec, suffix):
    source, target = tmp_path / "in.mp4", tmp_path / f"out{suffix}"
    write_hdr(source, "libx265")
    _, writer = double(source, target, codec=codec)
    assert writer.encoder.name == ("libx264" if codec == "h264" else "libx265")
    assert writer.notes == []
    after = read_info(target)
    assert after.hdr == HDR
    assert after.color.tags == ColorTags(matrix=9, primaries=9, transfer=16, range=1)
    display, light = numbers_in_the_file(target)
    assert light == (1000, 400)
    assert display[:4] == (34_000, 50_000, 16_000, 50_000)
    assert [Fraction(*display[i : i + 2]) for i in (16, 18)] == [Fraction(1, 200), 1000]


def test_av1_keeps_them_up_to_its_own_steps(tmp_path):
    write_hdr(tmp_path / "in.mp4", "libx265")
    double(tmp_path / "in.mp4", tmp_path / "out.mp4", codec="av1", preset="11")
    found = read_info(tmp_path / "out.mp4").hdr
    assert found.light == HDR.light
    for name in ("red", "green", "blue", "white"):
        point, written = getattr(found.display, name), getattr(HDR.display, name)
        assert max(abs(a - b) for a, b in zip(point, written, strict=True)) < Fraction(1, 1 << 16)
    assert abs(found.display.darkest - HDR.display.darkest) < Fraction(1, 1 << 14)
    assert found.display.brightest == HDR.display.brightest


def test_an_encoder_without_them_loses_them_and_says_so(tmp_path):
    write_hdr(tmp_path / "in.mp4", "libx265")
    _, writer = double(tmp_path / "in.mp4", tmp_path / "out.mkv", codec="ffv1", preset=None)
    assert writer.notes == ["Not carried over: HDR mastering display and HDR content light level."]
    with pytest.raises(OutputError, match="HDR mastering display"):
        double(tmp_path / "in.mp4", tmp_path / "no.mkv", codec="ffv1", preset=None, strict=True)


def test_what_is_known_of_the_light_alone_is_kept_too(tmp_path):
    hdr = replace(HDR, display=None)
    write_hdr(tmp_path / "in.mp4", "libx265", hdr)
    double(tmp_path / "in.mp4", tmp_path / "out.mp4")
    assert read_info(tmp_path / "out.mp4").hdr == hdr


def test_hlg_stays_hlg(tmp_path):
    write_hdr(tmp_path / "in.mp4", "libx265", StaticHdr(), {**PQ, "color_trc": 18})
    double(tmp_path / "in.mp4", tmp_path / "out.mkv")
    after = read_info(tmp_path / "out.mkv")
    assert after.color.tags.transfer == 18
    assert after.color.matrix == "bt2020"
    assert after.hdr == StaticHdr()


def test_parameters_of_the_encoder_are_added_to_those_there_are():
    merged = merge_options(
        {"crf": "16", "x265-params": "log-level=error"}, hdr_options("libx265", HDR)
    )
    assert merged["crf"] == "16"
    assert merged["x265-params"] == (
        "log-level=error:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)"
        "L(10000000,50):max-cll=1000,400"
    )


def test_an_encoder_that_cannot_write_them_is_given_none():
    assert hdr_options("libvpx-vp9", HDR) == {}
    assert hdr_options("libx265", StaticHdr()) == {}


def test_metadata_in_the_box_of_a_real_file_are_kept(tmp_path):
    source = real("sample_with_colr_mdcv_and_clli.mp4")
    hdr = read_info(source).hdr
    assert hdr.light == ContentLight(brightest_pixel=1100, brightest_mean=180)
    assert hdr.display.red == point(33_899, 16_099)
    assert (hdr.display.darkest, hdr.display.brightest) == (0, 1000)
    write_hdr(tmp_path / "out.mp4", "libx265", hdr)
    assert read_info(tmp_path / "out.mp4").hdr == hdr


def test_dolby_vision_is_said_to_be_lost_and_its_own_colors_with_it():
    name, colors = read_info(real("dvhe_05_05.mkv")).side_data
    assert name == "Dolby Vision"
    assert "profile 5" in colors
