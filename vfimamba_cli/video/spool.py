"""A video from a pipe, put into a file first: it is read several times over."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory

from vfimamba_cli.errors import InputError, OptionError, VfimambaError
from vfimamba_cli.video.containers import PIPE
from vfimamba_cli.video.sequence import is_series, join_pictures

DEFAULT_RATE = Fraction(25)
"""Of pictures, which have no times."""


@contextmanager
def spooled(source: Path, rate: Fraction | None = None) -> Iterator[Path]:
    """`source`, or a temporary file with all of standard input for `-`, or with all its pictures.

    A video is read three times: to see that it is whole and when its frames are shown, for its
    frames, and for everything beside them. A pipe can be read once.

    Args:
        source: a file, `-`, or numbered pictures.
        rate: of these, in pictures per second; 25 if None.

    Raises:
        OptionError: for a rate of what has its own.
        InputError: if standard input is a terminal, pictures are missing, or there is no room.
    """
    if is_series(source):
        with TemporaryDirectory(prefix="vfimamba-") as folder:
            joined = Path(folder) / "pictures.mov"
            join_pictures(source, rate or DEFAULT_RATE, joined)
            with errors_name(str(source), instead_of=joined):
                yield joined
        return
    if rate is not None:
        raise OptionError(
            f"--input-rate is for numbered pictures, and this is none: {source}",
            hint="--fps sets the rate of the output",
        )
    if source != PIPE:
        yield source
        return
    if sys.stdin.isatty():
        raise InputError(
            "Standard input is a terminal, from which no video comes",
            hint="Pipe a video into it, or give the path of a file",
        )
    with TemporaryDirectory(prefix="vfimamba-") as folder:
        spool = Path(folder) / "standard-input"
        try:
            with spool.open("wb") as file:
                copyfileobj(sys.stdin.buffer, file)
        except OSError as error:
            raise InputError(
                f"Standard input could not be put aside ({error.strerror}): {spool}",
                hint="Set TMPDIR to a folder with more room",
            ) from error
        if not spool.stat().st_size:
            raise InputError("Standard input is empty", hint="Pipe a video into it")
        with errors_name("standard input", instead_of=spool):
            yield spool


@contextmanager
def errors_name(given: str, *, instead_of: Path) -> Iterator[None]:
    """Have errors name what the user gave, not the temporary file in its place."""
    try:
        yield
    except VfimambaError as error:
        error.args = (str(error).replace(str(instead_of), given),)
        raise
