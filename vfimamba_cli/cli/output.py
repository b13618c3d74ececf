"""Files that commands write beside what they print."""

from pathlib import Path

from vfimamba_cli.errors import OutputError

BEGINNINGS = {".html": b"<!doctype html", ".svg": b"<svg", ".png": b"\x89PNG"}
"""Of the files we write, by suffix."""

OF_JSON = b'{\n  "measured":'
"""Of all others."""


def check(*wanted: tuple[Path | None, str]) -> None:
    """Before hours of work: see that files can be written, and replace nothing else than such.

    Args:
        wanted: path, or None, and the suffix it must have; none for JSON, which may have any.

    Raises:
        OutputError: there is no such folder, the suffix is another, what is there is no such file,
            or two are the same.
    """
    paths: list[Path] = []
    for path, suffix in wanted:
        if path is None:
            continue
        if path.absolute() in paths:
            raise OutputError(f"Two things cannot go to one file: {path}", hint="Name another")
        paths.append(path.absolute())
        if suffix and path.suffix.lower() != suffix:
            raise OutputError(
                f"What is written is {suffix[1:].upper()}: {path}", hint=f"End the name in {suffix}"
            )
        if not path.absolute().parent.is_dir():
            raise OutputError(f"The folder does not exist: {path.parent}", hint="Create it first")
        if path.exists() and not begins_as(path, suffix):
            kind = suffix[1:].upper() or "result of this program"
            raise OutputError(
                f"Exists already, and is no {kind} to be replaced: {path}",
                hint="Choose another name",
            )


def begins_as(path: Path, suffix: str) -> bool:
    """Whether the file is empty, or one of its kind as far as can be seen at once."""
    if not path.is_file():
        return False
    beginning = BEGINNINGS.get(suffix, OF_JSON)
    try:
        with path.open("rb") as file:
            found = file.read(len(beginning))
    except OSError as error:
        raise OutputError(
            f"Exists already, and cannot be read ({error.strerror}): {path}",
            hint="Choose another name",
        ) from error
    return not found or found.lower() == beginning.lower()


def write(path: Path | None, text: str) -> None:
    """Write `text`, if there is somewhere to, whole or not at all; a link stays one.

    Raises:
        OutputError: that cannot be.
    """
    from vfimamba_cli.checkpoint.store import write_atomically
    from vfimamba_cli.video.target import pointed_at

    if path is not None:
        write_atomically(pointed_at(path), text.encode("utf-8"))
