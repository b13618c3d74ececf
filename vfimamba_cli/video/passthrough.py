"""Everything in a file that is not the interpolated video, carried over as planned."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import Protocol

from av.audio.stream import AudioStream
from av.container import InputContainer, OutputContainer
from av.stream import AttachmentStream, Stream

from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.probe import damage_is_an_input_error, open_input
from vfimamba_cli.video.pyav import AnyPacket, as_fraction, readable
from vfimamba_cli.video.retime import is_kept, retime, seconds_of
from vfimamba_cli.video.sound import SoundEncoder
from vfimamba_cli.video.streams import StreamPlan
from vfimamba_cli.video.subtitles import SubtitleEncoder
from vfimamba_cli.video.timeline import TimeMap

STALE_TAGS = {
    "alpha_mode",
    "compatible_brands",
    "duration",
    "encoder",
    "major_brand",
    "minor_version",
}
"""Metadata that describes the source file itself and would be wrong in another."""

COVERS = {"mjpeg": ("cover.jpg", "image/jpeg"), "png": ("cover.png", "image/png")}
"""Codec of a cover -> its file name and type, for containers that have covers as files."""

STATISTICS_PREFIXES = ("_statistics", "bps", "number_of_")


def kept_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without what only holds for the source file."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in STALE_TAGS and not key.lower().startswith(STATISTICS_PREFIXES)
    }


class Track(Protocol):
    """Turns the packets of a stream of the source into those of a stream of the target."""

    @property
    def stream(self) -> Stream:
        """Of the target."""

    def encode(self, packet: AnyPacket) -> Iterable[AnyPacket]:
        """The packets that are ready after another of the source's."""

    def finish(self) -> Iterable[AnyPacket]:
        """What is left after the last one."""


class Copy:
    """A track whose packets stay as they are, but for their times.

    Those half over at `since` are left out: where streams start together, what a decoder is to
    throw away at the beginning would be heard, and make all else late.
    """

    def __init__(
        self,
        source: Stream,
        target: OutputContainer,
        time_map: TimeMap,
        since: Fraction | None = None,
    ) -> None:
        self.stream = target.add_stream_from_template(source, opaque=True)
        self._time_map = time_map
        self._since = since

    def encode(self, packet: AnyPacket) -> Iterator[AnyPacket]:
        """The packet, moved over."""
        start = seconds_of(packet.pts, packet)
        if self._since is not None and start is not None:
            middle = start + (seconds_of(packet.duration, packet) or 0) / 2
            if middle <= self._since:
                return
        retime(packet, self._time_map)
        packet.stream = self.stream
        yield packet

    def finish(self) -> Iterator[AnyPacket]:
        """Nothing is held back."""
        return iter(())


class Passthrough:
    """Carries streams from `source` into `target`, up to any moment in time.

    Streams are added one by one with `add`, before the header is written.

    Args:
        source, target: open files.
        info: of the source.
        time_map: from its times to those of the target.
        since: copies leave out what is half over then; None for nothing.
    """

    def __init__(
        self,
        source: InputContainer,
        target: OutputContainer,
        info: VideoInfo,
        time_map: TimeMap,
        since: Fraction | None = None,
    ) -> None:
        self.time_map = time_map
        self._since = since
        self._source = source
        self._target = target
        self._info = info
        self._tracks: dict[int, Track] = {}
        self._waiting: AnyPacket | None = None
        self._packets: Iterator[AnyPacket] = iter(())

    def add(self, stream: Stream, plan: StreamPlan) -> None:
        """Add what `plan` makes of `stream` to the target, if anything."""
        if plan.action == "attach":
            self._attach(stream)
        if plan.action not in ("copy", "encode"):
            return
        track: Track
        if plan.action == "copy":
            track = Copy(stream, self._target, self.time_map, self._since)
        elif isinstance(stream, AudioStream):
            track = SoundEncoder(stream, self._target, plan.encoder, self.time_map)
        else:
            track = SubtitleEncoder(stream, self._target, plan.encoder, self.time_map)
        track.stream.metadata.update(kept_tags(stream.metadata))
        track.stream.disposition = stream.disposition
        self._tracks[stream.index] = track

    def start(self) -> None:
        """Begin reading; to be called after the last `add`."""
        if self._tracks:
            carried = [self._source.streams[index] for index in self._tracks]
            self._packets = self._source.demux(carried)
        self._advance()

    def copy_until(self, seconds: Fraction | None) -> None:
        """Carry over what belongs before `seconds` of the output; all that is left if None."""
        while self._waiting is not None:
            decoded = seconds_of(self._waiting.dts, self._waiting)
            if seconds is not None and decoded is not None and self.time_map(decoded) > seconds:
                return
            self._mux(self._tracks[self._waiting.stream_index].encode(self._waiting))
            self._advance()
        if seconds is None:
            for track in self._tracks.values():
                self._mux(track.finish())

    def _mux(self, packets: Iterable[AnyPacket]) -> None:
        with damage_is_an_input_error(self._info.path):
            ready = list(packets)
        self._target.mux(ready)

    def _advance(self) -> None:
        """Fetch the next packet that is kept, with its times moved to the clock of the frames."""
        self._waiting = None
        while self._waiting is None:
            with damage_is_an_input_error(self._info.path):
                packet = next((packet for packet in self._packets if packet.size), None)
            if packet is None:
                return
            if packet.dts is None:
                packet.dts = packet.pts
            time_base = as_fraction(packet.time_base)
            if self._info.origin_seconds and time_base is not None:
                shift = round(self._info.origin_seconds / time_base)
                packet.pts = None if packet.pts is None else packet.pts - shift
                packet.dts = None if packet.dts is None else packet.dts - shift
            if is_kept(packet, self.time_map):
                self._waiting = packet

    def _attach(self, stream: Stream) -> None:
        """A file within the file; Matroska has covers as such, too."""
        if isinstance(stream, AttachmentStream):
            name, kind, data = f"attachment-{stream.index}", stream.mimetype, stream.data
        else:
            name, kind = COVERS.get(stream.name or "", (f"cover-{stream.index}", ""))
            with open_input(self._info.path) as container:
                data = next(bytes(p) for p in container.demux(container.streams[stream.index]))
        tags = stream.metadata
        self._target.add_attachment(
            readable(tags.get("filename", name)),
            readable(tags.get("mimetype", kind or "application/octet-stream")),
            data,
        )
