"""What of a whole file, beside its streams, another cannot hold."""

from collections.abc import Iterator

from av.container import InputContainer

from vfimamba_cli.frame import ColorSpec
from vfimamba_cli.video.closest import holds_chroma
from vfimamba_cli.video.containers import Container
from vfimamba_cli.video.encoder import Encoder
from vfimamba_cli.video.formats import model_of
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
    losses = list(losses_of_color(info.color, color, encoder))
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


def losses_of_color(before: ColorSpec, after: ColorSpec, encoder: Encoder) -> Iterator[str]:
    """A sentence for each thing that pictures of `before` do not have any more as `after`."""
    refused = f"{encoder.name} does not take it"
    if before.alpha and not after.alpha:
        yield f"The pictures lose their alpha: {refused}."
    if before.bit_depth > after.bit_depth:
        lost = before.bit_depth - after.bit_depth
        yield f"The pictures lose {lost} of {before.bit_depth} bits: {refused}."
    if not holds_chroma(after.subsampling, before.subsampling):
        chosen = (model_of(before), model_of(after)) == ("rgb", "yuv")
        shown = "R'G'B' becomes what most players show, ffv1 in Matroska keeps it"
        yield (
            f"The pictures lose chroma, {before.subsampling} to {after.subsampling}: "
            f"{shown if chosen else refused}."
        )
