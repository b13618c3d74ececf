"""How much memory a whole clip will take, without decoding it."""

from pathlib import Path

import av

from vfimamba_cli.video.pyav import as_fraction, open_for_reading


def decoded_bytes(path: Path) -> int:
    """Bytes of `read_clip(path)` by what the file says of itself: frames x height x width x 3.

    Frames it does not count come from its duration and rate; where it tells neither, it is taken
    for a single picture. A file that cannot be opened takes 0: decoding it will say why.
    """
    try:
        with open_for_reading(path) as container:
            if not container.streams.video:
                return 0
            stream = container.streams.video[0]
            rate = as_fraction(stream.average_rate) or 0
            seconds = (container.duration or 0) / av.time_base
            frames = stream.frames or round(seconds * rate) or 1
            return frames * stream.height * stream.width * 3
    except (av.FFmpegError, OSError):
        return 0
