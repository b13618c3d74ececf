"""What another file cannot say of its colors as the source does."""

from collections.abc import Iterator

from vfimamba_cli.frame import UNSPECIFIED, ColorSpec, ColorTags
from vfimamba_cli.video.closest import LIMITED_RANGE
from vfimamba_cli.video.containers import Container
from vfimamba_cli.video.encoder import Encoder, encoded_range
from vfimamba_cli.video.formats import model_of

VP9_MATRICES = {0, 1, 2, 5, 6, 7, 9}
"""Code points (ITU-T H.273) of the color matrices that its streams can name, and of none."""

SAY_THEIR_COLOR = {"h264", "hevc", "mpeg2video", "av1", "prores"}
SAY_THEIR_RGB = {"png", "apng"}
"""Codecs that say primaries and transfer of R'G'B'; what they say of grey is another range."""

SAY_SOME_RANGE = {"hevc", "av1", "vp9", "prores"}
"""Codecs whose range is limited where it is not said; H.264's is once anything else is said."""


def losses_of_tags(
    before: ColorSpec, after: ColorSpec, container: Container, encoder: Encoder
) -> Iterator[str]:
    """A sentence for each thing that pictures of `before` do not say any more as `after`."""
    family, place = encoder.family, f"{encoder.family} in {container.title}"
    if family == "vp9" and after.tags.matrix not in VP9_MATRICES:
        yield f"The tag of the color matrix, {after.tags.matrix}, is lost: VP9 has none."
    if after.full_range != before.full_range and model_of(after) == model_of(before):
        kind = "full" if after.full_range else "limited"
        yield f"The pictures come to be of {kind} range: {place} has no other."
    if has_tags(after) and not says_color(after, container, family):
        yield f"The color tags are dropped: {place} does not hold them."
    elif model_of(after) != "rgb":
        yield from _losses_of_range(after, container, family)


def has_tags(color: ColorSpec) -> bool:
    """Whether there is anything to say; of R'G'B', matrix and range go without saying."""
    if model_of(color) == "rgb":
        return (color.tags.primaries, color.tags.transfer) != (UNSPECIFIED, UNSPECIFIED)
    return color.tags != ColorTags()


def says_color(color: ColorSpec, container: Container, family: str) -> bool:
    """Whether container or codec have a place for what `color` is."""
    if model_of(color) == "rgb" and family in SAY_THEIR_RGB:
        return True
    return (container.color and not container.only) or family in SAY_THEIR_COLOR


def _losses_of_range(color: ColorSpec, container: Container, family: str) -> Iterator[str]:
    said, alone = encoded_range(color), is_alone(color)
    place = f"{family} in {container.title}"
    if not said and (family in SAY_SOME_RANGE or (family == "h264" and not alone)):
        yield f"The color range, which is left open, is said to be limited: {place} has to say one."
    if said == LIMITED_RANGE and family == "h264" and alone and container.name != "matroska":
        yield f"The tag of the color range, limited, is lost: {place} says that with others only."


def is_alone(color: ColorSpec) -> bool:
    """Whether nothing is said but the range; H.264 says no matrix of grey."""
    matrix = UNSPECIFIED if model_of(color) == "grey" else color.tags.matrix
    return {matrix, color.tags.primaries, color.tags.transfer} == {UNSPECIFIED}
