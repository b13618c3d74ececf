"""Whole short clips: read as RGB pixels, which training wants, and written to time with."""

from collections.abc import Collection, Iterator
from fractions import Fraction
from itertools import chain, islice
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import Frame
from vfimamba_cli.video.encoder import encodable, encoded_format
from vfimamba_cli.video.pyav import open_for_reading, open_for_writing


def read_clip(path: Path) -> NDArray[np.uint8]:
    """Decode every picture of the first video stream; a still picture is a clip of one.

    Returns:
        (T, H, W, 3), R, G, B, as `decode_pictures` gives them.

    Raises:
        InputError: if the file cannot be decoded to its end or holds no picture.
    """
    return np.stack(list(decode_pictures(path)))


def read_frames(path: Path, numbers: Collection[int]) -> NDArray[np.uint8]:
    """The pictures of these numbers from 0, in rising order; nothing after the last is decoded.

    Returns:
        As `read_clip`.

    Raises:
        InputError: if the file cannot be decoded so far, or ends before.
    """
    pictures = list(decode_pictures(path, numbers))
    if len(pictures) < len(numbers):
        raise InputError(f"Ends before frame {max(numbers)}: {path}")
    return np.stack(pictures)


def decode_pictures(
    path: Path, numbers: Collection[int] | None = None
) -> Iterator[NDArray[np.uint8]]:
    """The pictures of the first video stream, one after the other.

    Colour comes from libswscale's plain conversion: a network learns motion from it just as
    well, and nothing read here is ever written to a video again. Decoding runs in the calling
    thread alone, so a pool of callers keeps all cores busy.

    Args:
        path: of the file.
        numbers: of the pictures wanted, from 0; all if none.

    Yields:
        (H, W, 3), R, G, B, all of one size.

    Raises:
        InputError: if the file cannot be decoded to its end, or so far, or holds no picture.
    """
    end = None if numbers is None else max(numbers) + 1
    size = None
    try:
        with open_for_reading(path) as container:
            if not container.streams.video:
                raise InputError(f"No video stream: {path}")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            for number, frame in enumerate(islice(container.decode(stream), end)):
                if size not in (None, (frame.width, frame.height)):
                    raise InputError(f"The picture size changes inside the clip: {path}")
                size = frame.width, frame.height
                if numbers is None or number in numbers:
                    yield cast(NDArray[np.uint8], frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"Cannot decode ({error.strerror}): {path}") from error
    if size is None:
        raise InputError(f"No picture in the video stream: {path}")


def write_clip(path: Path, frames: Iterator[Frame], *, rate: Fraction) -> None:
    """Encode frames of one size, evenly timed, as H.264 in MP4: quickly, and in good quality."""
    first = next(frames)
    height, width = first.size
    with open_for_writing(path, container="mp4", options={}) as container:
        stream = container.add_stream(
            "libx264",
            rate=rate,
            options={"crf": "20", "preset": "veryfast"},
            width=width,
            height=height,
            pix_fmt=encoded_format("libx264", first.color),
            time_base=1 / rate,
        )
        for frame in chain((first,), frames):
            container.mux(stream.encode(encodable(frame, "libx264", 1 / rate)))
        container.mux(stream.encode(None))
