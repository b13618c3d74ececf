"""Open a media file and say what is in it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from stat import S_ISDIR
from struct import unpack

import av
from av.container import InputContainer
from av.format import Flags as FormatFlags
from av.sidedata.sidedata import Type as SideDataType
from av.stream import Disposition, Stream
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import ColorTags
from vfimamba_cli.video.completeness import cut_off
from vfimamba_cli.video.hdr import is_dolby_vision_only, read_static_hdr
from vfimamba_cli.video.info import StreamInfo, VideoInfo, resolve_color
from vfimamba_cli.video.pyav import as_fraction, open_for_reading, readable, side_data
from vfimamba_cli.video.scan import Scan, nominal_rate, untimed_rate

RATE_TOLERANCE = 0.02

SIDE_DATA = {
    SideDataType.DYNAMIC_HDR_PLUS: "HDR10+",
    SideDataType.DYNAMIC_HDR_VIVID: "HDR Vivid",
    SideDataType.DOVI_METADATA: "Dolby Vision",
    SideDataType.AMBIENT_VIEWING_ENVIRONMENT: "ambient viewing environment",
    SideDataType.ICC_PROFILE: "ICC color profile",
    SideDataType.SPHERICAL: "360-degree mapping",
    SideDataType.STEREO3D: "stereo layout",
    SideDataType.A53_CC: "closed captions",
    SideDataType.GOP_TIMECODE: "time codes",
    SideDataType.S12M_TIMECODE: "SMPTE time codes",
}


def open_input(path: Path) -> InputContainer:
    """Open a media file.

    Raises:
        InputError: if there is none, or it is not one.
    """
    _check_is_file(path)
    try:
        return open_for_reading(path)
    except (av.FFmpegError, OSError) as error:
        raise InputError(
            f"Not a video that can be opened ({error.strerror}): {path}",
            hint="If a player shows it, `ffmpeg -i IN -c copy OUT.mkv` may repair it",
        ) from error


def _check_is_file(path: Path) -> None:
    try:
        mode = path.stat().st_mode
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"No such file: {path}", hint="Check the path") from error
    except OSError as error:
        raise InputError(
            f"No file can be reached there ({error.strerror}): {path}",
            hint="Check the path, and that you may enter its folders",
        ) from error
    if S_ISDIR(mode):
        raise InputError(
            f"A folder, not a video: {path}",
            hint="Give the path of a video file, or numbered pictures: FOLDER/%04d.png",
        )


@contextmanager
def damage_is_an_input_error(path: Path) -> Iterator[None]:
    """Turn FFmpeg's errors while reading `path` into `InputError`."""
    try:
        yield
    except av.FFmpegError as error:
        raise cut_off(path, str(error.strerror)) from error


def pick_video_stream(container: InputContainer, path: Path) -> VideoStream:
    """The stream to interpolate: FFmpeg's choice among those that are no cover picture.

    Raises:
        InputError: if there is none, or nothing here can decode it.
    """
    moving = [
        stream
        for stream in container.streams.video
        if not stream.disposition & Disposition.attached_pic
    ]
    if not moving:
        kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
        raise InputError(
            f"There is no video stream, only {kinds}: {path}", hint="Give a file with pictures"
        )
    best = container.streams.best("video")
    stream = next((stream for stream in moving if stream is best), moving[0])
    if stream.codec_context is None:
        raise InputError(
            f"The codec of the video stream is not known here: {path}",
            hint="Convert it with another program first, to H.264 for instance",
        )
    return stream


def average_rate(stream: VideoStream, measured: Fraction) -> Fraction:
    """The container's average rate where it is `measured` within 2 %, or else `measured`.

    Containers that count milliseconds cannot tell 30000/1001 from 29.97 by their times, but
    mostly say which it is; some say nonsense, 1000 for instance.
    """
    nominal = nominal_rate(stream)
    return nominal if abs(nominal / measured - 1) < RATE_TOLERANCE else measured


