import gc
import struct
import zlib
from errno import EACCES
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type as SideDataType

from tests.clips import make_clip, make_picture, pan_planes, read_frames
from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import ColorTags
from vfimamba_cli.video.clip import read_clip
from vfimamba_cli.video.info import resolve_color
from vfimamba_cli.video.prefetch import prefetch
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.still import encode_png

REAL = Path(__file__).resolve().parents[2] / "../shared/data/test"

VARIABLE = [0, 41, 83, 125, 166, 2166, 2208]
"""Gaps of 41 and 42 ms and one of two seconds, in ms."""


def read(path):
    with VideoReader(path) as reader:
        return reader.info, list(reader.frames())


def real(name):
    if not REAL.is_dir():
        pytest.skip(f"no real footage at {REAL}")
    return REAL / name


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_frames_come_with_exact_times_that_follow_one_another(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    make_clip(path, frames=9, rate=Fraction(24000, 1001))
    info, frames = read(path)
    tick = Fraction(1, 1000) if suffix == ".mkv" else Fraction(1001, 24000)
    expected = [round(i * Fraction(1001, 24000) / tick) * tick for i in range(9)]
    assert [frame.pts_seconds for frame in frames] == expected
    assert [a.end_seconds for a in frames[:-1]] == [b.pts_seconds for b in frames[1:]]
    assert info.rate == Fraction(24000, 1001)
    assert info.frame_count == 9
    assert frames[-1].end_seconds == info.start_seconds + info.duration_seconds
    assert abs(info.duration_seconds - 9 * Fraction(1001, 24000)) < Fraction(1, 1000)


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_a_variable_rate_stays_as_it_is(tmp_path, suffix):
    path = tmp_path / f"clip{suffix}"
    make_clip(path, frames=6, ticks=VARIABLE, time_base=Fraction(1, 1000))
    info, frames = read(path)
    assert [frame.pts_seconds * 1000 for frame in frames] == VARIABLE[:-1]
    assert abs(frames[-1].end_seconds - Fraction(VARIABLE[-1], 1000)) <= Fraction(1, 1000)
    assert float(info.rate) == pytest.approx(6 / 2.208, abs=0.01)


def test_a_first_time_other_than_zero_is_kept(tmp_path):
    make_clip(tmp_path / "clip.mp4", frames=3, ticks=[10, 11, 12, 13], rate=4)
    info, frames = read(tmp_path / "clip.mp4")
    assert [frame.pts_seconds * 4 for frame in frames] == [10, 11, 12]
    assert info.start_seconds == Fraction(10, 4)


@pytest.mark.parametrize(
    "pix_fmt",
    ["yuv420p", "yuv422p", "yuv444p", "yuv420p10le", "yuv422p10le", "yuv444p10le"],
)
def test_planes_are_those_that_were_coded(tmp_path, pix_fmt):
    path = tmp_path / "clip.mkv"
    make_clip(path, frames=2, size=(62, 46), pix_fmt=pix_fmt)
    info, frames = read(path)
    assert info.pixel_format == pix_fmt
    for index, frame in enumerate(frames):
        for plane, coded in zip(frame.planes, pan_planes(index, 62, 46, pix_fmt), strict=True):
            assert plane.dtype == coded.dtype
            assert plane.shape == coded.shape
            error = np.abs(plane.astype(int) - coded.astype(int)).mean()
            assert error < 3 * 2 ** (info.color.bit_depth - 8)


def test_planes_cannot_be_written_to_by_accident(tmp_path):
    make_clip(tmp_path / "clip.mp4", frames=1)
    _, (frame,) = read(tmp_path / "clip.mp4")
    with pytest.raises(ValueError, match="read-only"):
        frame.planes[0][0, 0] = 1


@pytest.mark.parametrize(
    ("size", "tags", "matrix", "full_range"),
    [
        ((64, 48), {"colorspace": 1, "color_range": 1}, "bt709", False),
        ((64, 48), {"colorspace": 9, "color_range": 2}, "bt2020", True),
        ((64, 48), {}, "bt601", False),
        ((64, 718), {}, "bt601", False),
        ((64, 720), {}, "bt709", False),
        ((64, 48), {"color_primaries": 9, "color_range": 1}, "bt2020", False),
    ],
)
def test_colors_left_open_follow_the_size_and_the_tags_stay_open(
    tmp_path, size, tags, matrix, full_range
):
    make_clip(tmp_path / "clip.mp4", frames=1, size=size, tags=tags, audio=False)
    info, _ = read(tmp_path / "clip.mp4")
    assert (info.color.matrix, info.color.full_range) == (matrix, full_range)
    assert info.color.tags == ColorTags(
        matrix=tags.get("colorspace", 2),
        primaries=tags.get("color_primaries", 2),
        range=tags.get("color_range", 0),
    )


def test_the_shape_of_pixels_the_rotation_and_the_other_streams_are_told(tmp_path):
    make_clip(tmp_path / "clip.mp4", frames=2, sar=Fraction(15, 11), rotation=90)
    info, _ = read(tmp_path / "clip.mp4")
    assert info.sample_aspect_ratio == Fraction(15, 11)
    assert info.rotation == 90
    assert len(info.display_matrix) == 9
    assert [(s.kind, s.codec, s.language) for s in info.streams if s.kind == "audio"] == [
        ("audio", "aac", "deu")
    ]


def test_pictures_with_data_of_a_kind_newer_than_the_library_can_be_read(tmp_path):
    write_motion_jpeg(tmp_path / "clip.mov", exif_orientation=1)
    info, frames = read(tmp_path / "clip.mov")
    assert len(frames) == 2
    assert info.rotation == 0


def test_a_rotation_is_found_or_refused_but_never_lost(tmp_path):
    write_motion_jpeg(tmp_path / "clip.mov", exif_orientation=6)
    if hasattr(SideDataType, "EXIF"):
        info, _ = read(tmp_path / "clip.mov")
        assert info.rotation == -90
        assert len(info.display_matrix) == 9
    else:
        with pytest.raises(InputError, match=r"rotation by -90 degrees .* does not know") as caught:
            read(tmp_path / "clip.mov")
        assert caught.value.hint


def write_motion_jpeg(path, *, exif_orientation):
    """Two JPEG pictures that carry Exif data, as cameras write it: one entry, the orientation."""
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, exif_orientation, 0)
    tiff = b"II*\0" + struct.pack("<IH", 8, 1) + entry + bytes(4)
    segment = b"Exif\0\0" + tiff
    exif = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", 25, width=64, height=48, pix_fmt="yuvj420p")
        for i in range(2):
            picture = make_picture(pan_planes(i, 64, 48), "yuvj420p")
            picture.color_range, picture.pts = 2, i
            for coded in stream.encode(picture):
                jpeg = bytes(coded)
                packet = av.Packet(jpeg[:2] + exif + jpeg[2:])
                packet.stream, packet.time_base = stream, coded.time_base
                packet.pts, packet.dts, packet.duration = coded.pts, coded.dts, coded.duration
                container.mux(packet)


