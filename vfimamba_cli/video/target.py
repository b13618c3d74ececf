"""Where an output file goes: checked before any work, under a temporary name until it is whole."""

import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from errno import ENAMETOOLONG
from os import W_OK, X_OK, access, getpid
from os.path import realpath
from pathlib import Path

from vfimamba_cli.errors import OutputError
from vfimamba_cli.video.containers import PIPE, SEQUENCES, container_for
from vfimamba_cli.video.sequence import check_no_pictures, is_sequence, part_pictures


def check_new(path: Path, *, overwrite: bool, used: Iterable[Path] = ()) -> None:
    """Raises OutputError if there is no folder for a file at `path`, or a file that is to stay.

    Those that are `used` stay in any case, written yet or not.
    """
    with refusal_is_an_output_error(path):
        if any(path.resolve() == other.resolve() or is_same(path, other) for other in used):
            raise OutputError(
                f"The same file is read or written already: {path}", hint="Choose another name"
            )
        if not path.parent.is_dir():
            raise OutputError(f"The folder does not exist: {path.parent}", hint="Create it first")
        if path.exists() and not overwrite:
            raise OutputError(f"The output exists already: {path}", hint="Pass --yes to replace it")


def check_target(path: Path, source: Path, *, overwrite: bool, piped: str | None = None) -> None:
    """See that `path` can become the output for `source`, a file or numbered pictures.

    Raises:
        OutputError: if it cannot, and why.
    """
    container_for(path, piped)
    if path == PIPE:
        if sys.stdout.isatty():
            raise OutputError(
                "Standard output is a terminal, which shows no videos",
                hint="Pipe it into another program, or into a file: `> out.mkv`",
            )
        return
    with refusal_is_an_output_error(path):
        folder = pointed_at(path).parent
        if not folder.is_dir():
            raise OutputError(f"The folder does not exist: {folder}", hint="Create it first")
        if not access(folder, W_OK | X_OK):
            raise OutputError(
                f"Cannot write here (nothing may be added to {folder}): {path}",
                hint="Choose another folder with --output",
            )
        if is_sequence(path) and path.suffix.lower() in SEQUENCES:
            check_no_pictures(path, source, overwrite=overwrite)
            return
        if path.is_dir():
            raise OutputError(f"The output is a folder: {path}", hint="Give the path of a file")
        if not path.exists():
            return
        if is_same(path, source):
            raise OutputError(
                f"Output and input are the same file: {path}", hint="Give another output"
            )
        if not overwrite:
            raise OutputError(f"The output exists already: {path}", hint="Pass --yes to replace it")


def pointed_at(path: Path) -> Path:
    """What is there if `path` is a link, which stays one; or else `path`."""
    return Path(realpath(path)) if path.is_symlink() else path  # which bears links in a circle


def is_same(path: Path, other: Path) -> bool:
    """Whether both are there, and one file, whatever its names."""
    return path.exists() and other.exists() and path.samefile(other)


@contextmanager
def part_file(path: Path) -> Iterator[Path]:
    """A new file beside `path`, or what that links to; becomes it when the block succeeds.

    A pipe is written to as it is; numbered pictures all appear at the end.

    Its name is that of `path` with `.part` added, and with the process's number before that where
    such a file is there already: it may be anything, the source even. When the block fails, for
    whatever reason, the new file is not left behind.

    Raises:
        OutputError: if it cannot be created.
    """
    if path == PIPE:
        yield path
        return
    if is_sequence(path) and path.suffix.lower() in SEQUENCES:
        with refusal_is_an_output_error(path), part_pictures(path) as part:
            yield part
        return
    with refusal_is_an_output_error(path):
        final = pointed_at(path)
        part = _create_part(final)
    try:
        yield part
        part.replace(final)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _create_part(path: Path) -> Path:
    names = (f"{path.name}.part", f"{path.name}.{getpid()}.part")
    for part in map(path.with_name, names):
        with suppress(FileExistsError):
            part.touch(exist_ok=False)
            return part
    raise OutputError(
        f"Both {' and '.join(names)} exist already in {path.parent}",
        hint="Remove them if no other run is writing them",
    )


@contextmanager
def refusal_is_an_output_error(path: Path) -> Iterator[None]:
    """Turn what the system says against `path` into `OutputError`."""
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"Cannot write here ({error.strerror}): {path}",
            hint="Choose a shorter name with --output"
            if error.errno == ENAMETOOLONG
            else "Choose another folder with --output",
        ) from error
