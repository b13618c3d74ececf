"""HDR metadata: what the picture was mastered on, how bright it gets, and what cannot be kept.

Static ones are read from the side data of the first picture and given to encoders that write them
into their stream; PyAV has no way to give them to a container. Those that change from picture to
picture (HDR10+, Dolby Vision) cannot be written at all.

Source: SMPTE ST 2086 and CTA-861.3; FFmpeg's structures `AVMasteringDisplayMetadata`,
`AVContentLightMetadata` and `AVDOVIMetadata`.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from struct import unpack_from

from av.sidedata.sidedata import SideData
from av.sidedata.sidedata import Type as SideDataType

SideDataByType = Mapping[SideDataType, SideData]
Point = tuple[Fraction, Fraction]
"""CIE 1931 x and y."""

CHROMATICITY_STEPS = 50_000
LUMINANCE_STEPS = 10_000
"""What encoders count in: fractions of 1, and of a candela per square meter."""


HDR_PARAMETERS = {
    "libx264": ("x264-params", "mastering-display", "cll", True),
    "libx265": ("x265-params", "master-display", "max-cll", True),
    "libsvtav1": ("svtav1-params", "mastering-display", "content-light", False),
}
"""Option, its parameters for both, and whether these count in steps."""


@dataclass(frozen=True, slots=True, kw_only=True)
class MasteringDisplay:
    """The display that the picture was made on; luminance in candela per square meter."""

    red: Point
    green: Point
    blue: Point
    white: Point
    darkest: Fraction
    brightest: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class ContentLight:
    """Brightest pixel of all, and brightest mean of a picture, in candela per square meter."""

    brightest_pixel: int
    brightest_mean: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticHdr:
    """What is known of the whole video; each may be unknown."""

    display: MasteringDisplay | None = None
    light: ContentLight | None = None

    def __str__(self) -> str:
        """For people: the names of what is known."""
        return " and ".join(
            name
            for name, known in (
                ("HDR mastering display", self.display),
                ("HDR content light level", self.light),
            )
            if known
        )


def read_static_hdr(data: SideDataByType) -> StaticHdr:
    """What the side data of a picture say."""
    display, light = (
        data.get(kind)
        for kind in (SideDataType.MASTERING_DISPLAY_METADATA, SideDataType.CONTENT_LIGHT_LEVEL)
    )
    return StaticHdr(
        display=_mastering_display(bytes(display)) if display is not None else None,
        light=_content_light(bytes(light)) if light is not None else None,
    )


def _mastering_display(data: bytes) -> MasteringDisplay | None:
    """Ten fractions of two integers, then whether the points and the luminances are set."""
    *numbers, has_points, has_luminance = unpack_from("=22i", data)
    if not has_points or not has_luminance or 0 in numbers[1::2]:
        return None
    values = [Fraction(*pair) for pair in zip(numbers[::2], numbers[1::2], strict=True)]
    red, green, blue, white = zip(values[:8:2], values[1:8:2], strict=True)
    darkest, brightest = values[8:]
    return MasteringDisplay(
        red=red, green=green, blue=blue, white=white, darkest=darkest, brightest=brightest
    )


def _content_light(data: bytes) -> ContentLight | None:
    pixel, mean = unpack_from("=2I", data)
    return ContentLight(brightest_pixel=pixel, brightest_mean=mean) if pixel or mean else None


def is_dolby_vision_only(data: SideDataByType) -> bool:
    """Whether the pictures have colors of Dolby Vision's own: profile 5, with no other reading.

    Told as FFmpeg tells it, by two fields of the header, whose place comes first in the data.
    """
    metadata = data.get(SideDataType.DOVI_METADATA)
    if metadata is None:
        return False
    (header,) = unpack_from("=Q", metadata)
    _, _, profile, full_range = unpack_from("=BxHB5xB", metadata, header)
    return (profile, full_range) == (0, 1)


def hdr_options(encoder: str, hdr: StaticHdr) -> dict[str, str]:
    """The options that make an encoder write `hdr` into its stream; none where it cannot.

    Returns:
        By the name of FFmpeg's option, parameters of the encoder's own, `:` between them.
    """
    if encoder not in HDR_PARAMETERS:
        return {}
    option, display, light, steps = HDR_PARAMETERS[encoder]
    parameters = []
    if hdr.display:
        parameters.append(f"{display}={_written(hdr.display, steps=steps)}")
    if hdr.light:
        parameters.append(f"{light}={hdr.light.brightest_pixel},{hdr.light.brightest_mean}")
    return {option: ":".join(parameters)} if parameters else {}


def _written(display: MasteringDisplay, *, steps: bool) -> str:
    """As encoders take it, in whole steps or in units."""

    def number(value: Fraction, count: int) -> str:
        return str(round(value * count)) if steps else f"{float(value):.6f}"

    points = "".join(
        f"{name}({','.join(number(value, CHROMATICITY_STEPS) for value in point)})"
        for name, point in (
            ("G", display.green),
            ("B", display.blue),
            ("R", display.red),
            ("WP", display.white),
        )
    )
    luminances = (display.brightest, display.darkest)
    return f"{points}L({','.join(number(value, LUMINANCE_STEPS) for value in luminances)})"
