"""What the codes of the output mean, where the encoder cannot take the source's as they are."""

from collections.abc import Iterable
from dataclasses import replace

from vfimamba_cli.frame import HALVINGS, ColorSpec, ColorTags, Matrix, Subsampling
from vfimamba_cli.video.formats import FORMATS, PixelFormat, format_for, model_of

HD_LINES = 720

LIMITED_RANGE, FULL_RANGE = 1, 2
BT2020 = 9
MATRIX_CODES: dict[Matrix, int] = {"rgb": 0, "bt709": 1, "bt601": 6, "bt2020": BT2020}
"""Of ITU-T H.273; that of BT.2020 is that of its primaries too."""

SAMPLES = {"400": 0, "410": 1, "411": 4, "420": 4, "422": 8, "440": 8, "444": 16}
"""Chroma samples for every 16 of luma."""


def assumed_matrix(tags: ColorTags, height: int) -> Matrix:
    """Of Y'CbCr that does not say its own.

    BT.2020 beside primaries of BT.2020, else BT.709 from 720 lines on and BT.601 below, as players
    have it.
    """
    if tags.primaries == BT2020:
        return "bt2020"
    return "bt709" if height >= HD_LINES else "bt601"


def closest_color(color: ColorSpec, offered: Iterable[str], *, height: int) -> ColorSpec | None:
    """`color` itself where one of the formats `offered` holds it, or else what loses least.

    Of what there is, alpha is given up last and chroma first. R'G'B' becomes Y'CbCr, by the
    `assumed_matrix`, only for encoders without it, and 4:2:0 if there is that, which all players
    show. None where nothing fits: colors never become grey.
    """
    offered = tuple(offered)
    if format_for(color, offered):
        return color
    candidates = [FORMATS[name] for name in offered if name in FORMATS]
    if model_of(color) != "grey":
        candidates = [found for found in candidates if found.model != "grey"]
    if not candidates:
        return None
    return _converted(color, max(candidates, key=lambda found: _merit(color, found)), height)


def _merit(color: ColorSpec, found: PixelFormat) -> tuple[float, ...]:
    """Larger is better, the first difference decides. Grey loses nothing as Y'CbCr or R'G'B'."""
    before = model_of(color)
    chroma = "420" if before == "rgb" and found.model == "yuv" else color.subsampling
    more_depth = found.depth - color.bit_depth
    return (
        found.alpha == color.alpha,
        found.alpha > color.alpha,
        before in (found.model, "grey"),
        more_depth >= 0,
        -abs(more_depth),
        found.model == before,
        found.model == "yuv",
        holds_chroma(found.subsampling, chroma),
        -abs(SAMPLES[found.subsampling] - SAMPLES[chroma]),
        not found.full_range,
    )


def holds_chroma(wide: Subsampling, narrow: Subsampling) -> bool:
    """Whether chroma of `narrow` loses nothing as that of `wide`."""
    if "400" in (wide, narrow):
        return narrow == "400"
    pairs = zip(HALVINGS[wide], HALVINGS[narrow], strict=True)
    return all(halved <= given for halved, given in pairs)


def _converted(color: ColorSpec, found: PixelFormat, height: int) -> ColorSpec:
    """`color` as in the format `found`; says what it is where that was not the source's choice."""
    matrix, full_range, tags = color.matrix, color.full_range, color.tags
    before, after = model_of(color) == "rgb", found.model == "rgb"
    if after and not before:
        matrix, full_range = "rgb", True
        tags = replace(tags, matrix=MATRIX_CODES["rgb"], range=FULL_RANGE)
    elif before and not after:
        matrix, full_range = assumed_matrix(tags, height), False
        tags = replace(tags, matrix=MATRIX_CODES[matrix], range=LIMITED_RANGE)
    elif found.full_range and not full_range:
        full_range, tags = True, replace(tags, range=FULL_RANGE)
    return replace(
        color,
        matrix=matrix,
        full_range=full_range,
        bit_depth=found.depth,
        subsampling=found.subsampling,
        alpha=found.alpha,
        tags=tags,
    )


def limited(color: ColorSpec) -> ColorSpec:
    """The same in limited range, and tagged so; R'G'B' stays."""
    if not color.full_range or model_of(color) == "rgb":
        return color
    return replace(color, full_range=False, tags=replace(color.tags, range=LIMITED_RANGE))


def jfif(color: ColorSpec) -> ColorSpec:
    """Y'CbCr of `color` as JPEG files have it: BT.601 in full range.

    Source: JFIF 1.02.
    """
    tags = replace(color.tags, matrix=MATRIX_CODES["bt601"], range=FULL_RANGE)
    return replace(color, matrix="bt601", full_range=True, tags=tags)
