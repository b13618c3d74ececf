"""How quality is measured, as published: one entry per table column, run by one runner.

Data only: imports nothing heavy, so that the command can name the choices at once.
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Scale = float | Literal["auto"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two frames that are given, by their numbers in the clip, and those that are asked for."""

    first: int
    second: int
    targets: tuple[int, ...]

    @property
    def times(self) -> list[Fraction]:
        """Of the targets between the two given frames, in (0, 1)."""
        return [Fraction(i - self.first, self.second - self.first) for i in self.targets]


@dataclass(frozen=True, slots=True)
class Published:
    """A number from a paper: of the same protocol, measured by others.

    Attributes:
        method: as papers call it.
        psnr: in dB.
        ssim: None where it is not known.
        about: whether it was read off or rounded.
    """

    method: str
    psnr: float
    ssim: float | None = None
    about: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Protocol:
    """All that decides a number, but the method.

    Frames are padded by repeating their edges, centered, to multiples of 16 / `flow_scale`: at
    every size the published scripts can run at, that is the padding of theirs.

    Attributes:
        name: of the column.
        clips: key of `MEASURED_SETS`.
        pairs: what is given and asked for in each clip.
        size: height and width of the published frames that are compared; None where they vary.
        shrink_to: height and width that frames are reduced to by area averaging.
        shrink_to_8bit: whether reduced frames, the true ones too, are rounded to 8 bits.
        crop: rows and columns cut off on each side.
        flow_scale: size at which motion is found; `auto` by the frame's size.
        refine_at: where the local blocks run, see `PathOptions`.
        schedule: how times other than the middle are reached; `auto` as the weights were trained.
        local, local_large: whether the local blocks run, in the small and in the large network.
        tta_large: whether the large network averages with the pair rotated by 180 degrees.
        to_8bit: whether made frames are rounded to 8 bits before they are compared.
        ssim: the window, see `metrics`.
        published: by others.
        source: where the settings are from.
    """

    name: str
    clips: str
    pairs: tuple[Pair, ...]
    size: tuple[int, int] | None = None
    shrink_to: tuple[int, int] | None = None
    shrink_to_8bit: bool = False
    crop: tuple[int, int] | None = None
    flow_scale: Scale = "auto"
    refine_at: Literal["flow", "full"] = "flow"
    schedule: Literal["auto", "direct", "halving"] = "auto"
    local: bool = True
    local_large: bool = True
    tta_large: bool = False
    to_8bit: bool = True
    ssim: Literal["matlab", "uniform"] = "matlab"
    published: tuple[Published, ...] = ()
    source: str = "no published protocol: the engine as it is by default"

    @property
    def numbers(self) -> tuple[int, ...]:
        """Of the frames it needs, in order."""
        needed = {n for pair in self.pairs for n in (pair.first, pair.second, *pair.targets)}
        return tuple(sorted(needed))

    @property
    def is_sequence(self) -> bool:
        """Whether some frames made follow one another, so that steadiness can be measured."""
        return any(len(pair.targets) > 1 for pair in self.pairs)


TRIPLET = (Pair(0, 2, (1,)),)
EIGHTFOLD = (Pair(0, 32, tuple(range(4, 32, 4))),)
MIDDLE_OF_32 = (Pair(0, 32, (16,)),)
SIZE_2K, SIZE_4K = (1080, 2048), (2160, 4096)


def strides(stride: int) -> tuple[Pair, ...]:
    """Every `stride`-th of nine frames is given, all between are asked for."""
    return tuple(
        Pair(start, start + stride, tuple(range(start + 1, start + stride)))
        for start in range(0, 8, stride)
    )


def xtest(name: str, pairs: tuple[Pair, ...], **rest: object) -> Protocol:
    """Settings that the X-TEST protocols share."""
    return Protocol(
        name=name,
        clips="xtest",
        pairs=pairs,
        refine_at="flow",
        schedule="halving",
        tta_large=True,
        source="published VFIMamba benchmark, XTEST",
        **rest,  # type: ignore[arg-type]
    )


def snu_film(level: str, psnr: float, ssim: float, *, local_large: bool) -> Protocol:
    """One level of SNU-FILM."""
    return Protocol(
        name=f"snu-film-{level}",
        clips=f"snu-film-{level}",
        pairs=TRIPLET,
        flow_scale=0.5,
        refine_at="full",
        local_large=local_large,
        tta_large=True,
        to_8bit=False,
        published=(Published("VFIMamba", psnr, ssim),),
        source="published VFIMamba benchmark, SNU_FILM",
    )


def xiph(name: str, psnr: float, ssim: float, **rest: object) -> Protocol:
    """Xiph, reduced or cropped."""
    return Protocol(
        name=name,
        clips="xiph",
        pairs=TRIPLET,
        flow_scale=0.5,
        refine_at="full",
        tta_large=True,
        ssim="uniform",
        published=(Published("VFIMamba", psnr, ssim),),
        source="published VFIMamba benchmark, Xiph",
        **rest,  # type: ignore[arg-type]
    )


