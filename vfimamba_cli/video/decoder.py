"""What makes pictures of packets: the library's choice, or another where that loses something."""

from collections.abc import Callable, Iterable
from typing import Any

import av
from av.packet import Packet
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

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


def decoder_for(stream: VideoStream) -> Decode:
    """The decoder of a stream, in formats that planes can be read from."""
    decode = _decoder_with_alpha(stream) if has_alpha_beside(stream) else Packet.decode
    return lambda packet: [_expanded(picture) for picture in decode(packet)]


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


def _expanded(picture: VideoFrame) -> VideoFrame:
    if picture.format.name not in EXPANDED:
        return picture
    return picture.reformat(format=EXPANDED[picture.format.name])
