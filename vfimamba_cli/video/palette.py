"""Pictures with the 256 colors that suit each of them best, for GIF."""

from collections.abc import Iterator

from av.error import BlockingIOError as NothingYet
from av.error import EOFError as NothingLeft
from av.filter import Graph
from av.video.frame import VideoFrame


class Palettes:
    """Turns R'G'B' pictures into ones with a palette of their own, colors in between dithered."""

    def __init__(self) -> None:
        self._graph: Graph | None = None

    def pictures(self, picture: VideoFrame | None) -> Iterator[VideoFrame]:
        """Those that are ready after another one; after None, the last."""
        if self._graph is None:
            if picture is None:
                return
            self._graph = palette_graph(picture)
        self._graph.push(picture)
        while True:
            try:
                ready = self._graph.pull()
            except (NothingYet, NothingLeft):
                return
            assert isinstance(ready, VideoFrame)
            yield ready


def palette_graph(picture: VideoFrame) -> Graph:
    """Filters for pictures like `picture`: one looks for colors, the other puts them in."""
    graph = Graph()
    source = graph.add_buffer(
        width=picture.width,
        height=picture.height,
        format=picture.format,
        time_base=picture.time_base,
    )
    split, sink = graph.add("split"), graph.add("buffersink")
    find = graph.add("palettegen", "stats_mode=single")
    use = graph.add("paletteuse", "new=1")
    source.link_to(split)
    split.link_to(find, 0, 0)
    split.link_to(use, 1, 0)
    find.link_to(use, 0, 1)
    use.link_to(sink)
    graph.configure()
    return graph
