import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vfimamba_cli.engine.color import to_planes, to_rgb
from vfimamba_cli.frame import ColorSpec

YCC = ("bt601", "bt709", "bt2020", "fcc", "smpte240m", "ycgco")
DEPTHS = (8, 9, 10, 12, 14, 16)
LAYOUTS = (
    ("420", "left"),
    ("420", "center"),
    ("420", "topleft"),
    ("422", "left"),
    ("422", "center"),
    ("440", "left"),
    ("411", "left"),
    ("410", "left"),
    ("444", "left"),
)
KINDS = [
    *((matrix, *layout) for matrix, layout in itertools.product(YCC, LAYOUTS)),
    ("bt709", "400", "left"),
    ("rgb", "444", "left"),
]


def specs(matrices, depths, *, alpha=(False,)):
    return [
        ColorSpec(
            matrix=matrix,
            full_range=full_range,
            bit_depth=depth,
            subsampling=subsampling,
            chroma_location=location,
            alpha=opaque,
        )
        for (matrix, subsampling, location), full_range, depth, opaque in itertools.product(
            KINDS, (False, True), depths, alpha
        )
        if matrix in matrices
    ]


SPECS = specs(("bt709", "rgb"), (8, 10, 16), alpha=(False, True))
"""Every way that planes lie, for tests that need no more."""

ALL = [
    *specs((*YCC, "rgb"), DEPTHS),
    *specs(("bt709", "rgb"), DEPTHS, alpha=(True,)),
]


def spec_name(color):
    range_name = "full" if color.full_range else "limited"
    name = (
        color.matrix,
        range_name,
        str(color.bit_depth),
        color.subsampling,
        color.chroma_location,
    )
    return "-".join((*name, "alpha") if color.alpha else name)


def smooth_picture(height, width):
    y = torch.linspace(0, 3, height)[:, None]
    x = torch.linspace(0, 3, width)
    return torch.stack((0.5 + 0.4 * torch.sin(x + y), 0.5 + 0.4 * torch.cos(2 * x - y), x * y / 9))


def noisy_picture(height, width):
    """Noise in luma and, weaker, in color, as films have it."""
    grey = 0.5 + 0.15 * torch.randn(1, height, width)
    return (grey + 0.05 * torch.randn(3, height, width)).clamp(0, 1)


def codes_of(color, height, width, seed=0):
    """Planes as a camera gives them: any code there is."""
    rng = np.random.default_rng(seed)
    shapes = color.plane_shapes(height, width)
    return tuple(rng.integers(0, 1 << color.bit_depth, s).astype(color.dtype) for s in shapes)


def drift(planes, color):
    """Largest change of each plane on its way to R'G'B' and back, in codes."""
    back = to_planes(to_rgb(planes, color, "cpu"), color)
    return [
        int(np.abs(a.astype(np.int64) - b.astype(np.int64)).max())
        for a, b in zip(planes, back, strict=True)
    ]


@pytest.mark.parametrize("color", ALL, ids=spec_name)
def test_a_still_picture_comes_back_as_it_was_so_made_frames_cannot_flicker(color):
    """Real pictures, and codes far beyond black, white and the colors that R'G'B' has."""
    translucent = torch.cat((noisy_picture(37, 51), torch.rand(1, 37, 51)))
    for planes in (
        to_planes(smooth_picture(37, 51), color),
        to_planes(translucent[: 3 + color.alpha], color),
        codes_of(color, 6, 8),
        codes_of(color, 1, 3),
    ):
        assert drift(planes, color) == [0] * len(planes)


@given(st.integers(1, 9), st.integers(1, 9), st.sampled_from(SPECS))
def test_every_size_comes_back(height, width, color):
    planes = codes_of(color, height, width)
    back = to_planes(to_rgb(planes, color, "cpu"), color)
    for before, after in zip(planes, back, strict=True):
        assert after.dtype == before.dtype
        np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    ("matrix", "codes"),
    [
        # Y', Cb, Cr of 75 % red, green and blue, 8 bits, limited range, computed from
        # Y' = Kr R + Kg G + Kb B by hand with the weights of ITU-T H.273.
        ("bt601", ((65, 100, 212), (112, 72, 58), (35, 212, 114))),
        ("bt709", ((51, 109, 212), (133, 63, 52), (28, 212, 120))),
        ("bt2020", ((59, 105, 212), (127, 67, 51), (26, 212, 121))),
        ("fcc", ((65, 100, 212), (113, 72, 57), (34, 212, 115))),
        ("smpte240m", ((51, 108, 212), (131, 64, 53), (30, 212, 119))),
        ("ycgco", ((57, 86, 212), (98, 212, 128), (57, 86, 44))),
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
    assert float(rgb[0].max()) == pytest.approx(1, abs=1e-6)


def test_red_green_and_blue_lie_in_the_planes_in_the_order_of_the_standard():
    color = ColorSpec(matrix="rgb", subsampling="444", full_range=True)
    rgb = torch.tensor([0.2, 0.4, 0.6])[:, None, None].expand(3, 2, 2)
    assert [int(plane[0, 0]) for plane in to_planes(rgb, color)] == [102, 153, 51]


def test_alpha_is_full_range_beside_limited_colors_and_opaque_where_there_was_none():
    color = ColorSpec(matrix="bt709", bit_depth=10, alpha=True)
    rgb = torch.full((4, 2, 2), 0.5)
    rgb[3, 0] = torch.tensor([0.0, 1.0])
    assert to_planes(rgb, color)[3][0].tolist() == [0, 1023]
    assert to_planes(rgb[:3], color)[3].tolist() == [[1023, 1023]] * 2
    without = ColorSpec(matrix="bt709", bit_depth=10)
    assert len(to_planes(rgb, without)) == 3


@pytest.mark.gpu
def test_the_gpu_gives_the_codes_of_the_cpu():
    color = ColorSpec(matrix="bt2020", bit_depth=10)
    planes = to_planes(noisy_picture(36, 52), color)
    back = to_planes(to_rgb(planes, color, "cuda"), color)
    for before, after in zip(planes, back, strict=True):
        assert np.abs(before.astype(int) - after.astype(int)).max() <= 1
