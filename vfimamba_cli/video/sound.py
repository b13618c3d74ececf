"""Sound as other sound: for containers that cannot hold it as it is, and to make it last longer."""

from collections.abc import Iterator
from fractions import Fraction

from av.audio.codeccontext import AudioCodecContext
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.codec.codec import Codec
from av.container import OutputContainer
from av.error import BlockingIOError as NothingYet
from av.error import EOFError as NothingLeft
from av.filter import Graph
from av.filter.context import FilterContext

from vfimamba_cli.video.pyav import AnyPacket, as_fraction
from vfimamba_cli.video.timeline import TimeMap

STANDARD_RATE = 48_000
"""Samples per second for encoders that do not know the source's rate."""

SLOWEST = Fraction(1, 2)
"""Tempo down to which one filter goes."""

LEAD_SECONDS = Fraction(12, 1000)
"""What the filter puts sound too early by, times how much it stretches it: measured with bursts of
a tone at 48000 samples per second, 1.25 to 8 times as long, to 6 ms."""

BITS_PER_CHANNEL = {"aac": 96_000, "libopus": 64_000}
"""Per second; hardly anyone tells the result from the source."""


class SoundEncoder:
    """Decodes the packets of a sound stream and encodes them anew, at the output's times.

    Gaps between packets become silence, so that what follows stays in sync. Where the output is
    slower, the sound is stretched and keeps its pitch.

    Args:
        source: stream that the packets come from.
        target: file that gets a stream for them.
        encoder: FFmpeg's name of the new encoder.
        time_map: from the packets' times to the output's.
    """

    def __init__(
        self, source: AudioStream, target: OutputContainer, encoder: str, time_map: TimeMap
    ) -> None:
        self._time_map = time_map
        self._decoder = source.codec_context
        rates = Codec(encoder, "w").audio_rates
        rate = source.rate if not rates or source.rate in rates else STANDARD_RATE
        stream = target.add_stream(encoder, rate, layout=plain_layout(source))
        assert isinstance(stream, AudioStream)
        self.stream = stream
        self._encoder = self.stream.codec_context
        if encoder in BITS_PER_CHANNEL:
            self._encoder.bit_rate = BITS_PER_CHANNEL[encoder] * source.channels
        self._graph: Graph | None = None

    def encode(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """The packets that are ready after another of the source's."""
        for frame in self._decoder.decode(packet):
            yield from self._put(frame)

    def finish(self) -> Iterator[AnyPacket]:
        """What decoder, filter and encoder still hold."""
        for frame in self._decoder.decode(None):
            yield from self._put(frame)
        if self._graph is not None:
            self._graph.push(None)
            yield from self._take()
        yield from self.stream.encode(None)

    def _put(self, frame: AudioFrame) -> Iterator[AnyPacket]:
        if self._graph is None:
            self._graph = converter(frame, self._encoder, tempo=1 / self._time_map.scale)
            start = (frame.pts or 0) * (as_fraction(frame.time_base) or Fraction(1))
            self._delay = self._time_map(start) - start
            if self._time_map.scale != 1:
                self._delay += LEAD_SECONDS * self._time_map.scale
        self._graph.push(frame)
        yield from self._take()

    def _take(self) -> Iterator[AnyPacket]:
        assert self._graph is not None
        while True:
            try:
                frame = self._graph.pull()
            except (NothingYet, NothingLeft):
                return
            assert isinstance(frame, AudioFrame)
            if frame.pts is not None:
                frame.pts += round(self._delay * frame.sample_rate)
            yield from self.stream.encode(frame)


def converter(frame: AudioFrame, encoder: AudioCodecContext, *, tempo: Fraction) -> Graph:
    """A graph from frames like `frame` to those that the open `encoder` takes, `tempo` as fast."""
    graph = Graph()
    wanted = (
        f"sample_fmts={encoder.format.name}:sample_rates={encoder.sample_rate}:"
        f"channel_layouts={encoder.layout.name}"
    )
    graph.link_nodes(
        graph.add_abuffer(
            sample_rate=frame.sample_rate,
            format=frame.format.name,
            layout=frame.layout.name,
            time_base=frame.time_base,
        ),
        graph.add("aresample", "async=1"),
        *stretching(graph, tempo),
        graph.add("aformat", wanted),
        graph.add("abuffersink"),
    ).configure()
    if encoder.frame_size:
        graph.set_audio_frame_size(encoder.frame_size)
    return graph


def stretching(graph: Graph, tempo: Fraction) -> Iterator[FilterContext]:
    """The filters that make sound `tempo` as fast, at the pitch that it has; none for 1."""
    if tempo != 1:
        yield graph.add("aresample", str(STANDARD_RATE))
    for step in tempo_steps(tempo):
        yield graph.add("atempo", repr(float(step)))


def tempo_steps(tempo: Fraction) -> list[Fraction]:
    """Factors whose product is `tempo`, none of them below what one filter can do; [] for 1."""
    steps = []
    while tempo < SLOWEST:
        steps.append(SLOWEST)
        tempo /= SLOWEST
    return [*steps, tempo] if tempo != 1 else steps


def plain_layout(source: AudioStream) -> str:
    """The source's channels, surround ones at the back: encoders know no others by name."""
    return source.layout.name.replace("(side)", "")
