"""What of a whole file, beside its streams, another cannot hold."""

from av.container import InputContainer

from vfimamba_cli.frame import ColorSpec
from vfimamba_cli.video.closest import holds_chroma
from vfimamba_cli.video.containers import Container
from vfimamba_cli.video.encoder import Encoder
from vfimamba_cli.video.hdr import hdr_options
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.tags import losses_of_tags

SAY_THEIR_PIXEL_SHAPE = {"h264", "hevc", "mpeg2video"}


def losses_of_the_file(
    source: InputContainer,
    info: VideoInfo,
    container: Container,
    encoder: Encoder,
    color: ColorSpec,
) -> list[str]:
    """A sentence for each thing that is left out: of the pictures, which become `color`, and
    chapters, rotation, pixel shape, side data.
    """
    losses = [
        f"The pictures lose {what}: {encoder.name} does not take it."
        for what in losses_of_color(info.color, color)
    ]
    if encoder.name == "gif" != info.codec:
        losses.append("Each picture keeps 256 colors, and those between are dithered: GIF.")
        if info.color.alpha:
            losses.append("Pixels that are partly transparent become wholly so or not at all: GIF.")
    losses += losses_of_tags(info.color, color, container, encoder)
    if source.chapters() and (container.only or not container.chapters):
        losses.append(f"The chapters are dropped: {container.title} cannot hold them.")
    if info.display_matrix is not None and (container.only or not container.rotation):
        losses.append(
            f"The rotation by {info.rotation} degrees is dropped: {container.title} cannot hold it."
        )
    shape = info.sample_aspect_ratio
    said = container.pixel_shape or encoder.family in SAY_THEIR_PIXEL_SHAPE
    if shape is not None and shape != 1 and not said:
        losses.append(
            f"The shape of the pixels, {shape.numerator}:{shape.denominator}, is dropped: "
            f"{encoder.family} in {container.title} does not hold it."
        )
    lost = list(info.side_data)
    if str(info.hdr) and not hdr_options(encoder.name, info.hdr):
        lost.insert(0, str(info.hdr))
    if lost:
        losses.append(f"Not carried over: {', '.join(lost)}.")
    return losses


def losses_of_color(before: ColorSpec, after: ColorSpec) -> list[str]:
    """What pictures of the color `before` do not have any more in the color `after`."""
    lost = []
    if before.alpha and not after.alpha:
        lost.append("their alpha")
    if before.bit_depth > after.bit_depth:
        lost.append(f"{before.bit_depth - after.bit_depth} of {before.bit_depth} bits")
    if not holds_chroma(after.subsampling, before.subsampling):
        lost.append(f"chroma, {before.subsampling} to {after.subsampling}")
    return lost
