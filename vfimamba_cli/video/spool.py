"""A video from a pipe, put into a file first: it is read several times over."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shutil import copyfileobj
from tempfile import TemporaryDirectory

from vfimamba_cli.errors import InputError
from vfimamba_cli.video.containers import PIPE


@contextmanager
def spooled(source: Path) -> Iterator[Path]:
    """`source`, or a temporary file with all of standard input for `-`.

    A video is read three times: to see that it is whole and when its frames are shown, for its
    frames, and for everything beside them. A pipe can be read once.

    Raises:
        InputError: if standard input is a terminal, or there is no room for all of it.
    """
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
        yield spool
