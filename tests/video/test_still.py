from pathlib import Path

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


def test_a_video_is_no_still():
    with pytest.raises(InputError, match="98 pictures, not one"):
        read_still(DEMO)
