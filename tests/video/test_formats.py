"""FFmpeg's pixel formats: where their codes lie, and which one a picture fits into."""

import av
import numpy as np
import pytest

from tests.lossless import color_of, noise
from vfimamba_cli.frame import ColorTags
from vfimamba_cli.video.closest import closest_color
from vfimamba_cli.video.formats import FORMATS, format_for
from vfimamba_cli.video.planes import make_picture, read_planes


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_written_into_a_format_is_read_from_it(name):
    color = color_of(name)
    frame = noise(color, 5, 7)
    planes = read_planes(make_picture(frame, name), color)
    for plane, expected in zip(planes, frame.planes, strict=True):
        np.testing.assert_array_equal(plane, expected)
    assert all(plane.dtype == color.dtype and not plane.flags.writeable for plane in planes)


@pytest.mark.parametrize("name", FORMATS)
def test_the_library_says_the_same_of_a_format(name):
    """Its components: Y', Cb, Cr or R, G, B, then alpha."""
    found, library = FORMATS[name], av.VideoFormat(name, 64, 48)
    components = library.components
    assert {component.bits for component in components} == {found.depth}
    assert any(component.is_alpha for component in components) == found.alpha
    assert library.is_rgb == (found.model == "rgb")
    buffers = [component.plane for component in components]
    if found.model == "rgb":
        buffers[:3] = buffers[1], buffers[2], buffers[0]
    assert buffers == [place.buffer for place in found.places]
    if found.model == "yuv":
        shape = components[1].height, components[1].width
        assert shape == color_of(name).chroma_shape(48, 64)


@pytest.mark.parametrize("name", [name for name, found in FORMATS.items() if not found.full_range])
def test_the_codes_lie_where_the_library_puts_them(name):
    """Its own conversion from planes of the same kind changes none of them."""
    color = color_of(name)
    plain = format_for(color, FORMATS)
    frame = noise(color, 16, 32)
    picture = make_picture(frame, plain)
    planes = read_planes(picture.reformat(format=name), color)
    for plane, expected in zip(planes, frame.planes, strict=True):
        np.testing.assert_array_equal(plane, expected)


@pytest.mark.parametrize(
    ("source", "offered", "closest"),
    [
        ("nv12", ["yuv422p", "yuv420p"], "yuv420p"),
        ("p010le", ["yuv420p", "yuv420p10le"], "yuv420p10le"),
        ("yuyv422", ["yuv420p", "yuv422p"], "yuv422p"),
        ("gray", ["yuv420p", "gray"], "gray"),
        ("gray", ["yuv444p", "yuv420p"], "yuv420p"),
        ("gray10le", ["yuv420p", "yuv420p10le"], "yuv420p10le"),
        ("rgb24", ["yuv420p", "bgr0"], "bgr0"),
        ("rgb24", ["yuv444p", "yuv420p"], "yuv420p"),
        ("gbrp10le", ["yuv422p", "yuv422p10le", "yuv444p10le"], "yuv422p10le"),
        ("yuv420p", ["rgb24", "rgba"], "rgb24"),
        ("yuv420p", ["gray", "yuv444p"], "yuv444p"),
        ("yuv444p", ["yuv420p", "yuv422p"], "yuv422p"),
        ("yuv420p12le", ["yuv420p", "yuv420p10le"], "yuv420p10le"),
        ("yuv420p9le", ["yuv420p", "yuv420p10le"], "yuv420p10le"),
        ("yuva420p", ["yuv420p", "yuva444p"], "yuva444p"),
        ("rgba", ["yuv420p", "yuva420p"], "yuva420p"),
        ("rgba", ["yuv420p", "gray"], "yuv420p"),
        ("yuv440p", ["yuv422p", "yuv420p", "yuv444p"], "yuv444p"),
        ("ya16le", ["ya8", "yuva444p16le", "gray16le"], "yuva444p16le"),
        ("gbrp16le", ["yuv444p16le", "gbrp12le"], "gbrp12le"),
    ],
)
def test_an_encoder_that_lacks_a_format_is_given_what_loses_least(source, offered, closest):
    found = closest_color(color_of(source), offered, height=480)
    assert format_for(found, offered) == closest


def test_colors_never_become_grey():
    assert closest_color(color_of("yuv420p"), ["gray", "gray10le"], height=480) is None


def test_a_conversion_is_tagged_with_what_it_made():
    rgb = color_of("bgra", tags=ColorTags(primaries=1, transfer=13))
    small, large = (closest_color(rgb, ["yuv420p"], height=h) for h in (480, 720))
    assert (small.matrix, small.full_range, small.alpha) == ("bt601", False, False)
    assert small.tags == ColorTags(matrix=6, primaries=1, transfer=13, range=1)
    assert (large.matrix, large.tags.matrix) == ("bt709", 1)
    back = closest_color(large, ["rgb24"], height=720)
    assert (back.matrix, back.full_range, back.tags.matrix, back.tags.range) == ("rgb", True, 0, 2)


def test_what_an_encoder_takes_stays_as_it_is_tags_and_all():
    color = color_of("yuv422p10le", tags=ColorTags(range=1))
    assert closest_color(color, ["yuv420p", "yuv422p10le"], height=480) is color
