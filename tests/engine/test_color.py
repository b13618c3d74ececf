import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vfimamba_cli.engine.color import to_planes, to_rgb
from vfimamba_cli.frame import ColorSpec

SPECS = [
    ColorSpec(
        matrix=matrix,
        full_range=full_range,
        bit_depth=bit_depth,
        subsampling=subsampling,
        chroma_location=location,
    )
    for matrix, full_range, bit_depth, (subsampling, location) in itertools.product(
        ("bt601", "bt709", "bt2020"),
        (False, True),
        (8, 10, 16),
        (
            ("420", "left"),
            ("420", "center"),
            ("420", "topleft"),
            ("422", "left"),
            ("422", "center"),
            ("444", "left"),
        ),
    )
]


def spec_name(color):
    range_name = "full" if color.full_range else "limited"
    return "-".join(
        (color.matrix, range_name, str(color.bit_depth), color.subsampling, color.chroma_location)
    )


def smooth_picture(height, width):
    y = torch.linspace(0, 3, height)[:, None]
    x = torch.linspace(0, 3, width)
    return torch.stack((0.5 + 0.4 * torch.sin(x + y), 0.5 + 0.4 * torch.cos(2 * x - y), x * y / 9))


def noisy_picture(height, width):
    """Noise in luma and, weaker, in color, as films have it."""
    grey = 0.5 + 0.15 * torch.randn(1, height, width)
    return (grey + 0.05 * torch.randn(3, height, width)).clamp(0, 1)


def drift(planes, color):
    """Mean and largest change of each plane on its way to RGB and back, in 8-bit code values."""
    back = to_planes(to_rgb(planes, color, "cpu"), color)
    unit = 1 << (color.bit_depth - 8)
    changes = [
        np.abs(a.astype(np.int64) - b.astype(np.int64)) / unit
        for a, b in zip(planes, back, strict=True)
    ]
    return [change.mean() for change in changes], [change.max() for change in changes]


@pytest.mark.parametrize("color", SPECS, ids=spec_name)
@pytest.mark.parametrize("picture", [smooth_picture, noisy_picture])
def test_a_still_picture_does_not_flicker_between_source_and_made_frames(picture, color):
    planes = to_planes(picture(37, 51), color)
    means, _ = drift(planes, color)
    assert means[0] < 0.25
    assert max(means[1:]) < 0.5


@pytest.mark.parametrize("color", SPECS, ids=spec_name)
def test_no_code_moves_by_more_than_one_step(color):
    _, largest = drift(to_planes(noisy_picture(36, 52), color), color)
    assert max(largest) * (1 << (color.bit_depth - 8)) <= 1


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(SPECS))
def test_every_size_comes_back_with_its_shape_type_and_chroma(height, width, color):
    rng = np.random.default_rng(height * 16 + width)
    peak = 1 << color.bit_depth
    shape = color.chroma_shape(height, width)
    luma = np.full((height, width), peak // 2, color.dtype)
    chroma = [rng.integers(peak * 3 // 8, peak * 5 // 8, shape).astype(color.dtype) for _ in "br"]
    planes = (luma, *chroma)
    back = to_planes(to_rgb(planes, color, "cpu"), color)
    for before, after in zip(planes, back, strict=True):
        assert after.shape == before.shape
        assert after.dtype == before.dtype
        assert np.abs(before.astype(int) - after.astype(int)).max() <= 1


@pytest.mark.parametrize(
    ("matrix", "codes"),
    [
        # Y', Cb, Cr of 75 % red, green and blue, 8 bits, limited range, computed from
        # Y' = Kr R + Kg G + Kb B by hand with the weights of ITU-T H.273.
        ("bt601", ((65, 100, 212), (112, 72, 58), (35, 212, 114))),
        ("bt709", ((51, 109, 212), (133, 63, 52), (28, 212, 120))),
        ("bt2020", ((59, 105, 212), (127, 67, 51), (26, 212, 121))),
    ],
)
def test_color_bars_have_the_codes_of_the_standard(matrix, codes):
    color = ColorSpec(matrix=matrix, subsampling="444")
    for channel, expected in enumerate(codes):
        rgb = torch.zeros(3, 2, 2)
        rgb[channel] = 0.75
        assert tuple(int(plane[0, 0]) for plane in to_planes(rgb, color)) == expected


@pytest.mark.parametrize(
    ("full_range", "bit_depth", "black", "white", "neutral"),
    [
        (False, 8, 16, 235, 128),
        (True, 8, 0, 255, 128),
        (False, 10, 64, 940, 512),
        (True, 10, 0, 1023, 512),
        (False, 16, 4096, 60160, 32768),
        (True, 16, 0, 65535, 32768),
    ],
)
def test_black_and_white_have_the_codes_of_their_range(
    full_range, bit_depth, black, white, neutral
):
    color = ColorSpec(matrix="bt709", full_range=full_range, bit_depth=bit_depth)
    for level, expected in ((0, black), (1, white)):
        planes = to_planes(torch.full((3, 4, 4), float(level)), color)
        assert [int(plane[0, 0]) for plane in planes] == [expected, neutral, neutral]


@pytest.mark.parametrize(("location", "shift"), [("left", -0.5), ("center", 0.0)])
def test_chroma_lies_where_its_location_says(location, shift):
    """A horizontal ramp of Cr is sampled at luma columns 0, 2, ... or halfway to the next."""
    color = ColorSpec(matrix="bt709", full_range=True, bit_depth=16, chroma_location=location)
    columns = torch.arange(16.0)
    rgb = torch.full((3, 8, 16), 0.5)
    rgb[0] = 0.4 + columns / 100
    cr = to_planes(rgb, color)[2].astype(float)
    step = (cr[0, 5] - cr[0, 3]) / 4
    at_column_6 = (0.5 + (0.4 + 0.06 - 0.5) * (1 - 0.2126) / (2 * (1 - 0.2126))) * 65535
    assert (cr[0, 3] - at_column_6) / step == pytest.approx(0.5 + shift, abs=0.05)


def test_grey_stays_grey():
    color = ColorSpec(matrix="bt601")
    luma = np.arange(16, 236, dtype=np.uint8).reshape(10, 22)
    chroma = np.full((5, 11), 128, np.uint8)
    rgb = to_rgb((luma, chroma, chroma), color, "cpu")
    torch.testing.assert_close(rgb[0], rgb[1], atol=1e-6, rtol=0)
    torch.testing.assert_close(rgb[1], rgb[2], atol=1e-6, rtol=0)
    assert rgb[0].min() == 0
    assert rgb[0].max() == 1


@pytest.mark.parametrize("color", SPECS, ids=spec_name)
def test_codes_beyond_black_white_and_the_colors_of_rgb_come_back(color):
    rng = np.random.default_rng(0)
    peak = 1 << color.bit_depth
    shapes = ((6, 8), color.chroma_shape(6, 8), color.chroma_shape(6, 8))
    planes = tuple(rng.integers(0, peak, shape).astype(color.dtype) for shape in shapes)
    _, largest = drift(planes, color)
    assert max(largest) * peak / 256 <= 1


@pytest.mark.gpu
def test_the_gpu_gives_the_codes_of_the_cpu():
    color = ColorSpec(matrix="bt2020", bit_depth=10)
    planes = to_planes(noisy_picture(36, 52), color)
    back = to_planes(to_rgb(planes, color, "cuda"), color)
    for before, after in zip(planes, back, strict=True):
        assert np.abs(before.astype(int) - after.astype(int)).max() <= 1
