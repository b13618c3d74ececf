"""Pictures of the codec library <-> numpy planes."""

from typing import Any

import numpy as np
import numpy.typing as npt
from av.video.frame import VideoFrame

from vfimamba_cli.frame import ColorSpec, Frame, Plane, Planes
from vfimamba_cli.video.formats import FORMATS, PixelFormat


def read_planes(picture: VideoFrame, color: ColorSpec) -> Planes:
    """The planes of a picture, which must not be written to.

    They are views of its memory wherever that holds the codes as they are.
    """
    layout = FORMATS[picture.format.name]
    planes = tuple(_read(view, layout) for view in _views(picture, layout, color))
    for plane in planes:
        plane.flags.writeable = False
    return planes


def make_picture(frame: Frame, pixel_format: str) -> VideoFrame:
    """A picture for the encoder with a copy of the frame's planes; neither times nor tags.

    Args:
        frame: to be copied.
        pixel_format: one that `PixelFormat.holds` the frame's color.
    """
    layout = FORMATS[pixel_format]
    height, width = frame.size
    picture = VideoFrame(width, height, pixel_format)
    for view, plane in zip(_views(picture, layout, frame.color), frame.planes, strict=True):
        np.left_shift(plane, layout.shift, out=view) if layout.shift else np.copyto(view, plane)
    return picture


def _read(view: npt.NDArray[Any], layout: PixelFormat) -> Plane:
    if layout.shift:
        view = view >> layout.shift
    return view.astype(view.dtype.newbyteorder("="), copy=False)


def _views(picture: VideoFrame, layout: PixelFormat, color: ColorSpec) -> list[npt.NDArray[Any]]:
    """(H, W) for each plane, without the padding at the end of each line."""
    dtype = np.dtype(layout.element)
    lines = [
        np.frombuffer(memoryview(buffer), dtype).reshape(-1, buffer.line_size // dtype.itemsize)
        for buffer in picture.planes
    ]
    shapes = color.plane_shapes(picture.height, picture.width)
    return [
        lines[place.buffer][:height, place.first :: place.step][:, :width]
        for place, (height, width) in zip(layout.places, shapes, strict=True)
    ]
