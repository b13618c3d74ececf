"""Where an output file goes: checked before any work, under a temporary name until it is whole."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vfimamba_cli.errors import OutputError

CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
"""File name extension -> FFmpeg's name of the container."""


def container_for(path: Path) -> str:
    """The container that the file name asks for.

    Raises:
        OutputError: if its extension is not known.
    """
    if path.suffix.lower() not in CONTAINERS:
        raise OutputError(
            f"No container is known for the extension {path.suffix or '(none)'!r}: {path}",
            hint=f"Use one of {', '.join(CONTAINERS)}",
        )
    return CONTAINERS[path.suffix.lower()]


def check_target(path: Path, source: Path, *, overwrite: bool) -> None:
    """See that `path` can become the output for `source`.

    Raises:
        OutputError: if it cannot, and why.
    """
    container_for(path)
    if not path.parent.is_dir():
        raise OutputError(f"The folder does not exist: {path.parent}", hint="Create it first")
    if path.is_dir():
        raise OutputError(f"The output is a folder: {path}", hint="Give the path of a file")
    if path.exists():
        if path.samefile(source):
            raise OutputError(
                f"Output and input are the same file: {path}", hint="Give another output"
            )
        if not overwrite:
            raise OutputError(f"The output exists already: {path}", hint="Pass --yes to replace it")


@contextmanager
def part_file(path: Path) -> Iterator[Path]:
    """`path` with `.part` added, to be written to; becomes `path` when the block succeeds.

    When it does not, for whatever reason, neither file is left behind.

    Raises:
        OutputError: if it cannot be created.
    """
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(b"")
    except OSError as error:
        raise OutputError(
            f"Cannot write here ({error.strerror}): {path.parent}",
            hint="Choose another folder with --output",
        ) from error
    try:
        yield part
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
