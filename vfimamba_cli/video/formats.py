"""FFmpeg's pixel formats: what is in them, and where in memory each plane's codes lie."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from vfimamba_cli.frame import ColorSpec, Subsampling

Model = Literal["yuv", "rgb", "grey"]


@dataclass(frozen=True, slots=True)
class Place:
    """Where the codes of one plane lie.

    Attributes:
        buffer: index of FFmpeg's plane, which may hold several of ours.
        first: element of a line that its first code is.
        step: elements from one code to the next.
    """

    buffer: int
    first: int = 0
    step: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class PixelFormat:
    """One of FFmpeg's pixel formats.

    Attributes:
        name: FFmpeg's.
        model: what the planes are.
        subsampling, depth, alpha: as in `ColorSpec`.
        places: of each plane, in the order of `Frame.planes`.
        element: numpy's name of the type of the elements.
        shift: bits below a code that are zero.
        full_range: whether the name alone says that the whole range is used.
    """

    name: str
    model: Model
    subsampling: Subsampling
    depth: int
    alpha: bool
    places: tuple[Place, ...]
    element: str
    shift: int = 0
    full_range: bool = False

    def holds(self, color: ColorSpec) -> bool:
        """Whether pictures of `color` lie in it without any code being changed."""
        own = (self.model, self.subsampling, self.depth, self.alpha)
        wanted = (model_of(color), color.subsampling, color.bit_depth, color.alpha)
        return own == wanted and self.full_range <= color.full_range


def model_of(color: ColorSpec) -> Model:
    """What the planes of `color` are."""
    if color.subsampling == "400":
        return "grey"
    return "rgb" if color.matrix == "rgb" else "yuv"


def format_for(color: ColorSpec, offered: Iterable[str]) -> str | None:
    """The first of the formats `offered`, by their names, that holds `color` as it is."""
    known = (FORMATS[name] for name in offered if name in FORMATS)
    return next((found.name for found in known if found.holds(color)), None)


def _planar(model: Model, subsampling: Subsampling, depth: int, *, alpha: bool) -> PixelFormat:
    """Each plane in a buffer of its own."""
    letters = {"grey": "gray", "rgb": f"gbr{'a' * alpha}p"}
    name = letters.get(model, f"yuv{'a' * alpha}{subsampling}p")
    return PixelFormat(
        name=name if depth == 8 else f"{name}{depth}le",
        model=model,
        subsampling=subsampling,
        depth=depth,
        alpha=alpha,
        places=tuple(Place(i) for i in range((1 if model == "grey" else 3) + alpha)),
        element="u1" if depth == 8 else "<u2",
    )


def _jpeg(subsampling: Subsampling) -> PixelFormat:
    """As `_planar`, full range by name."""
    return PixelFormat(
        name=f"yuvj{subsampling}p",
        model="yuv",
        subsampling=subsampling,
        depth=8,
        alpha=False,
        places=(Place(0), Place(1), Place(2)),
        element="u1",
        full_range=True,
    )


def _semi_planar(
    name: str, subsampling: Subsampling, depth: int, *, shift: int = 0, order: str = "uv"
) -> PixelFormat:
    """Luma in one buffer, both chromas in turn in another."""
    return PixelFormat(
        name=name,
        model="yuv",
        subsampling=subsampling,
        depth=depth,
        alpha=False,
        places=(Place(0), *(Place(1, order.index(plane), 2) for plane in "uv")),
        element="u1" if depth == 8 else "<u2",
        shift=shift,
    )


def _packed(
    name: str, order: str, depth: int = 8, *, shift: int = 0, byte_order: str = "<"
) -> PixelFormat:
    """All planes in turn in one buffer.

    Args:
        name: FFmpeg's.
        order: a letter for each element of a group of them; one that says nothing is 0.
        depth, shift: as in `PixelFormat`.
        byte_order: of elements of two bytes.
    """
    alpha = "a" in order
    model: Model = "rgb" if "r" in order else "yuv" if "u" in order else "grey"
    planes = {"rgb": "gbr", "yuv": "yuv", "grey": "y"}[model] + "a" * alpha
    subsampling: Subsampling = "422" if order.count("y") == 2 else "444"
    return PixelFormat(
        name=name,
        model=model,
        subsampling="400" if model == "grey" else subsampling,
        depth=depth,
        alpha=alpha,
        places=tuple(
            Place(0, order.index(plane), len(order) // order.count(plane)) for plane in planes
        ),
        element="u1" if depth == 8 else f"{byte_order}u2",
        shift=shift,
    )


DEPTHS = (8, 9, 10, 12, 14, 16)

PLANAR: dict[Subsampling, tuple[int, ...]] = {
    "444": DEPTHS,
    "422": DEPTHS,
    "420": DEPTHS,
    "440": (8, 10, 12),
    "411": (8,),
    "410": (8,),
}
PLANAR_ALPHA: dict[Subsampling, tuple[int, ...]] = {
    "444": (8, 9, 10, 12, 16),
    "422": (8, 9, 10, 12, 16),
    "420": (8, 9, 10, 16),
}
"""Bits per code of those that FFmpeg has, by their subsampling."""

FORMATS = {
    found.name: found
    for found in (
        *(_planar("yuv", s, d, alpha=False) for s, depths in PLANAR.items() for d in depths),
        *(_planar("yuv", s, d, alpha=True) for s, depths in PLANAR_ALPHA.items() for d in depths),
        *(_planar("rgb", "444", depth, alpha=False) for depth in DEPTHS),
        *(_planar("rgb", "444", depth, alpha=True) for depth in DEPTHS if depth != 9),
        *(_planar("grey", "400", depth, alpha=False) for depth in DEPTHS),
        *(_jpeg(subsampling) for subsampling in ("420", "422", "440", "444", "411")),
        _semi_planar("nv12", "420", 8),
        _semi_planar("nv21", "420", 8, order="vu"),
        _semi_planar("nv16", "422", 8),
        _semi_planar("nv24", "444", 8),
        _semi_planar("nv42", "444", 8, order="vu"),
        _semi_planar("nv20le", "422", 10),
        _semi_planar("p010le", "420", 10, shift=6),
        _semi_planar("p012le", "420", 12, shift=4),
        _semi_planar("p016le", "420", 16),
        _semi_planar("p210le", "422", 10, shift=6),
        _semi_planar("p212le", "422", 12, shift=4),
        _semi_planar("p216le", "422", 16),
        _semi_planar("p410le", "444", 10, shift=6),
        _semi_planar("p412le", "444", 12, shift=4),
        _semi_planar("p416le", "444", 16),
        _packed("yuyv422", "yuyv"),
        _packed("uyvy422", "uyvy"),
        _packed("yvyu422", "yvyu"),
        _packed("y210le", "yuyv", 10, shift=6),
        _packed("y212le", "yuyv", 12, shift=4),
        _packed("y216le", "yuyv", 16),
        _packed("vyu444", "vyu"),
        _packed("vuyx", "vuy0"),
        _packed("vuya", "vuya"),
        _packed("uyva", "uyva"),
        _packed("ayuv", "ayuv"),
        _packed("ayuv64le", "ayuv", 16),
        _packed("xv36le", "uyv0", 12, shift=4),
        _packed("xv48le", "uyv0", 16),
        _packed("ya8", "ya"),
        _packed("ya16le", "ya", 16),
        _packed("ya16be", "ya", 16, byte_order=">"),
        _packed("gray16be", "y", 16, byte_order=">"),
        _packed("rgb24", "rgb"),
        _packed("bgr24", "bgr"),
        *(_packed(order, order) for order in ("bgr0", "rgb0", "0rgb", "0bgr")),
        *(_packed(order, order) for order in ("rgba", "bgra", "argb", "abgr")),
        _packed("rgb48le", "rgb", 16),
        _packed("rgb48be", "rgb", 16, byte_order=">"),
        _packed("bgr48le", "bgr", 16),
        _packed("rgba64le", "rgba", 16),
        _packed("rgba64be", "rgba", 16, byte_order=">"),
        _packed("bgra64le", "bgra", 16),
    )
}
"""By name, all that can be read and written."""
