"""Text subtitles as other text subtitles."""

from collections.abc import Iterator

from av.container import OutputContainer
from av.stream import Stream
from av.subtitles.codeccontext import SubtitleCodecContext
from av.subtitles.stream import SubtitleStream

from vfimamba_cli.video.containers import MILLISECOND
from vfimamba_cli.video.pyav import AnyPacket, as_fraction
from vfimamba_cli.video.retime import retime
from vfimamba_cli.video.timeline import TimeMap


class SubtitleEncoder:
    """Turns the packets of one text format into those of another, at the output's times.

    Args:
        source: stream that the packets come from.
        target: file that gets a stream for them.
        encoder: FFmpeg's name of the other format.
        time_map: from the packets' times to the output's.
    """

    def __init__(
        self, source: Stream, target: OutputContainer, encoder: str, time_map: TimeMap
    ) -> None:
        self._time_map = time_map
        decoder = source.codec_context
        assert isinstance(decoder, SubtitleCodecContext)
        decoder.open(strict=False)
        stream = target.add_stream(encoder)
        assert isinstance(stream, SubtitleStream)
        self.stream = stream
        self._decoder = decoder
        # What all text passes through is ASS, whose header has the styles.
        self.stream.codec_context.subtitle_header = decoder.subtitle_header
        self.stream.codec_context.time_base = as_fraction(source.time_base) or MILLISECOND

    def encode(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """One packet, or none for one that clears the screen: every packet says how long it is."""
        words = self._decoder.decode2(packet)
        if words is None or not words.rects:
            return
        retime(packet, self._time_map)
        encoded = self.stream.codec_context.encode_subtitle(words)
        encoded.stream, encoded.time_base = self.stream, packet.time_base
        encoded.pts = encoded.dts = packet.pts
        encoded.duration = packet.duration
        yield encoded

    def finish(self) -> Iterator[AnyPacket]:
        """Nothing: text is not held back."""
        return iter(())
