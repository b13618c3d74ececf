"""Is a file as long as it says it is.

A cut-off file decodes fewer frames without any error in most containers. What gives it away is
what the container promised: the size in its header, the places in its index, or its duration.
"""

from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
from av.container import InputContainer

from vfimamba_cli.errors import InputError

DURATION_TOLERANCE_SECONDS = 1
"""How much later than its last packet a header may say that a file ends."""

EBML_ID, SEGMENT_ID = 0x1A45DFA3, 0x18538067
RIFF_UNKNOWN_SIZES = {0, 0xFFFFFFFF}


def cut_off(path: Path, detail: str) -> InputError:
    """The error for a file that ends before it should."""
    return InputError(
        f"The file is cut off or damaged: {detail}: {path}",
        hint="Get the whole file again, or save what is there with `ffmpeg -i IN -c copy OUT`",
    )


def check_header_size(path: Path) -> None:
    """Compare the size in the header of a Matroska, WebM or AVI file with its real one.

    Raises:
        InputError: if the file is shorter. Files of other kinds, and those written live, whose
            size is not said, pass.
    """
    with path.open("rb") as file:
        promised = _matroska_size(file) or _riff_size(file)
    _compare(path, promised)


def check_index(container: InputContainer, path: Path) -> None:
    """See that everything lies within the file that its index points at, as MP4's does.

    Raises:
        InputError: if something lies beyond its end.
    """
    entries = (entry for stream in container.streams for entry in stream.index_entries)
    _compare(path, max((entry.pos + entry.size for entry in entries), default=0))


def check_duration(container: InputContainer, path: Path, *, end_seconds: Fraction) -> None:
    """Compare the duration in the header with the end of the last packet, in seconds.

    Raises:
        InputError: if it ends more than a second earlier. MP4, whose index is exact and whose
            edit lists make this comparison wrong, passes.
    """
    if "mp4" in container.format.name:
        return
    promised = Fraction(container.duration or 0, av.time_base)
    if end_seconds + DURATION_TOLERANCE_SECONDS < promised:
        raise cut_off(
            path, f"it ends at {float(end_seconds):.2f} s instead of {float(promised):.2f} s"
        )


def _compare(path: Path, promised: int) -> None:
    actual = path.stat().st_size
    if actual < promised:
        raise cut_off(path, f"{actual} of {promised} bytes are there")


def _riff_size(file: BinaryIO) -> int:
    """Bytes up to the end of the first RIFF chunk; 0 if it is none or its size is not said."""
    file.seek(0)
    head = file.read(8)
    size = int.from_bytes(head[4:], "little")
    return 0 if head[:4] != b"RIFF" or size in RIFF_UNKNOWN_SIZES else len(head) + size


def _matroska_size(file: BinaryIO) -> int:
    """Bytes up to the end of the Matroska segment; 0 if there is none or its size is not said.

    Source: RFC 8794 (EBML), sections 4 and 5: variable-size integers, elements.
    """
    file.seek(0)
    element, size = _ebml_element(file)
    if element != EBML_ID or size is None:
        return 0
    file.seek(size, 1)
    element, size = _ebml_element(file)
    return 0 if element != SEGMENT_ID or size is None else file.tell() + size


def _ebml_element(file: BinaryIO) -> tuple[int, int | None]:
    """The id and the data size of the element that starts here; None for an unknown size."""
    element, _ = _ebml_number(file)
    size, width = _ebml_number(file)
    unknown = (1 << 7 * width) - 1
    size &= unknown  # drops the length marker
    return element, None if size == unknown else size


def _ebml_number(file: BinaryIO) -> tuple[int, int]:
    """A variable-size integer with its length marker still in it, and its width in bytes."""
    head = file.read(1)
    if not head or not head[0]:
        return 0, 0
    width = 9 - head[0].bit_length()
    return int.from_bytes(head + file.read(width - 1), "big"), width
