"""The kinds of file that can be written, and what each of them holds."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vfimamba_cli.errors import OptionError, OutputError
from vfimamba_cli.video.sequence import FLOATING, is_sequence

MILLISECOND = Fraction(1, 1000)
BROADCAST_SOUND = frozenset({"aac", "ac3", "eac3", "mp2", "mp3", "dts", "opus", "truehd"})
AVI_SOUND = frozenset({"aac", "ac3", "mp2", "mp3", "pcm_u8", "pcm_s16le", "pcm_s24le", "pcm_s32le"})

IMPAIRED = frozenset({"hearing_impaired", "visual_impaired"})
ROLES = frozenset({"default", "dub", "original", "comment"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """A kind of file.

    What it holds is asked of FFmpeg's muxer, except where that writes what nothing can read.

    Attributes:
        name: FFmpeg's name of the muxer.
        title: for people.
        video: FFmpeg's names of the codecs that players expect in it; None for any.
        tick_seconds: what it rounds times to; None if it takes any.
        most_per_second: frames that its players keep up with; None for any.
        constant: whether it holds constant rates only.
        counted: whether a picture has a number instead of a time.
        starts: whether its streams may start at different times.
        reordered: whether it says how long each picture lasts in the order of presentation. Where
            not, and the rate varies, pictures have to be coded in that order; or in any case where
            they are counted.
        only: whether it holds nothing but one video and how long its pictures last.
        text: encoder for text subtitles that do not fit as they are; None where it holds none.
        sound: encoder for sound that does not fit as it is.
        subtitles, audio: the only codecs that it holds, by FFmpeg's names; None for what the
            muxer says.
        marks: what it can say of a stream, by FFmpeg's names: that it is a comment, for instance.
        needs_default: whether it always has a default stream of each kind: the first if need be.
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
    most_per_second: int | None = None
    constant: bool = False
    counted: bool = False
    starts: bool = True
    reordered: bool = True
    only: bool = False
    text: str | None = None
    sound: str = "aac"
    subtitles: frozenset[str] | None = None
    audio: frozenset[str] | None = None
    marks: frozenset[str] = frozenset()
    needs_default: bool = False
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
    marks=IMPAIRED | {"default", "dub", "comment", "forced"},
    needs_default=True,
    covers=True,
    pixel_shape=True,
)
MOV = Container(
    name="mov",
    title="MOV",
    video=frozenset({"h264", "hevc", "prores", "dnxhd", "mjpeg", "mpeg4"}),
    reordered=False,
    text="mov_text",
    marks=frozenset({"default"}),
    needs_default=True,
    pixel_shape=True,
)
MATROSKA = Container(
    name="matroska",
    title="Matroska",
    tick_seconds=MILLISECOND,
    text="srt",
    marks=ROLES | IMPAIRED | {"forced"},
    attachments=True,
    alpha_beside=True,
)
WEBM = Container(
    name="webm",
    title="WebM",
    video=frozenset({"vp8", "vp9", "av1"}),
    tick_seconds=MILLISECOND,
    text="webvtt",
    marks=frozenset({"default", "forced"}),
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
    marks=IMPAIRED,
    data=False,
    chapters=False,
    rotation=False,
    color=False,
)
NUT = Container(
    name="nut",
    title="NUT",
    video=frozenset({"h264", "hevc", "av1", "vp8", "vp9", "mpeg4", "ffv1"}),
    marks=ROLES,
    rotation=False,
    color=False,
)
AVI = Container(
    name="avi",
    title="AVI",
    video=frozenset({"h264", "mpeg4", "mjpeg", "ffv1"}),
    constant=True,
    counted=True,
    starts=False,
    reordered=False,
    subtitles=frozenset(),
    audio=AVI_SOUND,
    sound="pcm_s16le",  # what others put before the sound, for the decoder, would be heard
    data=False,
    chapters=False,
    rotation=False,
    color=False,
)

GIF = Container(
    name="gif",
    title="GIF",
    video=frozenset({"gif"}),
    tick_seconds=Fraction(1, 100),
    most_per_second=50,  # a shorter time than two ticks is taken for ten by browsers
    only=True,
)
APNG = Container(
    name="apng",
    title="APNG",
    video=frozenset({"apng"}),
    constant=True,
    only=True,
)
WEBP = Container(
    name="webp",
    title="WebP",
    video=frozenset({"webp"}),
    tick_seconds=MILLISECOND,
    constant=True,
    only=True,
)
Y4M = Container(
    name="yuv4mpegpipe",
    title="Y4M",
    video=frozenset({"wrapped_avframe"}),
    constant=True,
    counted=True,
    only=True,
)

PNG, TIFF, JPEG = (
    Container(
        name="image2", title=f"{title} pictures", video=frozenset({codec}), constant=True, only=True
    )
    for title, codec in (("PNG", "png"), ("TIFF", "tiff"), ("JPEG", "mjpeg"))
)

CONTAINERS = {
    ".mp4": MP4,
    ".m4v": MP4,
    ".mov": MOV,
    ".mkv": MATROSKA,
    ".webm": WEBM,
    ".ts": MPEG_TS,
    ".nut": NUT,
    ".avi": AVI,
    ".gif": GIF,
    ".apng": APNG,
    ".webp": WEBP,
    ".y4m": Y4M,
}
"""File name extension -> container."""

SEQUENCES = {".png": PNG, ".tif": TIFF, ".tiff": TIFF, ".jpg": JPEG, ".jpeg": JPEG}
"""Extension of numbered pictures, `frames/%05d.png` -> what is written."""

PIPE = Path("-")
"""In the place of a file: standard input, or standard output."""

PIPED = {"matroska": MATROSKA, "nut": NUT, "y4m": Y4M}
"""What can be written to standard output, by the names that `--container` takes."""


def container_for(path: Path, piped: str | None = None) -> Container:
    """The container that the file name asks for, or `piped` where the output is a pipe.

    Raises:
        OptionError: for a pipe of a kind that is not known, or a kind where there is no pipe.
        OutputError: if the extension is not known.
    """
    if path == PIPE:
        kind = piped or next(iter(PIPED))
        if kind not in PIPED:
            raise OptionError(f"--container {kind!r} is not one of {', '.join(PIPED)}")
        return PIPED[kind]
    if piped is not None:
        raise OptionError(
            f"--container is for standard output, which {path} is not",
            hint="The extension of a file's name says what it is; --output - is standard output",
        )
    suffix = path.suffix.lower()
    if suffix in SEQUENCES:
        if is_sequence(path):
            return SEQUENCES[suffix]
        raise OutputError(
            f"A picture holds no video: {path}",
            hint=f"Number pictures, for instance {path.stem}-%05d{path.suffix}",
        )
    if suffix == ".exr":
        raise OutputError(
            f"EXR pictures are not written: {FLOATING}: {path}",
            hint=f"{path.with_suffix('.png').name} or {path.with_suffix('.tif').name} hold 16 bits"
            if is_sequence(path)
            else "Numbered pictures, %05d.png or %05d.tif, hold 16 bits",
        )
    if suffix not in CONTAINERS:
        raise OutputError(
            f"No container is known for the extension {path.suffix or '(none)'!r}: {path}",
            hint=f"Use one of {', '.join(CONTAINERS)}, or %05d with {', '.join(SEQUENCES)}",
        )
    return CONTAINERS[suffix]