def test_a_single_frame_has_its_own_duration(tmp_path):
    make_clip(tmp_path / "clip.mp4", frames=1, rate=25)
    info, (frame,) = read(tmp_path / "clip.mp4")
    assert frame.duration_seconds == info.duration_seconds == Fraction(1, 25)


def test_a_raw_stream_without_times_counts_frames(tmp_path):
    path = tmp_path / "clip.h264"
    make_clip(path, frames=5, audio=False, rate=25)
    info, frames = read(path)
    assert [frame.pts_seconds for frame in frames] == [Fraction(i, 25) for i in range(5)]
    assert info.duration_seconds == Fraction(5, 25)


def test_a_raw_stream_plays_at_the_rate_that_is_coded_in_it(tmp_path):
    path = tmp_path / "clip.h264"
    make_clip(path, frames=5, audio=False, rate=Fraction(49, 2))
    info, frames = read(path)
    assert info.rate == Fraction(49, 2)
    assert info.rate_assumed
    assert [frame.pts_seconds for frame in frames] == [Fraction(2 * i, 49) for i in range(5)]


def test_a_raw_stream_that_says_nothing_plays_at_25_frames_a_second():
    info, _ = read(real("BA_MW_D.264"))
    assert info.rate == 25
    assert info.rate_assumed


def test_a_transport_stream_starts_at_its_own_clock(tmp_path):
    path = tmp_path / "clip.ts"
    make_clip(path, frames=5, ticks=[100, 101, 102, 103, 104, 105], rate=25, audio=False)
    info, frames = read(path)
    assert info.origin_seconds >= 4
    assert [frame.pts_seconds for frame in frames] == [Fraction(i, 25) for i in range(5)]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv", ".avi", ".flv"])
@pytest.mark.parametrize("kept", [0.5, 0.75, 0.98])
def test_a_file_cut_off_anywhere_is_refused_before_the_first_frame(tmp_path, suffix, kept):
    whole, cut = tmp_path / f"whole{suffix}", tmp_path / f"cut{suffix}"
    make_clip(whole, frames=60, audio=suffix != ".flv" and "pcm_s16le")
    if suffix in (".mp4", ".mov"):
        put_index_first(whole)
    data = whole.read_bytes()
    cut.write_bytes(data[: int(len(data) * kept)])
    read(whole)
    with pytest.raises(InputError, match="cut off or damaged") as caught, VideoReader(cut):
        pass
    assert str(cut) in str(caught.value)
    assert caught.value.hint


