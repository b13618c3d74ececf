"""Where PyAV 18 and 19 differ: what both give, in one shape."""

import ctypes
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any, Protocol, TypeAlias, cast

import av
from av.container import Container, InputContainer, OutputContainer
from av.packet import Packet
from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Stream
from av.video.frame import VideoFrame

from vfimamba_cli.video.sequence import address

TAG_BYTES: dict[str, Any] = (
    {"metadata_errors": "surrogateescape"} if hasattr(Container, "metadata_errors") else {}
)
"""Keeps tags that are no UTF-8 byte for byte from input to output: what version 18 must be told
when it opens a file, and 19 always does."""

STANDARD_OUTPUT = "pipe:1"

AnyPacket: TypeAlias = "Packet[Stream]"
"""Of any kind of stream; the class takes a kind in its annotations only."""


class Rational(Protocol):
    """What every version's rational has."""

    @property
    def numerator(self) -> int:
        """0 where the value is unknown."""

    @property
    def denominator(self) -> int:
        """0 or 1 where the value is unknown."""


def as_fraction(value: Rational | None) -> Fraction | None:
    """`value` as an exact fraction; None where it is unknown, which FFmpeg writes as 0.

    Version 18 gives a `Fraction` or None, 19 a rational of its own, which may be a falsy 0/1.
    """
    if not value or not value.denominator:
        return None
    return Fraction(value.numerator, value.denominator)


def open_for_reading(path: Path) -> InputContainer:
    """The file at `path`, its tags as `readable` takes them.

    Raises:
        av.FFmpegError, OSError: if it cannot be opened.
    """
    return av.open(_no_protocol(path), "r", **TAG_BYTES)


def open_for_writing(path: Path, *, container: str, options: dict[str, str]) -> OutputContainer:
    """A new file of FFmpeg's kind `container`, with the options of its muxer; `-` is a pipe.

    Raises:
        av.FFmpegError, OSError: if it cannot be opened.
    """
    place = STANDARD_OUTPUT if str(path) == "-" else _no_protocol(path)
    if container == "image2":
        place = address(path)
    return av.open(place, "w", format=container, container_options=options, **TAG_BYTES)


def _no_protocol(path: Path) -> str:
    """`path` from the root on, for FFmpeg takes a plain `12:30.mp4` for an address like `http:`."""
    return str(path.absolute())


def readable(tag: str) -> str:
    """A tag that can be encoded and printed: bytes that are no UTF-8 become U+FFFD."""
    return tag.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def side_data(picture: VideoFrame) -> Mapping[SideDataType, SideData] | None:
    """What travels on a picture beside its planes, to be looked up by its type.

    Walking through it is no good: version 18 gives its values then, and 19 its keys. None where
    one thing is of a type newer than the version, at which 18 gives up on all of them.
    """
    try:
        data = cast(Mapping[SideDataType, SideData], picture.side_data)
    except ValueError:
        return None
    if SideDataType.ICC_PROFILE in data:
        # Both versions free the name of a PNG's profile twice, with the picture and with these.
        ctypes.pythonapi.Py_IncRef(ctypes.py_object(data))
    return data
