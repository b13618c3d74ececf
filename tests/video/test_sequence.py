"""Numbered pictures in and out: all of them, in order, in their own colors."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.clips import make_clip
from tests.video.test_animations import colors
from vfimamba_cli.errors import InputError, OptionError, OutputError
from vfimamba_cli.pipeline import interpolate_video
from vfimamba_cli.pipeline.describe import describe_video
from vfimamba_cli.pipeline.options import EngineOptions, TimeOptions
from vfimamba_cli.video.options import WriteOptions
from vfimamba_cli.video.pyav import open_for_writing
from vfimamba_cli.video.sequence import pictures_of

ENGINE = EngineOptions(model="tiny", device="cpu")


@pytest.fixture
def clip(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=4, size=(64, 48), audio=False)
    return tmp_path / "in.mp4"


@pytest.fixture
def folder(tmp_path):
    path = tmp_path / "100% of it"
    path.mkdir()
    return path


@pytest.mark.parametrize(("suffix", "error"), [(".png", 4), (".tif", 4), (".jpg", 6)])
def test_pictures_come_out_numbered_in_close_colors(clip, folder, suffix, error):
    interpolate_video(clip, folder / f"f-%05d{suffix}", engine=ENGINE)
    names = sorted(path.name for path in folder.iterdir())
    assert names == [f"f-{i:05}{suffix}" for i in range(1, 9)]
    for old, name in zip(colors(clip), names[::2], strict=True):
        (new,) = colors(folder / name)
        assert np.abs(old.astype(int) - new).mean() < error


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_pictures_of_an_hd_source_have_its_colors(folder, suffix):
    source = folder.parent / "hd.mp4"
    tags = {"colorspace": 1, "color_primaries": 1, "color_trc": 1, "color_range": 1}
    make_clip(source, frames=1, size=(64, 48), audio=False, tags=tags)
    interpolate_video(source, folder / f"%d{suffix}", engine=ENGINE)
    with av.open(str(source)) as container:
        expected = next(container.decode(video=0)).to_ndarray(format="rgb24")  # by its tags
    with av.open(str(folder / f"1{suffix}")) as container:
        picture = next(container.decode(video=0))
        picture.colorspace = 5  # as every reader of JPEG takes it
        found = picture.to_ndarray(format="rgb24")
    means = np.abs(expected.astype(int).mean(axis=(0, 1)) - found.mean(axis=(0, 1)))
    assert means.max() < 1.5  # 2.1 by another matrix; the library rounds down by up to 1.4


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
def test_pictures_go_in_and_stay_as_they_were(clip, folder, suffix):
    interpolate_video(clip, folder / f"%03d{suffix}", engine=ENGINE)
    (folder / "other.png").write_bytes(b"no picture of this row")
    target = folder.parent / "out"
    target.mkdir()
    report = interpolate_video(
        folder / f"%03d{suffix}",
        target / f"%d{suffix}",
        engine=ENGINE,
        time=TimeOptions(input_rate=Fraction(24000, 1001)),
    )
    assert report.info.rate == Fraction(24000, 1001)
    assert report.frames["source"] == 8
    assert list(pictures_of(target / f"%d{suffix}")) == list(range(1, 17))
    for i in range(1, 9):
        before, after = colors(folder / f"{i:03}{suffix}"), colors(target / f"{2 * i - 1}{suffix}")
        np.testing.assert_array_equal(before[0], after[0])


def test_pictures_are_never_written_over_themselves(clip, folder):
    pattern = folder / "%03d.png"
    interpolate_video(clip, pattern, engine=ENGINE)
    before = {path: path.read_bytes() for path in folder.iterdir()}
    (folder.parent / "link").symlink_to(folder)
    linked = folder.parent / "link" / "%03d.png"
    writing = WriteOptions(overwrite=True)
    for given, made in ((pattern, pattern), (pattern, linked), (folder / "002.png", linked)):
        with pytest.raises(OutputError, match="same pictures"):
            interpolate_video(given, made, engine=ENGINE, writing=writing)
    assert {path: path.read_bytes() for path in folder.iterdir()} == before


def test_pictures_become_a_video_of_their_rate(clip, folder):
    interpolate_video(clip, folder / "%05d.png", engine=ENGINE)
    target = folder.parent / "out.mp4"
    interpolate_video(folder / "%05d.png", target, engine=ENGINE)
    with av.open(str(target)) as container:
        assert [round(50 * frame.time, 6) for frame in container.decode(video=0)] == list(range(16))


def test_an_error_names_the_pictures_and_not_what_they_were_put_into(clip, folder):
    pattern = folder / "%05d.png"
    interpolate_video(clip, pattern, engine=ENGINE)
    picture = av.VideoFrame.from_ndarray(np.zeros((40, 64, 3), np.uint8), format="rgb24")
    picture.save(str(folder / "00002.png"))
    with pytest.raises(InputError, match="change on the way") as caught:
        interpolate_video(pattern, folder.parent / "out.mp4", engine=ENGINE)
    assert str(caught.value).endswith(f"64x40 rgb24 at 0.040 s: {pattern}")


def test_pictures_can_be_looked_at(clip, folder):
    interpolate_video(clip, folder / "%05d.png", engine=ENGINE)
    lines = describe_video(folder / "%05d.png")
    assert lines[0].startswith(f"{folder}/%05d.png: ")
    assert "8 frames, 25 fps (assumed" in lines[1]


def test_a_missing_picture_is_named(clip, folder):
    interpolate_video(clip, folder / "%05d.png", engine=ENGINE)
    (folder / "00003.png").unlink()
    with pytest.raises(InputError, match="After picture 2 comes 4"):
        interpolate_video(folder / "%05d.png", folder.parent / "out.mp4", engine=ENGINE)
    with pytest.raises(InputError, match="no such pictures"):
        interpolate_video(folder / "%05d.jpg", folder.parent / "out.mp4", engine=ENGINE)


def test_old_pictures_stay_unless_told_and_then_all_of_them_go(clip, folder):
    for number in (1, 99):
        (folder / f"{number:05}.png").write_bytes(b"old")
    with pytest.raises(OutputError, match="2 pictures exist already") as caught:
        interpolate_video(clip, folder / "%05d.png", engine=ENGINE)
    assert "--yes" in caught.value.hint
    writing = WriteOptions(overwrite=True)
    interpolate_video(clip, folder / "%05d.png", engine=ENGINE, writing=writing)
    assert list(pictures_of(folder / "%05d.png")) == list(range(1, 9))


def test_after_an_error_no_picture_is_left(clip, folder, monkeypatch):
    from vfimamba_cli.video import writer

    def fail(*_):
        raise av.error.ExternalError(1, "Generic error in an external library")

    monkeypatch.setattr(writer, "encodable", fail)
    with pytest.raises(OutputError, match="Writing failed"):
        interpolate_video(clip, folder / "%05d.png", engine=ENGINE)
    assert list(folder.iterdir()) == []


def test_exr_is_refused_with_what_it_is_and_what_to_do_instead(clip, folder):
    write_exr(folder / "%05d.exr")
    (folder / "00001.exr").rename(folder / "one.exr")
    write_exr(folder / "%05d.exr")
    there = sorted(folder.iterdir())
    for source in (folder / "%05d.exr", folder / "one.exr"):
        with pytest.raises(InputError, match="linear light in floating point") as caught:
            interpolate_video(source, folder / "%05d.png", engine=ENGINE)
        assert str(source) in str(caught.value)
        assert "-apply_trc iec61966_2_1" in caught.value.hint
    for target, hint in (("out-%05d.exr", "out-%05d.png or out-%05d.tif"), ("a.exr", "%05d.png")):
        with pytest.raises(OutputError, match="EXR pictures are not written: they hold") as caught:
            interpolate_video(clip, folder / target, engine=ENGINE)
        assert hint in caught.value.hint
    assert sorted(folder.iterdir()) == there


def write_exr(path):
    with open_for_writing(path, container="image2", options={}) as container:
        stream = container.add_stream("exr", 24, width=16, height=16, options={"format": "half"})
        stream.pix_fmt = "gbrpf32le"
        picture = av.VideoFrame(16, 16, "gbrpf32le")
        for plane in picture.planes:
            np.frombuffer(plane, np.float32)[:] = 0.2
        container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def test_what_makes_no_sense_is_refused(clip, folder):
    with pytest.raises(OutputError, match="A picture holds no video") as caught:
        interpolate_video(clip, folder / "one.png", engine=ENGINE)
    assert "one-%05d.png" in caught.value.hint
    with pytest.raises(OptionError, match="--input-rate is for numbered pictures"):
        interpolate_video(
            clip, folder / "o.mp4", engine=ENGINE, time=TimeOptions(input_rate=Fraction(5))
        )
    with pytest.raises(OptionError, match="gives the output no name"):
        interpolate_video(folder / "%05d.png", engine=ENGINE)