def put_index_first(path):
    """Remux with the index before the pictures: the kind that opens when cut off."""
    moved = path.with_stem("moved")
    with (
        av.open(str(path)) as source,
        av.open(str(moved), "w", container_options={"movflags": "faststart"}) as target,
    ):
        streams = [target.add_stream_from_template(stream) for stream in source.streams]
        for packet in source.demux():
            if packet.size:
                packet.stream = streams[packet.stream_index]
                target.mux(packet)
    moved.replace(path)


def test_damage_in_the_middle_is_an_error_and_no_shorter_video(tmp_path):
    path = tmp_path / "clip.mp4"
    make_clip(path, frames=30, audio=False, size=(128, 96))
    with av.open(str(path)) as container:
        victim = [packet for packet in container.demux(video=0) if packet.size][15]
        start, size = victim.pos, victim.size
    data = bytearray(path.read_bytes())
    data[start : start + size] = b"\xff" * size
    path.write_bytes(data)
    with pytest.raises(InputError, match="damaged"):
        read(path)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: None, "No such file"),
        (lambda path: path.mkdir(), "A folder, not a video"),
        (lambda path: path.write_bytes(b""), "Not a video that can be opened"),
        (lambda path: path.write_text("this is no video\n" * 100), "Not a video"),
        (lambda path: make_clip(path, frames=0), "There is no video stream, only audio"),
        (lambda path: make_clip(path, frames=1, tags={"colorspace": 14}), "matrix with code 14"),
    ],
)
def test_what_is_no_usable_video_is_refused_with_a_hint(tmp_path, make, message):
    path = tmp_path / "input.mp4"
    make(path)
    with pytest.raises(InputError, match=message) as caught, VideoReader(path):
        pass
    assert str(path) in str(caught.value)
    assert caught.value.hint


@pytest.mark.parametrize("read_it", [read, read_clip])
def test_a_name_with_a_colon_is_a_file_and_no_protocol(tmp_path, monkeypatch, read_it):
    monkeypatch.chdir(tmp_path)
    make_clip(tmp_path / "12:30.mp4", frames=2)
    read_it(Path("12:30.mp4"))
    Path("9:15.mp4").write_text("no video")
    with pytest.raises(InputError, match=r": 9:15\.mp4$"):
        read_it(Path("9:15.mp4"))


def test_a_name_that_the_system_refuses_is_an_input_error(tmp_path):
    with (
        pytest.raises(InputError, match=r"\(File name too long\): .*aaa") as caught,
        VideoReader(tmp_path / f"{'a' * 300}.mp4"),
    ):
        pass
    assert "path" in caught.value.hint


def test_a_file_in_a_folder_that_may_not_be_entered_is_an_input_error(tmp_path, monkeypatch):
    def refuse(*_, **__):
        raise PermissionError(EACCES, "Permission denied")

    monkeypatch.setattr(Path, "stat", refuse)
    with (
        pytest.raises(InputError, match=r"\(Permission denied\): .*in\.mp4") as caught,
        VideoReader(tmp_path / "in.mp4"),
    ):
        pass
    assert "enter its folders" in caught.value.hint


@pytest.mark.parametrize("pixel_format", ["xyz12le", "bayer_rggb8", "grayf32le"])
def test_a_pixel_format_that_is_not_supported_is_named_and_what_is_too(pixel_format):
    with pytest.raises(InputError, match=f"pixel format {pixel_format}") as caught:
        resolve_color(pixel_format, ColorTags(), codec="any", height=48, path=Path("a.mkv"))
    assert "grey of 8 to 16 bits" in caught.value.hint


def test_leaving_while_a_thread_reads_ahead_keeps_the_error_that_made_one_leave(tmp_path):
    make_clip(tmp_path / "clip.mp4", frames=60, size=(320, 240))
    for _ in range(5):
        with (
            pytest.raises(OSError, match="disk full"),
            VideoReader(tmp_path / "clip.mp4") as reader,
        ):
            frames = prefetch(reader.frames(), depth=2)
            next(frames)
            raise OSError("disk full")
        frames.close()


@pytest.mark.parametrize(
    ("name", "count", "start", "end"),
    [
        ("vfr_real.mp4", 117, 0, 5),
        ("var_fps_video.mp4", 300, 0, Fraction(449, 30)),
        ("edit_list_positive_shift.mp4", 270, 1, 10),
        ("iibbibb_editlist_videoonly.mp4", 12, 0, 12),
        ("one_frame.mp4", 1, 0, Fraction(1, 30)),
        ("late_start.ts", 120, 0, 4),
        ("three_sounds.mkv", 234, Fraction(7, 1000), Fraction(7807, 1000)),
        ("roadtrip-vp92-10bit.webm", 72, 0, Fraction(3002, 1000)),
    ],
)
def test_real_files_are_read_to_their_end(name, count, start, end):
    info, frames = read(real(name))
    assert len(frames) == len(read_frames(real(name))) == count
    assert frames[0].pts_seconds == info.start_seconds == start
    assert frames[-1].end_seconds == end