ALL = (
    xtest(
        "xtest-2k",
        EIGHTFOLD,
        flow_scale=0.5,
        size=SIZE_2K,
        shrink_to=SIZE_2K,
        published=(
            Published("VFIMamba", 33.34),
            Published("SGM-VFI", 32.38),
            Published("AMT-G", 32.35),
            Published("EMA-VFI", 32.30),
            Published("IFRNet-L", 31.78),
            Published("BiFormer", 31.2, about=True),
            Published("XVFI", 31.15),
            Published("RIFE", 31.1, about=True),
        ),
    ),
    xtest(
        "xtest-4k",
        EIGHTFOLD,
        size=SIZE_4K,
        flow_scale=0.25,
        published=(
            Published("VFIMamba", 32.15),
            Published("SGM-VFI", 31.35),
            Published("AMT-G", 31.12),
            Published("EMA-VFI", 31.07),
            Published("IFRNet-L", 30.66),
            Published("BiFormer", 31.15, about=True),
            Published("XVFI", 30.12),
            Published("RIFE", 30.15, about=True),
        ),
    ),
    xtest(
        "xtest-l-2k",
        MIDDLE_OF_32,
        flow_scale=0.5,
        size=SIZE_2K,
        shrink_to=SIZE_2K,
        published=(Published("VFIMamba", 32.22),),
    ),
    xtest(
        "xtest-l-4k",
        MIDDLE_OF_32,
        size=SIZE_4K,
        flow_scale=0.25,
        published=(Published("VFIMamba", 31.05),),
    ),
    Protocol(
        name="vimeo90k",
        clips="vimeo90k",
        size=(256, 448),
        pairs=TRIPLET,
        flow_scale=1.0,
        tta_large=True,
        to_8bit=False,
        published=(
            Published("VFIMamba", 36.64, 0.9819),
            Published("EMA-VFI", 36.64),
            Published("AMT-G", 36.53),
            Published("VFIFormer", 36.50),
            Published("EMA-VFI-S", 36.07),
            Published("SGM-VFI", 35.81),
            Published("RIFE", 35.61),
            Published("XVFI", 35.09),
        ),
        source="published VFIMamba benchmark, Vimeo90K",
    ),
    Protocol(
        name="ucf101",
        clips="ucf101",
        size=(256, 256),
        pairs=TRIPLET,
        flow_scale=1.0,
        local=False,
        local_large=False,
        tta_large=True,
        published=(Published("VFIMamba", 35.45, 0.9702),),
        source="published VFIMamba benchmark, UCF101",
    ),
    snu_film("easy", 40.51, 0.9912, local_large=True),
    snu_film("medium", 36.40, 0.9805, local_large=True),
    snu_film("hard", 30.99, 0.9401, local_large=False),
    snu_film("extreme", 25.79, 0.8682, local_large=False),
    xiph("xiph-2k", 37.13, 0.9451, size=SIZE_2K, shrink_to=SIZE_2K, shrink_to_8bit=True),
    xiph("xiph-4k", 34.62, 0.9059, size=SIZE_2K, crop=(540, 1024)),
    Protocol(name="davis7-middle", clips="davis7", pairs=(Pair(0, 8, (4,)),)),
    Protocol(name="davis7-next", clips="davis7", pairs=(Pair(0, 2, (1,)),)),
    Protocol(name="davis7-8x", clips="davis7", pairs=strides(8)),
    Protocol(name="davis7-8x-halving", clips="davis7", pairs=strides(8), schedule="halving"),
    Protocol(name="folder-triplets", clips="triplets", pairs=TRIPLET),
    *(
        Protocol(name=f"folder-{stride}x", clips="sequences", pairs=strides(stride))
        for stride in (2, 4, 8)
    ),
    *(
        Protocol(name=f"sample-{stride}x", clips="sample", pairs=strides(stride))
        for stride in (2, 8)
    ),
)
PROTOCOLS = {protocol.name: protocol for protocol in ALL}

DATASETS = {
    "sample": ("sample-2x", "sample-8x"),
    "davis7": ("davis7-middle", "davis7-next", "davis7-8x", "davis7-8x-halving"),
    "vimeo90k": ("vimeo90k",),
    "ucf101": ("ucf101",),
    "snu-film": ("snu-film-easy", "snu-film-medium", "snu-film-hard", "snu-film-extreme"),
    "xiph": ("xiph-2k", "xiph-4k"),
    "xtest": ("xtest-2k", "xtest-4k"),
    "xtest-l": ("xtest-l-2k", "xtest-l-4k"),
    "folder": ("folder-triplets", "folder-2x", "folder-4x", "folder-8x"),
}
"""What `--dataset` takes beside the names of single protocols."""
