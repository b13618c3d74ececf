"""Marks of streams, such as `default` or `comment`, that another container changes."""

from collections.abc import Iterator, Sequence

from av.container import InputContainer
from av.stream import Disposition, Stream

from vfimamba_cli.video.containers import Container
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.streams import StreamPlan, is_cover

KINDS = ("video", "audio", "subtitle")

SAME = {"captions": "hearing_impaired", "descriptions": "visual_impaired"}
"""Marks that say the same, of which MP4 makes both of one."""


def losses_of_marks(
    source: InputContainer, plans: Sequence[StreamPlan], info: VideoInfo, container: Container
) -> list[str]:
    """A sentence for each stream whose marks `container` does not keep.

    Which picture or sound is a default one is of no account where there is no other to choose.
    """
    return [
        sentence
        for kind in KINDS
        for sentence in _of_kind(_kept(source, plans, kind), kind, info, container)
    ]


def _kept(source: InputContainer, plans: Sequence[StreamPlan], kind: str) -> list[Stream]:
    """The streams of that kind that the output has too; covers are none."""
    return [
        stream
        for stream, plan in zip(source.streams, plans, strict=True)
        if plan.action in ("interpolate", "copy", "encode")
        and stream.type == kind
        and not is_cover(stream)
    ]


def _of_kind(
    streams: Sequence[Stream], kind: str, info: VideoInfo, container: Container
) -> Iterator[str]:
    matters = len(streams) > 1 or kind == "subtitle"
    defaults = {"default" in marks_of(stream) for stream in streams}
    for stream in streams:
        name = f"The {kind} stream {stream.index} ({info.streams[stream.index].codec})"
        lost = marks_of(stream) - container.marks
        if not matters or defaults == {True}:
            lost -= {"default"}
        if lost:
            marks = ", ".join(sorted(lost)).replace("_", " ")
            yield f"{name} is not marked as {marks} any more: {container.title} has no such mark."
    if container.needs_default and matters and defaults == {False}:
        first = streams[0]
        yield (
            f"The {kind} stream {first.index} ({info.streams[first.index].codec}) becomes a "
            f"default one: in {container.title} there always is one."
        )


def marks_of(stream: Stream) -> set[str]:
    """Names of the marks of a stream, each meaning once."""
    names = (mark.name or "" for mark in Disposition(stream.disposition))
    return {SAME.get(name, name) for name in names}
