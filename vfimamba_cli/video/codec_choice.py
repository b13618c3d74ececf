"""Which encoder makes the video, and in what quality: as asked for, or by a stated default."""

from difflib import get_close_matches
from fractions import Fraction

import av
from av.codec.codec import Codec

from vfimamba_cli.errors import OptionError, OutputError
from vfimamba_cli.video.closest import closest_color
from vfimamba_cli.video.codecs import CODECS, OWN, VideoCodec
from vfimamba_cli.video.containers import CONTAINERS, Container
from vfimamba_cli.video.encoder import Encoder
from vfimamba_cli.video.encoder_options import check_options
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.options import WriteOptions

HDR_TRANSFERS = {16, 18}
"""Code points (ITU-T H.273) of PQ and HLG."""

SDR_ORDER = ("h264", "vp9", "av1", "h265", "ffv1")
DEEP_ORDER = ("h265", "av1", "ffv1")
ALPHA_ORDER = ("ffv1", "prores", "vp9")
"""What is taken by default: the first that container, pixel format and size agree with."""


def choose_encoder(
    info: VideoInfo, container: Container, *, options: WriteOptions, variable_rate: bool
) -> Encoder:
    """The encoder asked for, or else the default for the source and the container.

    By default it is libx264 for 8 bits, libx265 for more and for HDR; where those do not fit, VP9
    and AV1, which have odd sizes too and are what WebM holds, and at last FFV1, which is lossless.

    MP4 and MOV store how long pictures last in the order of decoding only, so a variable rate is
    written without B-frames, whose decoding order is another: else the last picture would last as
    long as some other one. AVI stores no other order at all.

    Raises:
        OptionError: for an unknown codec or option, or a value that is out of range.
        OutputError: if the codec does not go with the container, the pixel format or the size, or
            nothing does, or this machine does not have it.
    """
    if options.codec is None:
        codec = default_codec(info, container)
    else:
        codec = codec_named(options.codec)
        check_fit(codec, info, container)
    settings = dict(codec.fixed) | quality_and_speed(codec, options)
    in_order = not container.reordered and (variable_rate or container.counted)
    if in_order and codec.reorders:
        settings["bf"] = "0"
    if variable_rate and container.constant:
        raise OutputError(
            f"{container.title} holds constant rates only, and this one varies: {info.path}",
            hint="Pass --fps for a constant rate",
        )
    check_options(codec.encoder, options.encoder_options)
    asked = dict(options.encoder_options)
    for name in settings.keys() & asked.keys():
        if name.endswith("-params"):  # a list of its own, which goes on
            asked[name] = f"{settings[name]}:{asked[name]}"
    if codec.encoder.endswith("_nvenc"):
        check_hardware(codec.encoder)
    return Encoder(name=codec.encoder, family=codec.family, options=settings | asked)


def codec_named(name: str) -> VideoCodec:
    """The codec that `--codec` asks for.

    Raises:
        OptionError: if there is none of that name.
    """
    if name in CODECS:
        return CODECS[name]
    near = get_close_matches(name, CODECS, n=1)
    raise OptionError(
        f"--codec {name!r} is not one of {', '.join(CODECS)}",
        hint=f"Is {near[0]} meant?" if near else "Leave it out for the default",
    )


def default_codec(info: VideoInfo, container: Container) -> VideoCodec:
    """The first in order that goes with all: as it is, or else with the pictures converted.

    R'G'B' is always converted, for players show hardly anything but Y'CbCr; alpha is kept where
    the container has any codec with it.

    Raises:
        OutputError: if there is none.
    """
    if container.title in OWN:
        return OWN[container.title]
    color = info.color
    deep = color.bit_depth > 8 or color.tags.transfer in HDR_TRANSFERS
    order = [CODECS[name] for name in (DEEP_ORDER if deep else SDR_ORDER)]
    with_alpha = [CODECS[name] for name in ALPHA_ORDER if color.alpha]
    best = [codec for codec in (*with_alpha, *order) if keeps_all(codec, info, container)]
    for codec in (*best, *order):
        if misfit(codec, info, container) is None:
            return codec
    raise OutputError(
        f"No encoder for {container.title} takes {info.pixel_format} of "
        f"{info.width}x{info.height}: {info.path}",
        hint="Choose an output name that ends in .mkv, which holds everything",
    )


def keeps_all(codec: VideoCodec, info: VideoInfo, container: Container) -> bool:
    """Whether it takes the pictures without a loss; R'G'B' without alpha need not stay R'G'B'."""
    taken = closest_color(info.color, codec.formats(container), height=info.height)
    if info.color.alpha:
        return taken is not None and taken.alpha
    return taken == info.color and taken.matrix != "rgb"


def check_fit(codec: VideoCodec, info: VideoInfo, container: Container) -> None:
    """See that `codec` goes with the source and the container.

    Raises:
        OutputError: saying why it does not, and what would.
    """
    what = misfit(codec, info, container)
    if what is not None:
        raise OutputError(
            f"{what}, to make a video of {info.path}",
            hint="Try another --codec, or another ending of the output's name",
        )


def misfit(codec: VideoCodec, info: VideoInfo, container: Container) -> str | None:
    """Why `codec` does not go with the source and the container; None if it does."""
    if container.video is not None and codec.family not in container.video:
        suffixes = [
            suffix
            for suffix, other in CONTAINERS.items()
            if other.video is None or codec.family in other.video
        ]
        return f"{container.title} does not hold {codec.family} ({', '.join(suffixes)} do)"
    formats = codec.formats(container)
    if closest_color(info.color, formats, height=info.height) is None:
        return f"{codec.encoder} takes no {info.pixel_format}, only {', '.join(formats)}"
    if not codec.has_size(info.width, info.height, info.color):
        return f"{codec.encoder} takes no {info.pixel_format} of {info.width}x{info.height}"
    return None


def quality_and_speed(codec: VideoCodec, options: WriteOptions) -> dict[str, str]:
    """The encoder's own names for `--crf` and `--preset`, with their values.

    Raises:
        OptionError: if it has no such thing, or the value is out of range.
    """
    settings = {}
    for option, value, name, default in (
        ("--crf", options.crf, codec.quality, codec.crf),
        ("--preset", options.preset, codec.speed, codec.preset),
    ):
        if name:
            settings[name] = f"{default if value is None else value}"
        elif value is not None:
            raise OptionError(f"{codec.encoder} has no {option}", hint=f"Leave {option} out")
    if options.preset is not None and options.preset not in codec.presets:
        raise OptionError(
            f"{codec.encoder} has no preset {options.preset!r}",
            hint=f"Use one of {', '.join(codec.presets)}",
        )
    if options.crf is not None and not 0 <= options.crf <= codec.worst:
        raise OptionError(
            f"--crf goes from 0 to {codec.worst:g} for {codec.encoder}, got {options.crf:g}",
            hint=f"The default is {codec.crf:g}; lower is better and larger",
        )
    return settings


def check_hardware(encoder: str) -> None:
    """Open an encoder that a GPU has to have, to see whether this one does.

    Raises:
        OutputError: if it does not.
    """
    context = Codec(encoder, "w").create("video")
    context.width, context.height, context.pix_fmt = 256, 256, "yuv420p"
    context.framerate = Fraction(25)
    try:
        context.open()
    except (av.FFmpegError, OSError) as error:
        raise OutputError(
            f"{encoder} cannot run here ({error.strerror}): it needs an NVIDIA GPU with NVENC and "
            "its driver",
            hint="Leave out --codec, or take h264, h265 or av1: these run on the CPU",
        ) from error
