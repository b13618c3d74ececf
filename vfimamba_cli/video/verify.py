"""Read a written file back and hold it against what was meant to be written."""

from fractions import Fraction
from pathlib import Path

import av
from av.container import Container

from vfimamba_cli.errors import InputError, OutputError
from vfimamba_cli.video.probe import open_input, pick_video_stream
from vfimamba_cli.video.pyav import as_fraction
from vfimamba_cli.video.scan import scan_packets
from vfimamba_cli.video.sequence import pictures_of
from vfimamba_cli.video.timeline import Timing

TOLERANCE_SECONDS = Fraction(1, 1000)
"""A tick of the container, to which it rounds, comes on top."""


def count_streams(container: Container) -> int:
    """All but data streams, as which MP4 stores the names of its chapters."""
    return sum(stream.type != "data" for stream in container.streams)


def verify_plan(
    path: Path, timing: Timing, *, frame_count: int, duration_seconds: Fraction
) -> None:
    """Check that as much was given to be written to `path` as was planned before the first frame.

    Raises:
        OutputError: naming what was given and what should have been.
    """
    for what, found, expected in (
        ("frames", frame_count, timing.frame_count if timing.count_exact else frame_count),
        ("seconds", float(duration_seconds), float(timing.duration_seconds)),
    ):
        if found != expected:
            raise OutputError(
                f"{found} {what} were made instead of {expected}: {path}",
                hint="This is a fault of the program, please report it",
            )


def verify_video(
    path: Path, *, frame_count: int, duration_seconds: Fraction, stream_count: int
) -> None:
    """Check a file's number of frames and of streams, and how long its video lasts.

    The packets are read, not decoded; the first picture is decoded too.

    Raises:
        OutputError: naming what is there and what should be.
    """
    try:
        with open_input(path) as container:
            stream = pick_video_stream(container, path)
            scan = scan_packets(container, stream, path)
            streams = count_streams(container)
            time_base = as_fraction(stream.time_base)
        with open_input(path) as container:
            next(container.decode(pick_video_stream(container, path)))
    except (InputError, av.FFmpegError, StopIteration) as error:
        raise OutputError(f"The written file cannot be read back: {error}") from error
    assert time_base is not None
    duration = (scan.end - scan.start) * time_base
    for what, found, expected, tolerance in (
        ("frames", scan.frame_count, frame_count, 0),
        ("seconds", float(duration), float(duration_seconds), TOLERANCE_SECONDS + time_base),
        ("streams", streams, stream_count, 0),
    ):
        if abs(found - expected) > tolerance:
            raise OutputError(
                f"The written file has {found} {what} instead of {expected}: {path}",
                hint="This is a fault of the program, please report it",
            )


def verify_pictures(path: Path, *, frame_count: int) -> None:
    """Check how many numbered pictures there are, and that none is empty.

    Raises:
        OutputError: naming what is there and what should be.
    """
    found = sum(picture.stat().st_size > 0 for picture in pictures_of(path).values())
    if found != frame_count:
        raise OutputError(
            f"{found} pictures were written instead of {frame_count}: {path}",
            hint="This is a fault of the program, please report it",
        )
