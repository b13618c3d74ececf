"""The kinds of file that can be written, and what each of them holds."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vfimamba_cli.errors import OutputError

MILLISECOND = Fraction(1, 1000)
BROADCAST_SOUND = frozenset({"aac", "ac3", "eac3", "mp2", "mp3", "dts", "opus", "truehd"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A kind of file.

    What it holds is asked of FFmpeg's muxer, except where that writes what nothing can read.

    Attributes:
        name: FFmpeg's name of the muxer.
        title: for people.
        video: FFmpeg's names of the codecs that players expect in it; None for any.
        tick_seconds: what it rounds times to; None if it takes any.
        reordered: whether it says how long each picture lasts in the order of presentation. Where
            not, and the rate varies, pictures have to be coded in that order.
        text: encoder for text subtitles that do not fit as they are; None where it holds none.
        sound: encoder for sound that does not fit as it is.
        subtitles, audio: the only codecs that it holds, by FFmpeg's names; None for what the
            muxer says.
        covers: whether it holds a picture of the whole; where not, attachments may.
        attachments, data, chapters, rotation: whether it holds fonts and other files, data streams
            of kinds that its muxer knows, chapters, and the rotation that the player is to do.
        alpha_beside: whether it holds alpha beside pictures of VP8 and VP9, which have none.
        pixel_shape, color: whether it says itself how wide pixels are, and what their codes mean;
            H.264 and H.265 say so anyway.
    """

    name: str
    title: str
    video: frozenset[str] | None = None
    tick_seconds: Fraction | None = None
    reordered: bool = True
    text: str | None = None
    sound: str = "aac"
    subtitles: frozenset[str] | None = None
    audio: frozenset[str] | None = None
    covers: bool = False
    attachments: bool = False
    data: bool = True
    chapters: bool = True
    rotation: bool = True
    alpha_beside: bool = False
    pixel_shape: bool = False
    color: bool = True


MP4 = Container(
    name="mp4",
    title="MP4",
    video=frozenset({"h264", "hevc", "av1", "vp9", "mpeg4"}),
    reordered=False,
    text="mov_text",
    covers=True,
    pixel_shape=True,
)
MOV = Container(
    name="mov",
    title="MOV",
    video=frozenset({"h264", "hevc", "prores", "dnxhd", "mjpeg", "mpeg4"}),
    reordered=False,
    text="mov_text",
    pixel_shape=True,
)
MATROSKA = Container(
    name="matroska",
    title="Matroska",
    tick_seconds=MILLISECOND,
    text="srt",
    attachments=True,
    alpha_beside=True,
)
WEBM = Container(
    name="webm",
    title="WebM",
    video=frozenset({"vp8", "vp9", "av1"}),
    tick_seconds=MILLISECOND,
    text="webvtt",
    alpha_beside=True,
    sound="libopus",
)
MPEG_TS = Container(
    name="mpegts",
    title="MPEG-TS",
    video=frozenset({"h264", "hevc", "mpeg2video"}),
    tick_seconds=Fraction(1, 90_000),
    subtitles=frozenset({"dvb_subtitle", "dvb_teletext"}),
    audio=BROADCAST_SOUND,
    data=False,
    chapters=False,
    rotation=False,
    color=False,
)
NUT = Container(name="nut", title="NUT", rotation=False, color=False)

CONTAINERS = {
    ".mp4": MP4,
    ".m4v": MP4,
    ".mov": MOV,
    ".mkv": MATROSKA,
    ".webm": WEBM,
    ".ts": MPEG_TS,
    ".nut": NUT,
}
"""File name extension -> container."""


def container_for(path: Path) -> Container:
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
