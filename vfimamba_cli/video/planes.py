"""Pictures of the codec library <-> numpy planes."""

from typing import Any

import numpy as np
from av.video.frame import VideoFrame
from av.video.plane import VideoPlane

from vfimamba_cli.frame import Frame, Plane


def read_planes(
    picture: VideoFrame, dtype: np.dtype[np.unsignedinteger[Any]]
) -> tuple[Plane, Plane, Plane]:
    """Y', Cb and Cr of a planar picture as views of its memory, which must not be written to."""
    luma, cb, cr = (_view(plane, dtype) for plane in picture.planes)
    for plane in (luma, cb, cr):
        plane.flags.writeable = False
    return luma, cb, cr


def make_picture(frame: Frame, pixel_format: str) -> VideoFrame:
    """A picture for the encoder with a copy of the frame's planes; neither times nor tags."""
    height, width = frame.size
    picture = VideoFrame(width, height, pixel_format)
    for target, plane in zip(picture.planes, frame.planes, strict=True):
        _view(target, plane.dtype)[...] = plane
    return picture


def _view(plane: VideoPlane, dtype: np.dtype[np.unsignedinteger[Any]]) -> Plane:
    """(H, W) without the padding at the end of each line."""
    lines = np.frombuffer(memoryview(plane), dtype).reshape(-1, plane.line_size // dtype.itemsize)
    return lines[: plane.height, : plane.width]
