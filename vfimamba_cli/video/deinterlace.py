"""Pictures that consist of two fields, made whole."""

from collections.abc import Iterator

from av.error import BlockingIOError as NotYet
from av.error import EOFError as TheEnd
from av.filter import Graph
from av.filter.context import FilterContext
from av.video.frame import VideoFrame
from av.video.stream import VideoStream


def deinterlaced(
    pictures: Iterator[tuple[int, VideoFrame]], stream: VideoStream
) -> Iterator[tuple[int, VideoFrame]]:
    """As many pictures at the same times, each as it looked when its first field was taken.

    The lines of the other field are made up from its neighbors in space and time (bwdif), in
    pictures that are marked as interlaced and in those that are not alike.

    Args:
        pictures: with their times in ticks.
        stream: they come from.
    """
    graph = Graph()
    source = graph.add_buffer(template=stream)
    filtered = graph.add("bwdif", "mode=send_frame:parity=auto:deint=all")
    sink = graph.add("buffersink")
    source.link_to(filtered)
    filtered.link_to(sink)
    graph.configure()
    times: list[int] = []
    for ticks, picture in pictures:
        times.append(ticks)
        source.push(picture)
        for whole in _ready(sink):
            yield times.pop(0), whole
    source.push(None)
    for whole in _ready(sink):
        yield times.pop(0), whole


def _ready(sink: FilterContext) -> Iterator[VideoFrame]:
    while True:
        try:
            picture = sink.pull()
        except (NotYet, TheEnd):
            return
        assert isinstance(picture, VideoFrame)
        yield picture