def clock_origin(container: InputContainer) -> Fraction:
    """Where the clock starts, in seconds: 0, or the first time in a transport stream."""
    if not FormatFlags(container.format.flags) & FormatFlags.ts_discont:
        return Fraction(0)
    starts = (
        stream.start_time * time_base
        for stream in container.streams
        if stream.start_time is not None and (time_base := as_fraction(stream.time_base))
    )
    return min(starts, default=Fraction(0))


def display_matrix(picture: VideoFrame, path: Path) -> tuple[int, ...] | None:
    """The nine 32-bit numbers of the rotation that the player is to do; None if there are none.

    Raises:
        InputError: if there are some that cannot be read.
    """
    data = side_data(picture)
    if data is None and picture.rotation:
        raise InputError(
            f"The rotation by {picture.rotation} degrees lies beside data of a kind that "
            f"PyAV {av.__version__} does not know: {path}",
            hint="Install a newer PyAV: `pip install --upgrade av`; 19 needs Python 3.12",
        )
    matrix = data.get(SideDataType.DISPLAYMATRIX) if data is not None else None
    return unpack("=9i", bytes(matrix)) if matrix is not None else None


def side_data_names(picture: VideoFrame) -> tuple[str, ...]:
    """For people: what else travels on a picture and cannot be written."""
    data = side_data(picture)
    if data is None:
        return (f"data on the pictures that PyAV {av.__version__} does not know",)
    names = tuple(name for kind, name in SIDE_DATA.items() if kind in data)
    if not is_dolby_vision_only(data):
        return names
    return (*names, "with it the colors, which are of Dolby Vision's own kind (profile 5)")


def describe_stream(stream: Stream) -> StreamInfo:
    """Kind, codec and language of any stream."""
    context = stream.codec_context
    return StreamInfo(
        index=stream.index,
        kind=stream.type,
        codec=context.codec.canonical_name if context else "unknown",
        language=readable(stream.metadata.get("language", "")),
    )


def describe(
    container: InputContainer, stream: VideoStream, first: VideoFrame, scan: Scan, path: Path
) -> VideoInfo:
    """Everything known of a video once its packets are read and its first picture is decoded.

    The picture's own color tags are taken, not the container's: they are what it was coded with.

    Raises:
        InputError: for a kind of picture that is not supported.
    """
    time_base = as_fraction(stream.time_base)
    assumed_rate = None
    if first.pts is None or time_base is None:
        assumed_rate = untimed_rate(stream)
        time_base = 1 / assumed_rate
    origin = clock_origin(container)
    duration = (scan.end - scan.start) * time_base
    codec = stream.codec_context.codec.canonical_name
    tags = ColorTags(
        matrix=int(first.colorspace),
        primaries=int(first.color_primaries),
        transfer=int(first.color_trc),
        range=int(first.color_range),
    )
    name = first.format.name
    return VideoInfo(
        path=path,
        width=first.width,
        height=first.height,
        pixel_format=name,
        color=resolve_color(name, tags, codec=codec, height=first.height, path=path),
        codec=codec,
        container=container.format.name,
        time_base=time_base,
        start_seconds=scan.start * time_base - origin,
        duration_seconds=duration,
        last_seconds=(scan.end - scan.last_duration) * time_base - origin,
        frame_count=scan.frame_count,
        rate=assumed_rate or average_rate(stream, scan.frame_count / duration),
        rate_assumed=assumed_rate is not None,
        variable_rate=scan.varies(time_base),
        origin_seconds=origin,
        sample_aspect_ratio=as_fraction(stream.sample_aspect_ratio),
        display_matrix=display_matrix(first, path),
        rotation=first.rotation,
        interlaced=first.interlaced_frame,
        hdr=read_static_hdr(side_data(first) or {}),
        side_data=side_data_names(first),
        video_index=stream.index,
        streams=tuple(describe_stream(other) for other in container.streams),
    )


def describe_part(info: VideoInfo, part: Scan) -> VideoInfo:
    """`info`, of a part of the video only."""
    start, end = (ticks * info.time_base - info.origin_seconds for ticks in (part.start, part.end))
    return replace(
        info,
        start_seconds=start,
        duration_seconds=end - start,
        last_seconds=end - part.last_duration * info.time_base,
        frame_count=part.frame_count,
        variable_rate=part.varies(info.time_base),
    )
