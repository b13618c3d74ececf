"""A video as numbered pictures, `frames/%05d.png`: one file each, and no times."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory

import av

from vfimamba_cli.errors import InputError, OutputError

FLOATING = "they hold linear light in floating point, and codes of 8 to 16 bits are interpolated"
"""Why pictures of that kind are not read or written."""

FROM_FLOATING = (
    "Make 16 bits of a transfer function of them first, for instance "
    "`ffmpeg -apply_trc iec61966_2_1 -i %05d.exr -pix_fmt rgb48be %05d.png`; what is brighter than "
    "white is cut off"
)

NUMBER = re.compile(r"%(0[1-9])?d")
"""Where the number is in a name, and how many digits it has at least."""


def is_sequence(path: Path) -> bool:
    """Whether a path stands for numbered pictures, by a number in its name like `%05d`."""
    return NUMBER.search(path.name) is not None


def is_series(source: Path) -> bool:
    """Whether what is to be read are numbered pictures: no file has that very name."""
    return is_sequence(source) and not source.exists()


def pictures_of(path: Path) -> dict[int, Path]:
    """The pictures that there are, by their numbers, in their order."""
    place = NUMBER.search(path.name)
    assert place is not None
    before, after = path.name[: place.start()], path.name[place.end() :]
    name = re.compile(f"{re.escape(before)}([0-9]+){re.escape(after)}")
    found = {}
    for file in path.parent.iterdir():
        match = name.fullmatch(file.name)
        if match and file.name == f"{before}{place[0] % int(match[1])}{after}":
            found[int(match[1])] = file
    return {number: found[number] for number in sorted(found)}


def address(path: Path) -> str:
    """As FFmpeg takes it, which looks for numbers in the names of folders too."""
    return f"{path.absolute().parent}/".replace("%", "%%") + path.name


def join_pictures(path: Path, rate: Fraction, joined: Path) -> None:
    """Put numbered pictures as they are into one file, each shown for 1/`rate` seconds.

    Raises:
        InputError: if there are none, one is missing in between, or they are of a kind that is
            unknown or of floating point.
    """
    if path.suffix.lower() == ".exr":
        raise InputError(f"EXR pictures are not read: {FLOATING}: {path}", hint=FROM_FLOATING)
    numbers = list(pictures_of(path)) if path.parent.is_dir() else []
    if not numbers:
        raise InputError(f"There are no such pictures: {path}", hint="Check the path")
    for before, after in pairwise(numbers):
        if after != before + 1:
            raise InputError(
                f"After picture {before} comes {after}, nothing in between: {path}",
                hint="Number them without gaps",
            )
    reading = {"framerate": f"{rate}", "start_number": f"{numbers[0]}"}
    writing = {"video_track_timescale": f"{rate.numerator}"}
    try:
        with (
            av.open(address(path), format="image2", options=reading) as source,
            av.open(str(joined), "w", format="mov", container_options=writing) as target,
        ):
            stream = source.streams.video[0]
            copy = target.add_stream_from_template(stream, opaque=True)
            for packet in source.demux(stream):
                if packet.size:
                    packet.stream = copy
                    target.mux(packet)
    except (av.FFmpegError, ValueError, IndexError) as error:
        raise InputError(
            f"These pictures cannot be read ({error}): {path}", hint="PNG, TIFF and JPEG can"
        ) from error


def check_no_pictures(path: Path, source: Path, *, overwrite: bool) -> None:
    """Raises OutputError if there are pictures of that name that are to stay, or the source's."""
    there = pictures_of(path)
    numbered = is_sequence(source) and source.parent.is_dir()
    given = pictures_of(source).values() if numbered else (source,)
    read = {picture.resolve() for picture in given}
    if any(picture.resolve() in read for picture in there.values()):
        raise OutputError(
            f"Output and input are the same pictures: {path}", hint="Give another output"
        )
    if there and not overwrite:
        first = next(iter(there.values()))
        raise OutputError(
            f"{len(there)} pictures exist already, {first.name} and so on: {path}",
            hint="Pass --yes to replace them",
        )


@contextmanager
def part_pictures(path: Path) -> Iterator[Path]:
    """A path for new pictures in a folder of its own; they are moved when the block succeeds.

    Then those of the same name that were there before are removed, however many they were.
    """
    with TemporaryDirectory(prefix=".vfimamba-", suffix=".part", dir=path.parent) as folder:
        part = Path(folder) / path.name
        yield part
        for old in pictures_of(path).values():
            old.unlink()
        for picture in pictures_of(part).values():
            picture.replace(path.with_name(picture.name))
