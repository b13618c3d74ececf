"""What a video file says about itself, with what it leaves open resolved by a stated rule."""

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import UNSPECIFIED, ChromaLocation, ColorSpec, ColorTags, Matrix
from vfimamba_cli.video.closest import FULL_RANGE, LIMITED_RANGE, assumed_matrix
from vfimamba_cli.video.formats import FORMATS
from vfimamba_cli.video.hdr import StaticHdr
from vfimamba_cli.video.sequence import FLOATING, FROM_FLOATING
from vfimamba_cli.video.timeline import SourceTimes, TimeMap

MATRICES: dict[int, Matrix] = {
    1: "bt709",
    4: "fcc",
    5: "bt601",
    6: "bt601",
    7: "smpte240m",
    8: "ycgco",
    9: "bt2020",
    10: "bt2020",  # constant luminance; there and back by the same matrix, tags kept
}
"""Matrix code points (ITU-T H.273) that a picture can be taken to R'G'B' and back with."""
CENTERED_CHROMA = {"mjpeg", "mpeg1video", "h261", "h263"}

HIDDEN_PICTURES = {"vp8", "vp9"}
"""Codecs with packets that show nothing: other pictures refer to them."""

STILL_PICTURES = {"png", "apng", "tiff", "bmp", "targa", "ppm", "pgm"}
"""Codecs whose grey is full range unless said otherwise."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """One stream of a container: its kind (`video`, `audio`, `subtitle`, ...) and codec."""

    index: int
    kind: str
    codec: str
    language: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoInfo:
    """What is known of a video before its frames are decoded.

    Attributes:
        path: of the file.
        width, height: in pixels, as stored: not rotated, pixels not squared.
        pixel_format: FFmpeg's name.
        color: what the codes mean.
        codec, container: FFmpeg's names.
        time_base: seconds of which every frame time is a whole number.
        start_seconds, duration_seconds: of the video stream; from the first frame's appearance to
            the last one's end.
        last_seconds: when the last frame appears.
        frame_count: pictures promised by the packets; VP8 and VP9 may show a few less.
        rate: average frames per second: the container's where the packets agree with it.
        rate_assumed: whether the file holds no frame times, so that they follow from `rate` alone.
        variable_rate: whether some frames last longer than others.
        origin_seconds: where the container's clock starts; already taken off all frame times.
            0 except for transport streams and their like, whose clock means nothing.
        sample_aspect_ratio: width of a pixel over its height; None where not said.
        display_matrix: the nine numbers of the rotation to be done by the player, or None.
        rotation: the same in degrees, counter-clockwise.
        interlaced: whether the first picture says it is made of two fields.
        hdr: what is known of the mastering display and the light level.
        side_data: names of what else travels on the frames and cannot be written (HDR10+, ...).
        video_index: index of the video stream.
        streams: all streams, this one too.
    """

    path: Path
    width: int
    height: int
    pixel_format: str
    color: ColorSpec
    codec: str
    container: str
    time_base: Fraction
    start_seconds: Fraction
    duration_seconds: Fraction
    last_seconds: Fraction
    frame_count: int
    rate: Fraction
    rate_assumed: bool
    variable_rate: bool
    origin_seconds: Fraction
    sample_aspect_ratio: Fraction | None
    display_matrix: tuple[int, ...] | None
    rotation: int
    interlaced: bool
    hdr: StaticHdr
    side_data: tuple[str, ...]
    video_index: int
    streams: tuple[StreamInfo, ...]

    @property
    def end_seconds(self) -> Fraction:
        """When the last frame ends."""
        return self.start_seconds + self.duration_seconds

    @property
    def count_exact(self) -> bool:
        """Whether `frame_count` pictures will be decoded, neither more nor less.

        A packet may hold one of a picture's two fields, or a picture that is not to be shown.
        """
        return not self.interlaced and self.codec not in HIDDEN_PICTURES

    def times(self, time_map: TimeMap = TimeMap()) -> SourceTimes:
        """When the frames are shown."""
        return SourceTimes(
            count=self.frame_count,
            count_exact=self.count_exact,
            first_seconds=time_map(self.start_seconds),
            last_seconds=time_map(self.last_seconds),
            end_seconds=time_map(self.end_seconds),
            tick_seconds=self.time_base * time_map.scale,
            rate=self.rate / time_map.scale,
            variable_rate=self.variable_rate,
        )


def resolve_color(
    pixel_format: str, tags: ColorTags, *, codec: str, height: int, path: Path
) -> ColorSpec:
    """What the codes of a picture mean, where the tags leave it open too.

    No matrix: as `assumed_matrix` has it. No range: limited,
    except in the `yuvj` formats, which are full range by name, and in grey pictures of codecs
    for stills; R'G'B' is always full range. Chroma lies left, as H.264 has it unless told
    otherwise, and centered in JPEG, MPEG-1 and H.263.

    Raises:
        InputError: for a pixel format or a matrix that is not supported.
    """
    if codec == "exr":
        raise InputError(f"EXR pictures are not read: {FLOATING}: {path}", hint=FROM_FLOATING)
    if pixel_format not in FORMATS:
        raise InputError(
            f"The pixel format {pixel_format} is not supported: {path}",
            hint="Y'CbCr, R'G'B' and grey of 8 to 16 bits are, with and without alpha: convert it "
            "with `ffmpeg -i IN -pix_fmt yuv420p -crf 12 OUT`",
        )
    layout = FORMATS[pixel_format]
    if layout.model == "rgb":
        matrix: Matrix = "rgb"
    elif tags.matrix == UNSPECIFIED or layout.model == "grey":
        matrix = MATRICES.get(tags.matrix, assumed_matrix(tags, height))
    elif tags.matrix in MATRICES:
        matrix = MATRICES[tags.matrix]
    else:
        raise InputError(
            f"The color matrix with code {tags.matrix} (ITU-T H.273) is not supported: {path}",
            hint=f"Supported codes: {', '.join(map(str, sorted(MATRICES)))}",
        )
    full_range = tags.range == FULL_RANGE or layout.full_range or layout.model == "rgb"
    if layout.model == "grey" and codec in STILL_PICTURES:
        full_range = tags.range != LIMITED_RANGE
    location: ChromaLocation = "center" if codec in CENTERED_CHROMA else "left"
    return ColorSpec(
        matrix=matrix,
        full_range=full_range,
        bit_depth=layout.depth,
        subsampling=layout.subsampling,
        chroma_location=location,
        alpha=layout.alpha,
        tags=tags,
    )