@pytest.mark.parametrize(
    "name",
    [
        "truncated.mp4",
        "truncated.webm",
        "invalid-bitstream.webm",
        "Error_I_P.264",
        "BA_MW_D_IDR_LOST.264",
        "sample_with_invalid_nalu.mp4",
    ],
)
def test_real_damaged_files_are_refused(name):
    with pytest.raises(InputError, match="cut off or damaged"):
        read(real(name))


def test_alpha_that_a_container_has_beside_vp9_is_read():
    info, frames = read(real("alpha.webm"))
    assert info.pixel_format == "yuva420p"
    assert info.codec == "vp9"
    assert info.color.tags == ColorTags(matrix=6, primaries=6, transfer=1, range=1)
    assert len(frames) == 30
    alpha = frames[0].planes[3]
    assert alpha.shape == (160, 240)
    assert alpha.min() < 10 < 240 < alpha.max()


@pytest.mark.parametrize(("pixel_format", "plain"), [("pal8", "rgba"), ("monob", "gray")])
def test_pictures_of_less_than_a_byte_per_code_are_read_with_a_byte(tmp_path, pixel_format, plain):
    path = tmp_path / "clip.mov"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("png", 24, width=16, height=8, pix_fmt=pixel_format)
        for i in range(2):
            picture = av.VideoFrame(16, 8, pixel_format)
            for plane in picture.planes:
                plane.update(bytes(plane.buffer_size))
            np.frombuffer(picture.planes[0], np.uint8)[0] = 0x80  # first index, or first pixel
            if pixel_format == "pal8":
                palette = np.frombuffer(picture.planes[1], np.uint32)
                palette[0], palette[0x80] = 0xFF_00_00_00, 0x80_FF_40_20
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    info, frames = read(path)
    assert info.pixel_format == plain
    assert len(frames) == 2
    first, rest = ([int(plane.flat[i]) for plane in frames[1].planes] for i in (0, 1))
    assert first == ([0x40, 0x20, 0xFF, 0x80] if plain == "rgba" else [255])
    assert rest == ([0, 0, 0, 255] if plain == "rgba" else [0])


def test_a_color_profile_that_cannot_be_carried_over_is_named(tmp_path):
    png = encode_png(np.zeros((8, 8, 3), np.uint8))
    profile = b"any\0\0" + zlib.compress(bytes(128))
    chunk = b"iCCP" + profile
    framed = struct.pack(">I", len(profile)) + chunk + struct.pack(">I", zlib.crc32(chunk))
    after_header = 8 + 4 + 4 + 13 + 4
    (tmp_path / "picture.png").write_bytes(png[:after_header] + framed + png[after_header:])
    for _ in range(30):  # the library would free some memory of theirs twice
        info, _ = read(tmp_path / "picture.png")
        gc.collect()
    assert info.side_data == ("ICC color profile",)


@pytest.mark.parametrize(("see_through", "pixel_format"), [(True, "bgra"), (False, "bgr0")])
def test_a_gif_has_alpha_only_if_some_picture_lets_something_through(
    tmp_path, see_through, pixel_format
):
    path = tmp_path / "clip.gif"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("gif", 10, width=16, height=8, pix_fmt="pal8")
        for i in range(3):
            picture = av.VideoFrame(16, 8, "pal8")
            palette = np.frombuffer(picture.planes[1], np.uint32)
            palette[:] = 0xFF_00_00_00
            palette[1] = 0x00_00_00_00 if see_through else 0xFF_30_20_10
            np.frombuffer(picture.planes[0], np.uint8)[:] = i == 0
            picture.pts = i
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    info, frames = read(path)
    assert info.pixel_format == pixel_format
    assert len(frames) == 3
    assert len(frames[0].planes) == (4 if see_through else 3)
    if not see_through:
        assert [plane.max() for plane in frames[0].planes] == [0x20, 0x10, 0x30]


@pytest.mark.parametrize("frames", [24, 25])
def test_a_constant_rate_counted_in_milliseconds_is_no_variable_one(tmp_path, frames):
    ticks = [round(i * 1000 * Fraction(1001, 30000)) for i in range(frames + 1)]
    uneven = [*ticks[:10], *(tick + 3 for tick in ticks[10:])]
    for name, times in (("even", ticks), ("uneven", uneven)):
        path = tmp_path / f"{name}.mkv"
        make_clip(path, frames=frames, ticks=times, time_base=Fraction(1, 1000), audio=False)
        with VideoReader(path) as reader:
            assert reader.info.variable_rate == (name == "uneven")
