"""Animated WebP, which the library writes and does not read: its frames are counted here."""

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from vfimamba_cli.errors import OutputError

ROUNDING_SECONDS = Fraction(1, 1000)
"""Each frame lasts a whole number of milliseconds."""


def verify_webp(path: Path, *, frame_count: int, duration_seconds: Fraction) -> None:
    """Check an animation's number of pictures and how long they last together.

    Pictures that repeat the one before are not stored: that one lasts longer.

    Raises:
        OutputError: naming what is there and what should be.
    """
    durations = list(frame_durations(path.read_bytes()))
    if not durations:
        raise OutputError(
            f"All {frame_count} pictures are the same, of which the library makes a WebP that "
            f"neither moves nor lasts: {path}",
            hint="Write .apng or .gif instead",
        )
    off = abs(sum(durations) - duration_seconds)
    if len(durations) > frame_count or off > ROUNDING_SECONDS * frame_count:
        raise OutputError(
            f"The written file has {len(durations)} frames of {float(sum(durations))} s in all "
            f"instead of {frame_count} of {float(duration_seconds)} s: {path}",
            hint="This is a fault of the program, please report it",
        )


def frame_durations(data: bytes) -> Iterator[Fraction]:
    """Seconds that each frame of a WebP file is shown.

    Source: RIFF chunks of the WebP container: `ANMF` has three times three bytes and then, in
    three more, milliseconds.
    """
    place = len(b"RIFF....WEBP")
    while place + 8 <= len(data):
        kind, size = data[place : place + 4], int.from_bytes(data[place + 4 : place + 8], "little")
        if kind == b"ANMF":
            yield Fraction(int.from_bytes(data[place + 20 : place + 23], "little"), 1000)
        place += 8 + size + size % 2
