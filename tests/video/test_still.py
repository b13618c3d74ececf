from pathlib import Path

import av
import numpy as np
import pytest

from vfimamba_cli.errors import InputError
from vfimamba_cli.video.still import encode_png, read_still

DEMO = Path(__file__).parents[1] / "media/demo.mp4"


@pytest.mark.parametrize("name", ["1.png", "frame %03d 10:30.png"])
def test_a_png_gives_back_the_pixels_it_was_made_from(tmp_path, name):
    picture = np.random.randint(0, 256, (37, 53, 3), np.uint8)
    (tmp_path / name).write_bytes(encode_png(picture))
    np.testing.assert_array_equal(read_still(tmp_path / name), picture)


def test_a_picture_that_is_not_there_or_is_broken_is_an_input_error(tmp_path):
    path = tmp_path / "1.png"
    with pytest.raises(InputError, match=r"1\.png"):
        read_still(path)
    path.write_bytes(encode_png(np.zeros((64, 64, 3), np.uint8))[:40])
    with pytest.raises(InputError, match=r"1\.png"):
        read_still(path)


@pytest.mark.parametrize("content", [b"", b"no picture at all", b"\x89PNG\r\n\x1a\n" + 40 * b"x"])
def test_a_png_that_is_none_is_an_input_error(tmp_path, content):
    (tmp_path / "1.png").write_bytes(content)
    with pytest.raises(InputError, match=r"1\.png"):
        read_still(tmp_path / "1.png")


def test_a_grey_png_is_read_as_three_equal_channels(tmp_path):
    grey = np.random.randint(0, 256, (20, 30), np.uint8)
    with av.open(str(tmp_path / "1.png"), "w", format="image2", options={"update": "1"}) as file:
        stream = file.add_stream("png", rate=1)
        stream.height, stream.width, stream.pix_fmt = 20, 30, "gray"
        file.mux(stream.encode(av.VideoFrame.from_ndarray(grey, format="gray")))
        file.mux(stream.encode(None))
    np.testing.assert_array_equal(read_still(tmp_path / "1.png"), np.dstack([grey] * 3))


def test_a_video_is_no_still():
    with pytest.raises(InputError, match="98 pictures, not one"):
        read_still(DEMO)
