"""Do sound and pictures start together, for containers that know no other way."""

from collections.abc import Sequence
from fractions import Fraction

from av.container import InputContainer
from av.stream import Stream

from vfimamba_cli.errors import OutputError
from vfimamba_cli.video.containers import Container
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.pyav import as_fraction
from vfimamba_cli.video.streams import StreamPlan

UNNOTICED_SECONDS = Fraction(1, 25)
"""Of sound before or after its picture: two packets of AAC."""


def check_starts(
    source: InputContainer, plans: Sequence[StreamPlan], info: VideoInfo, container: Container
) -> None:
    """See that no sound starts well before or after the pictures where `container` loses that.

    Raises:
        OutputError: naming the stream and how far it is off.
    """
    if container.starts:
        return
    for stream, plan in zip(source.streams, plans, strict=True):
        if plan.action not in ("copy", "encode"):
            continue
        late = start_seconds(stream, info) - info.start_seconds
        if abs(late) > UNNOTICED_SECONDS:
            raise OutputError(
                f"The {stream.type} stream {stream.index} starts {float(abs(late)):.3f} s "
                f"{'after' if late > 0 else 'before'} the pictures, and {container.title} has all "
                f"streams start together: {info.path}",
                hint="Choose an output name that ends in .mkv or .mp4",
            )


def start_seconds(stream: Stream, info: VideoInfo) -> Fraction:
    """When a stream starts, or the part of it from the first picture on if that was asked for."""
    time_base = as_fraction(stream.time_base)
    if stream.start_time is None or time_base is None:
        return info.start_seconds
    return stream.start_time * time_base - info.origin_seconds
