"""The encoders there are to choose from, and what each of them calls quality and speed."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from av.codec.codec import Codec

from vfimamba_cli.frame import ColorSpec
from vfimamba_cli.video.containers import Container
from vfimamba_cli.video.encoder import offered_formats


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoCodec:
    """An encoder that `--codec` can name.

    Attributes:
        encoder: FFmpeg's name of it.
        quality: its option for `--crf`; empty if it has none.
        crf, worst: default and largest value of that.
        speed: its option for `--preset`; empty if it has none.
        preset: default value of that.
        presets: all its values, from fast to slow or from slow to fast.
        even: whether sizes must be whole numbers of chroma samples.
        reorders: whether it codes pictures in another order than they are shown in.
        fixed: options that are always given.
    """

    encoder: str
    quality: str = ""
    crf: float = 16
    worst: float = 51
    speed: str = ""
    preset: str = ""
    presets: tuple[str, ...] = ()
    even: bool = False
    reorders: bool = False
    fixed: Mapping[str, str] = field(default_factory=dict)

    @property
    def family(self) -> str:
        """FFmpeg's name of what comes out: `hevc` of `libx265`."""
        return Codec(self.encoder, "w").canonical_name

    def formats(self, container: Container) -> tuple[str, ...]:
        """FFmpeg's names of the pixel formats that it takes and `container` keeps."""
        return offered_formats(self.encoder, alpha_beside=container.alpha_beside)

    def has_size(self, width: int, height: int, color: ColorSpec) -> bool:
        """Whether there are pictures of that size in pixels."""
        odd = (width % 2 and color.subsampling in ("420", "422")) or (
            height % 2 and color.subsampling == "420"
        )
        return not (self.even and odd)


X26X_PRESETS = (
    "ultrafast",
    "superfast",
    "veryfast",
    "faster",
    "fast",
    "medium",
    "slow",
    "slower",
    "veryslow",
    "placebo",
)


def _x26x(encoder: str, **fixed: str) -> VideoCodec:
    return VideoCodec(
        encoder=encoder,
        quality="crf",
        speed="preset",
        preset="medium",
        presets=X26X_PRESETS,
        even=True,
        reorders=True,
        fixed=fixed,
    )


def _nvenc(encoder: str) -> VideoCodec:
    return VideoCodec(
        encoder=encoder,
        quality="cq",
        crf=19,
        speed="preset",
        preset="p5",
        presets=tuple(f"p{n}" for n in range(1, 8)),
        even=True,
        reorders=True,
        fixed={"rc": "vbr", "b": "0"},
    )


CODECS = {
    "h264": _x26x("libx264"),
    "h265": _x26x("libx265", **{"x265-params": "log-level=error"}),
    "av1": VideoCodec(
        encoder="libsvtav1",
        quality="crf",
        crf=20,
        worst=63,
        speed="preset",
        preset="8",
        presets=tuple(map(str, range(14))),
    ),
    "vp9": VideoCodec(
        encoder="libvpx-vp9",
        quality="crf",
        worst=63,
        speed="cpu-used",
        preset="4",
        presets=tuple(map(str, range(9))),
        fixed={"b": "0", "deadline": "good", "row-mt": "1"},
    ),
    "ffv1": VideoCodec(encoder="ffv1", fixed={"level": "3", "slicecrc": "1"}),
    "prores": VideoCodec(encoder="prores_ks", fixed={"vendor": "apl0"}),
    "h264_nvenc": _nvenc("h264_nvenc"),
    "hevc_nvenc": _nvenc("hevc_nvenc"),
    "av1_nvenc": _nvenc("av1_nvenc"),
}
"""What `--codec` takes."""

OWN = {
    "GIF": VideoCodec(encoder="gif"),
    "APNG": VideoCodec(encoder="apng"),
    "WebP": VideoCodec(encoder="libwebp_anim", fixed={"quality": "90"}),
    "Y4M": VideoCodec(encoder="wrapped_avframe"),
    "PNG pictures": VideoCodec(encoder="png"),
    "TIFF pictures": VideoCodec(encoder="tiff", fixed={"compression_algo": "deflate"}),
    "JPEG pictures": VideoCodec(encoder="mjpeg", fixed={"qmin": "2", "qmax": "2"}),
}
"""What containers hold that hold one kind of video only, by their titles."""
