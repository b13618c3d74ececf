from fractions import Fraction

import numpy as np
import pytest

from vfimamba_cli.frame import ColorSpec, Frame


def frame(height=4, width=6, color=None):
    color = color or ColorSpec(matrix="bt601")
    planes = [np.zeros((height, width), color.dtype)]
    planes += [np.zeros(color.chroma_shape(height, width), color.dtype) for _ in range(2)]
    return Frame(
        planes=tuple(planes),
        pts_seconds=Fraction(1, 3),
        duration_seconds=Fraction(1, 24),
        color=color,
    )


def test_a_frame_at_another_time_keeps_its_very_planes():
    before = frame()
    after = before.at(Fraction(7, 5), Fraction(1, 100))
    assert after.planes is before.planes
    assert after.end_seconds == Fraction(141, 100)
    assert after.size == (4, 6)


@pytest.mark.parametrize(
    ("subsampling", "shape"),
    [
        ("420", (3, 4)),
        ("422", (5, 4)),
        ("444", (5, 7)),
        ("440", (3, 7)),
        ("411", (5, 2)),
        ("410", (2, 2)),
    ],
)
def test_chroma_of_odd_sizes_is_rounded_up(subsampling, shape):
    assert ColorSpec(matrix="bt709", subsampling=subsampling).chroma_shape(5, 7) == shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"planes": tuple(np.zeros((4, 6), np.uint8) for _ in "ybr")}, "planes must be"),
        ({"color": ColorSpec(matrix="bt601", bit_depth=10)}, "10 bits need uint16"),
        ({"duration_seconds": Fraction(0)}, "must be positive"),
    ],
)
def test_planes_that_do_not_fit_their_color_are_refused(changes, message):
    good = frame()
    fields = {name: getattr(good, name) for name in Frame.__dataclass_fields__}
    with pytest.raises(ValueError, match=message):
        Frame(**{**fields, **changes})


@pytest.mark.parametrize(
    ("field", "value"), [("matrix", "xyz"), ("subsampling", "421"), ("bit_depth", 7)]
)
def test_a_color_nobody_knows_is_refused(field, value):
    with pytest.raises(ValueError, match=field):
        ColorSpec(**{"matrix": "bt601", field: value})


def test_rgb_has_no_fewer_samples_of_one_plane():
    with pytest.raises(ValueError, match="subsampling must be 444 for rgb"):
        ColorSpec(matrix="rgb", subsampling="420")


@pytest.mark.parametrize(
    ("color", "count"),
    [
        (ColorSpec(matrix="bt709", subsampling="400"), 1),
        (ColorSpec(matrix="bt709", subsampling="400", alpha=True), 2),
        (ColorSpec(matrix="rgb", subsampling="444"), 3),
        (ColorSpec(matrix="bt709", alpha=True), 4),
    ],
)
def test_alpha_is_one_more_plane_and_grey_has_no_chroma(color, count):
    shapes = color.plane_shapes(5, 7)
    assert len(shapes) == count
    assert shapes[0] == shapes[-1 if color.alpha else 0] == (5, 7)
