"""What makes pictures of packets: the library's choice, or another where that loses something."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vfimamba_cli.video.pyav import open_for_reading

Decode = Callable[["Packet[Any]"], Iterable[VideoFrame]]
"""All pictures that a packet completes; an empty one asks for what is left."""

WITH_ALPHA = {"vp8": "libvpx", "vp9": "libvpx-vp9"}
"""Codecs whose first choice of a decoder leaves out alpha, and the one that does not."""

EXPANDED = {
    "pal8": "rgba",
    "monob": "gray",
    "monow": "gray",
    **dict.fromkeys(("rgb444le", "rgb555le", "rgb555be", "rgb565le", "rgb565be"), "rgb24"),
    **dict.fromkeys(("rgb8", "bgr8", "rgb4_byte", "bgr4_byte"), "rgb24"),
    "x2rgb10le": "gbrp10le",
}
"""Formats of less than a byte per code, or more than a code per element -> one that has as much."""


OPAQUE = {"bgra": "bgr0"}


def decoder_for(stream: VideoStream, *, opaque: bool) -> Decode:
    """The decoder of a stream, in formats that planes can be read from.

    Args:
        stream: of an open container.
        opaque: leave out alpha, as `is_opaque_gif` found that there is none.
    """
    decode = _decoder_with_alpha(stream) if has_alpha_beside(stream) else Packet.decode
    formats = EXPANDED | OPAQUE if opaque else EXPANDED
    return lambda packet: [_in_format(picture, formats) for picture in decode(packet)]


def is_opaque_gif(stream: VideoStream, path: Path) -> bool:
    """Whether it is a GIF that lets nothing through in any picture: all are decoded with alpha.

    Raises:
        av.FFmpegError: if it is damaged.
    """
    if stream.codec_context.codec.canonical_name != "gif":
        return False
    with open_for_reading(path) as container:
        return all(map(_is_opaque, container.decode(video=0)))


def _is_opaque(picture: VideoFrame) -> bool:
    (plane,) = picture.planes
    lines = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)
    return bool((lines[: picture.height, 3 : 4 * picture.width : 4] == 255).all())


def has_alpha_beside(stream: VideoStream) -> bool:
    """Whether there is alpha beside the pictures, as Matroska and WebM store it."""
    said = any(
        key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items()
    )
    return said and stream.codec_context.codec.canonical_name in WITH_ALPHA


def _decoder_with_alpha(stream: VideoStream) -> Decode:
    found = stream.codec_context
    name = WITH_ALPHA[found.codec.canonical_name]
    decoder = av.CodecContext.create(name, "r")
    assert isinstance(decoder, VideoCodecContext)
    # What the container says of the colors, which this decoder does not know.
    for tag in ("colorspace", "color_primaries", "color_trc", "color_range"):
        setattr(decoder, tag, getattr(found, tag))
    return lambda packet: decoder.decode(packet if packet.size else None)


def _in_format(picture: VideoFrame, formats: Mapping[str, str]) -> VideoFrame:
    if picture.format.name not in formats:
        return picture
    return picture.reformat(format=formats[picture.format.name])
