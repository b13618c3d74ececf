"""Parts of a video, and pictures of two fields."""

from fractions import Fraction

import av
import numpy as np
import pytest

from tests.clips import make_clip, make_picture, pan_planes, same_planes
from vfimamba_cli.errors import OptionError
from vfimamba_cli.video.pictures import Pictures
from vfimamba_cli.video.reader import VideoReader


def frames_of(path, **options):
    with VideoReader(path, **options) as reader:
        return reader.info, list(reader.frames())


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".ts", ".avi"])
@pytest.mark.parametrize(
    ("start", "end"), [(None, "1.5"), ("0.5", None), ("5.1", "5.6"), ("0", "9")]
)
def test_a_part_has_the_frames_that_the_whole_has_there(tmp_path, suffix, start, end):
    path = tmp_path / f"in{suffix}"
    make_clip(path, frames=180, size=(32, 32), rate=25, audio=False)
    _, whole = frames_of(path)
    start, end = (None if text is None else Fraction(text) for text in (start, end))
    info, part = frames_of(path, start_seconds=start, end_seconds=end)
    origin = whole[0].pts_seconds
    expected = [
        frame
        for frame in whole
        if (start is None or frame.pts_seconds - origin >= start)
        and (end is None or frame.pts_seconds - origin < end)
    ]
    assert len(part) == len(expected) == info.frame_count
    for frame, same in zip(part, expected, strict=True):
        assert frame.pts_seconds == same.pts_seconds
        assert frame.duration_seconds == same.duration_seconds
        assert same_planes(frame, same)
    assert info.start_seconds == expected[0].pts_seconds
    assert info.end_seconds == expected[-1].end_seconds


def test_a_part_far_into_a_video_is_not_decoded_from_its_beginning(tmp_path, monkeypatch):
    make_clip(tmp_path / "in.mp4", frames=400, size=(32, 32), rate=25, audio=False, keyframes=25)
    decoded = []
    ticks_of = Pictures._ticks
    monkeypatch.setattr(
        Pictures, "_ticks", lambda *args: decoded.append(ticks_of(*args)) or decoded[-1]
    )
    _, part = frames_of(tmp_path / "in.mp4", start_seconds=Fraction(14), end_seconds=Fraction(15))
    assert len(part) == 25
    assert len(decoded) < 150


def test_nothing_between_start_and_end_is_refused(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=5, rate=25)
    with pytest.raises(OptionError, match=r"between 3 s and the end of the 0.2 s of video"):
        frames_of(tmp_path / "in.mp4", start_seconds=Fraction(3))


SECONDS = [0, 1, 2, 3, 4, 60, 61]  # when six pictures appear, and the end


@pytest.mark.parametrize(
    ("start", "end", "expected"),
    [
        (0, 20, [0, 1, 2, 3, 4, 20]),  # gone at the end
        (20, None, [20, 60, 61]),  # there from the start
        (20, 30, [20, 30]),
        (56, 70, [56, 60, 61]),
        (59, None, [60, 61]),  # soon enough
    ],
)
def test_a_picture_that_is_held_long_is_there_for_the_part_of_its_time(
    tmp_path, start, end, expected
):
    make_clip(tmp_path / "in.mp4", frames=6, ticks=SECONDS, time_base=Fraction(1), audio=False)
    _, whole = frames_of(tmp_path / "in.mp4")
    info, part = frames_of(tmp_path / "in.mp4", start_seconds=start, end_seconds=end)
    times = [frame.pts_seconds for frame in part] + [part[-1].end_seconds]
    assert times == expected
    assert (info.start_seconds, info.end_seconds) == (times[0], times[-1])
    shown = [frame for frame in whole if frame.end_seconds > times[0]]
    assert all(same_planes(a, b) for a, b in zip(part, shown, strict=False))


def test_in_mp4_the_last_picture_lasts_as_long_as_its_own_packet_says(tmp_path):
    """With B-frames its packet is not the last, and has the step to the next as its duration."""
    path, ticks = tmp_path / "in.mp4", [0, 40, 80, 2080, 2120, 2160, 2200, 2240]
    with av.open(str(path), "w", container_options={"video_track_timescale": "1000"}) as container:
        stream = container.add_stream("libx264", 25, options={"x264-params": "bframes=2:b-adapt=0"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        stream.time_base = stream.codec_context.time_base = Fraction(1, 1000)
        durations = dict(zip(ticks, np.diff(ticks).tolist(), strict=False))
        for i, tick in enumerate(ticks[:-1]):
            picture = make_picture(pan_planes(i, 64, 48), "yuv420p")
            picture.pts, picture.time_base = tick, Fraction(1, 1000)
            picture.duration = durations[tick]
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        packets = [packet for packet in container.demux(video=0) if packet.size]
    assert max(packets, key=lambda packet: packet.pts).duration == 2000
    info, frames = frames_of(path)
    assert [frame.pts_seconds * 1000 for frame in frames] == ticks[:-1]
    assert info.duration_seconds * 1000 == ticks[-1]


SIZE = 96, 192


def woven(path, frames):
    """A pan whose pictures are woven from two fields, half a picture's time apart."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", 25, options={"x264-params": "bff=1", "crf": "4"})
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        for i in range(frames):
            bottom, top = (pan_planes(2 * i + field, *SIZE, speed=6) for field in (0, 1))
            for plane, earlier in zip(top, bottom, strict=True):
                plane[1::2] = earlier[1::2]
            container.mux(stream.encode(make_picture(top, "yuv420p")))
        container.mux(stream.encode(None))


def test_fields_are_made_whole_pictures_at_the_same_times(tmp_path):
    woven(tmp_path / "in.mp4", 8)
    info, fields = frames_of(tmp_path / "in.mp4")
    _, whole = frames_of(tmp_path / "in.mp4", deinterlace=True)
    assert info.interlaced
    assert [f.pts_seconds for f in whole] == [f.pts_seconds for f in fields]
    assert [f.duration_seconds for f in whole] == [f.duration_seconds for f in fields]
    for i in range(1, 7):
        then = pan_planes(2 * i, *SIZE, speed=6)[0].astype(float)
        off, woven_off = (np.abs(f.planes[0] - then)[8:-8].mean() for f in (whole[i], fields[i]))
        assert off < 0.3 * woven_off


@pytest.mark.parametrize("off", [0, 40])
def test_a_container_that_seeks_too_far_is_read_from_its_beginning(tmp_path, monkeypatch, off):
    path = tmp_path / "in.mp4"
    make_clip(path, frames=150, size=(32, 32), rate=25, audio=False, keyframes=10)
    _, whole = frames_of(path)

    def too_far(self, ticks):
        self.container.seek(ticks + off, stream=self.stream)
        return True

    monkeypatch.setattr(Pictures, "_seek", too_far)
    _, part = frames_of(path, start_seconds=Fraction(4))
    assert len(part) == 50
    assert all(map(same_planes, part, whole[100:]))
