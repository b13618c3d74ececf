"""How large a whole clip is, without decoding it."""

from pathlib import Path

import av

from vfimamba_cli.video.pyav import as_fraction, open_for_reading


def decoded_bytes(path: Path) -> int:
    """Bytes of `read_clip(path)` by what the file says of itself; 0 as in `extent`."""
    frames, height, width = extent(path)
    return frames * height * width * 3


def extent(path: Path) -> tuple[int, int, int]:
    """Frames, height and width by what the file says of itself.

    Frames it does not count come from its duration and rate; where it tells neither, it is taken
    for a single picture. A file that cannot be opened has 0 of everything: decoding it will say
    why.
    """
    try:
        with open_for_reading(path) as container:
            if not container.streams.video:
                return 0, 0, 0
            stream = container.streams.video[0]
            rate = as_fraction(stream.average_rate) or 0
            seconds = (container.duration or 0) / av.time_base
            frames = stream.frames or round(seconds * rate) or 1
            return frames, stream.height, stream.width
    except (av.FFmpegError, OSError):
        return 0, 0, 0
