"""Still pictures as RGB pixels: read from any image file, written as PNG."""

from fractions import Fraction
from pathlib import Path

import numpy as np
from av import CodecContext, FFmpegError, Packet, VideoFrame
from av.video.codeccontext import VideoCodecContext
from numpy.typing import NDArray

from vfimamba_cli.errors import InputError
from vfimamba_cli.video.clip import read_clip


def read_still(path: Path) -> NDArray[np.uint8]:
    """Decode one picture; 8-bit RGB and grey come out as they are stored.

    Returns:
        (H, W, 3), R, G, B.

    Raises:
        InputError: if there is no such file, or it cannot be decoded to one picture.
    """
    if path.suffix.lower() == ".png":
        return _decode_png(path)
    pictures = read_clip(path)
    if len(pictures) != 1:
        raise InputError(f"Holds {len(pictures)} pictures, not one: {path}")
    return pictures[0]


def _decode_png(path: Path) -> NDArray[np.uint8]:
    """Straight to the decoder, in half the time of opening the file as a video first."""
    try:
        decoder = CodecContext.create("png", "r")
        assert isinstance(decoder, VideoCodecContext)
        decoder.thread_count = 1
        pictures = [*decoder.decode(Packet(path.read_bytes())), *decoder.decode(None)]
    except (FFmpegError, OSError) as error:
        raise InputError(f"Cannot decode ({error.strerror}): {path}") from error
    if not pictures:
        raise InputError(f"Holds no picture: {path}")
    return pictures[0].to_ndarray(format="rgb24").astype(np.uint8, copy=False)


def encode_png(picture: NDArray[np.uint8]) -> bytes:
    """(H, W, 3), R, G, B -> the bytes of a PNG file, lossless."""
    encoder = CodecContext.create("png", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.height, encoder.width = picture.shape[:2]
    encoder.pix_fmt, encoder.time_base = "rgb24", Fraction(1)
    frame = VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    frame.pts = 0
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    return b"".join(bytes(packet) for packet in packets)
