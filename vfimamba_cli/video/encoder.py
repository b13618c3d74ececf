"""Everything that the encoder must be told about the video, and each of its pictures."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import cache

import av
from av.codec.context import Flags
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vfimamba_cli.errors import OutputError
from vfimamba_cli.frame import UNSPECIFIED, ColorSpec, Frame
from vfimamba_cli.video.closest import FULL_RANGE, MATRIX_CODES, closest_color, jfif, limited
from vfimamba_cli.video.formats import FORMATS, format_for, model_of
from vfimamba_cli.video.hdr import hdr_options
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.planes import make_picture

ALPHA_BESIDE = {"libvpx", "libvpx-vp9"}
"""Encoders whose alpha is a stream of its own, which containers keep beside the pictures."""


LIMITED_ONLY = {"prores_ks"}
"""Encoders whose streams cannot say that their range is full: players take it as limited."""

JFIF = {"mjpeg"}
"""Encoders whose pictures are taken for BT.601 in full range, whatever they say."""

TAKEN = {
    "libwebp_anim": ("bgra",),  # its Y'CbCr is BT.601, unsaid; R'G'B' it converts itself
    "gif": ("bgr0", "bgra"),
    "wrapped_avframe": (
        "gray",
        *(f"yuv{chroma}p" for chroma in ("420", "422", "444", "411")),
        *(
            f"{name}{depth}le"
            for name in ("gray", "yuv420p", "yuv422p", "yuv444p")
            for depth in (10, 12, 16)
        ),
    ),
}
"""Pixel formats for encoders that do not list them, or that a filter stands before."""

CODED = {"gif": "pal8"}
"""What comes to the encoder from that filter."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """A video encoder with its settings.

    Attributes:
        name: FFmpeg's name of it.
        family: FFmpeg's name of what comes out: `hevc` of `libx265`.
        options: as it takes them.
    """

    name: str
    family: str
    options: dict[str, str]

    def __str__(self) -> str:
        """For people: the name, then the settings."""
        settings = ", ".join(f"{key} {value}" for key, value in self.options.items())
        return f"{self.name} ({settings})" if settings else self.name


@cache
def offered_formats(encoder: str, *, alpha_beside: bool = True) -> tuple[str, ...]:
    """Names of the pixel formats that FFmpeg's encoder of this name takes, and are of use.

    Args:
        encoder: FFmpeg's name.
        alpha_beside: whether alpha that is no part of the pictures can be kept.
    """
    listed = av.Codec(encoder, "w").video_formats or ()
    names = TAKEN.get(encoder) or tuple(found.name for found in listed)
    found = [FORMATS[name] for name in names if name in FORMATS]
    if encoder == "libx265" or (encoder in ALPHA_BESIDE and not alpha_beside):
        # The library's x265 offers alpha and is built without it.
        found = [one for one in found if not one.alpha]
    if encoder == "mjpeg":  # JPEG has no other range
        found = [one for one in found if one.full_range]
    if encoder in ALPHA_BESIDE or encoder == "libx265":  # few players show these in R'G'B'
        found = [one for one in found if one.model != "rgb"]
    return tuple(one.name for one in found)


def encoded_color(encoder: str, info: VideoInfo, *, alpha_beside: bool = True) -> ColorSpec:
    """What the codes given to the encoder mean: as in the source, or as close as it takes them.

    Raises:
        OutputError: if it takes none that colors fit into.
    """
    offered = offered_formats(encoder, alpha_beside=alpha_beside)
    color = closest_color(info.color, offered, height=info.height)
    if color is None:
        raise OutputError(
            f"The encoder {encoder} takes no {info.pixel_format} pictures, nor any like them: "
            f"{info.path}",
            hint="Choose another one",
        )
    if encoder in JFIF:
        return jfif(color)
    return limited(color) if encoder in LIMITED_ONLY else color


def add_video_stream(
    container: OutputContainer,
    encoder: Encoder,
    info: VideoInfo,
    color: ColorSpec,
    *,
    time_base: Fraction,
    rate: Fraction,
) -> VideoStream:
    """A stream of the source's size, pixel shape and rotation, for pictures of `color`."""
    stream = container.add_stream(
        encoder.name,
        rate=rate,
        options=merge_options(encoder.options, hdr_options(encoder.name, info.hdr)),
        width=info.width,
        height=info.height,
        time_base=time_base,
    )
    assert isinstance(stream, VideoStream)
    context = stream.codec_context
    context.pix_fmt = CODED.get(encoder.name) or encoded_format(encoder.name, color)
    context.colorspace = encoded_matrix(color)
    context.color_primaries = color.tags.primaries
    context.color_trc = color.tags.transfer
    context.color_range = encoded_range(color)
    # Without it the muxer guesses how long the last pictures of a variable rate last.
    context.flags |= Flags.frame_duration
    if info.sample_aspect_ratio:
        context.sample_aspect_ratio = info.sample_aspect_ratio
    if color.alpha and encoder.name in ALPHA_BESIDE:
        stream.metadata["alpha_mode"] = "1"
    stream.set_display_matrix(info.display_matrix)
    return stream


def merge_options(options: Mapping[str, str], more: Mapping[str, str]) -> dict[str, str]:
    """Both; parameters of the encoder's own, which one option holds, one after the other."""
    joined = {name: f"{options[name]}:{text}" for name, text in more.items() if name in options}
    return {**options, **more, **joined}


def encodable(frame: Frame, encoder: str, time_base: Fraction) -> VideoFrame:
    """`frame` as the encoder takes it, with its times in ticks and its tags."""
    picture = make_picture(frame, encoded_format(encoder, frame.color))
    picture.time_base = time_base
    picture.pts = round(frame.pts_seconds / time_base)
    picture.duration = round(frame.end_seconds / time_base) - picture.pts
    picture.colorspace = encoded_matrix(frame.color)
    picture.color_primaries = frame.color.tags.primaries
    picture.color_trc = frame.color.tags.transfer
    picture.color_range = encoded_range(frame.color)
    return picture


@cache
def encoded_format(encoder: str, color: ColorSpec) -> str:
    """Of those that the encoder takes, FFmpeg's name of the pixel format that holds `color`."""
    found = format_for(color, offered_formats(encoder))
    if found is None:
        raise ValueError(f"{encoder} takes no {color}")
    return found


def encoded_matrix(color: ColorSpec) -> int:
    """The matrix tag to write: as found, but for grey from a codec that calls itself R'G'B'."""
    if color.tags.matrix == MATRIX_CODES["rgb"] and model_of(color) != "rgb":
        return MATRIX_CODES.get(color.matrix, UNSPECIFIED)
    return color.tags.matrix


def encoded_range(color: ColorSpec) -> int:
    """The range tag to write: full where the format said so by its name only, else as found."""
    return FULL_RANGE if color.full_range and model_of(color) != "rgb" else color.tags.range
