"""The video that whole runs are timed with."""

import numpy as np

from vfimamba_cli.bench.footage import RATE, moving_frames, write_footage
from vfimamba_cli.video.cuts import changes
from vfimamba_cli.video.reader import VideoReader


def test_footage_moves_without_a_cut_and_is_the_same_each_time(tmp_path):
    write_footage(tmp_path / "clip.mp4", width=128, height=96, frames=6)
    with VideoReader(tmp_path / "clip.mp4") as reader:
        assert (reader.info.width, reader.info.height, reader.info.rate) == (128, 96, RATE)
        assert reader.info.codec == "h264"
        found = list(changes(reader.frames()))
    assert [change for _, change in found] == ["cut", *["motion"] * 5]
    assert [frame.pts_seconds * RATE for frame, _ in found] == list(range(6))
    for one, other in zip(moving_frames(64, 48, 3), moving_frames(64, 48, 3), strict=True):
        for a, b in zip(one.planes, other.planes, strict=True):
            np.testing.assert_array_equal(a, b)


def test_grain_never_wraps_around():
    for frame in moving_frames(320, 240, 8):
        luma = frame.planes[0].astype(int)
        assert abs(luma[1:] - luma[:-1]).max() < 100
