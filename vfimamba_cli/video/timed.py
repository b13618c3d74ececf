"""Pictures of a video with their times, from anywhere in it: for videos too long to keep."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import cast

import av
import numpy as np
from numpy.typing import NDArray

from vfimamba_cli.errors import InputError
from vfimamba_cli.video.pyav import open_for_reading

Picture = NDArray[np.uint8]


def timed_pictures(path: Path, since: int | None = None) -> Iterator[tuple[int, Picture]]:
    """Time stamps, in the stream's own unit, and pictures (H, W, 3), R, G, B, as `read_clip` has
    them, in the order they are shown.

    Args:
        path: of the video.
        since: begin at the last key frame at or before this time; at the start if none.

    Raises:
        InputError: if it cannot be decoded so far, or its pictures have no times.
    """
    try:
        with open_for_reading(path) as container:
            if not container.streams.video:
                raise InputError(f"No video stream: {path}")
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            if since is not None:
                container.seek(since, stream=stream)
            for frame in container.decode(stream):
                if frame.pts is None:
                    raise InputError(f"The pictures have no times: {path}")
                yield frame.pts, cast(Picture, frame.to_ndarray(format="rgb24"))
    except (av.FFmpegError, OSError) as error:
        raise InputError(f"Cannot decode ({error.strerror}): {path}") from error


def read_at(path: Path, times: Sequence[int]) -> NDArray[np.uint8]:
    """The pictures of these time stamps: (len(times), H, W, 3), in their order.

    Raises:
        InputError: as `timed_pictures`, or one of them is not there.
    """
    for since in (min(times), None):  # where a container seeks too far: all of it
        found = _collect(path, times, since)
        if len(found) == len(set(times)):
            return np.stack([found[time] for time in times])
    raise InputError(f"No longer holds the pictures it held: {path}")


def _collect(path: Path, times: Sequence[int], since: int | None) -> dict[int, Picture]:
    found: dict[int, Picture] = {}
    for time, picture in timed_pictures(path, since):
        if time in times:
            found[time] = picture
        if time >= max(times):
            break
    return found
