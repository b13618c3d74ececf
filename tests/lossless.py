"""Videos whose every code is known: written without loss, in any color and format."""

from fractions import Fraction

import av
import numpy as np

from tests.clips import texture
from vfimamba_cli.frame import ColorSpec, Frame
from vfimamba_cli.video.encoder import encoded_format
from vfimamba_cli.video.formats import FORMATS
from vfimamba_cli.video.planes import make_picture


def color_of(name, **more):
    """Of the pixel format of this name."""
    found = FORMATS[name]
    matrix = "rgb" if found.model == "rgb" else "bt601"
    return ColorSpec(
        **{
            "matrix": matrix,
            "full_range": found.full_range or found.model == "rgb",
            "bit_depth": found.depth,
            "subsampling": found.subsampling,
            "alpha": found.alpha,
            **more,
        }
    )


def noise(color, height, width, seed=0):
    """A frame of any codes there are."""
    rng = np.random.default_rng(seed)
    shapes = color.plane_shapes(height, width)
    planes = [rng.integers(0, 1 << color.bit_depth, s).astype(color.dtype) for s in shapes]
    return frame_of(planes, color)


def scene(color, height, width, *, shift=0):
    """A frame of smooth texture, `shift` pixels further to the right."""
    planes = []
    for i, (h, w) in enumerate(color.plane_shapes(height, width)):
        step = shift * w // width
        window = texture(i, h, 2 * w)[:, w // 2 - step : w // 2 - step + w]
        codes = (0.2 + 0.6 * window) * (1 << color.bit_depth)
        planes.append(codes.astype(color.dtype))
    return frame_of(planes, color)


def frame_of(planes, color):
    return Frame(
        planes=tuple(planes), pts_seconds=Fraction(0), duration_seconds=Fraction(1), color=color
    )


def write_lossless(path, frames, *, encoder="ffv1", pixel_format=None):
    """Write frames of one color at 24 per second, with its tags."""
    color = frames[0].color
    pixel_format = pixel_format or encoded_format(encoder, color)
    height, width = frames[0].size
    with av.open(str(path), "w") as container:
        stream = container.add_stream(encoder, 24, width=width, height=height)
        stream.pix_fmt, context = pixel_format, stream.codec_context
        context.colorspace, context.color_primaries = color.tags.matrix, color.tags.primaries
        context.color_trc, context.color_range = color.tags.transfer, color.tags.range
        for i, frame in enumerate(frames):
            picture = make_picture(frame, pixel_format)
            picture.pts, picture.time_base = i, Fraction(1, 24)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))


def assert_same_planes(frame, other):
    for plane, there in zip(frame.planes, other.planes, strict=True):
        np.testing.assert_array_equal(plane, there)
