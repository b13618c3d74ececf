"""Everything in a file that is not the interpolated video, copied packet for packet."""

from collections.abc import Iterator
from fractions import Fraction

from av.container import InputContainer, OutputContainer
from av.packet import Packet
from av.stream import AttachmentStream, Disposition, Stream

from vfimamba_cli.errors import OutputError
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.probe import damage_is_an_input_error
from vfimamba_cli.video.pyav import as_fraction, readable
from vfimamba_cli.video.timeline import TimeMap

STALE_TAGS = {"duration", "encoder", "major_brand", "minor_version", "compatible_brands"}
"""Metadata that describes the source file itself and would be wrong in another."""

STATISTICS_PREFIXES = ("_statistics", "bps", "number_of_")
CHAPTER_TEXT = "bin_data"
"""How MP4 stores the names of chapters, which are written anew."""


def kept_tags(metadata: dict[str, str]) -> dict[str, str]:
    """Metadata without what only holds for the source file."""
    return {
        key: value
        for key, value in metadata.items()
        if key.lower() not in STALE_TAGS and not key.lower().startswith(STATISTICS_PREFIXES)
    }


class Passthrough:
    """Copies streams from `source` into `target`, up to any moment in time.

    Streams are added one by one with `add`, before the header is written. `notes` says, in whole
    sentences, what the target cannot hold.
    """

    def __init__(
        self,
        source: InputContainer,
        target: OutputContainer,
        info: VideoInfo,
        time_map: TimeMap,
    ) -> None:
        self.time_map = time_map
        self._source = source
        self._target = target
        self._info = info
        self._copies: dict[int, Stream] = {}
        self._waiting: Packet[Stream] | None = None
        self._packets: Iterator[Packet[Stream]] = iter(())
        self.notes: list[str] = []

    def add(self, stream: Stream) -> None:
        """Plan to copy `stream`.

        Raises:
            OutputError: if it is sound that the container cannot hold.
        """
        described = self._info.streams[stream.index]
        name = f"The {described.kind} stream {stream.index} ({described.codec})"
        if isinstance(stream, AttachmentStream):
            self._add_attachment(stream, name)
        elif stream.type == "data":
            if stream.name != CHAPTER_TEXT:
                self.notes.append(f"{name} is dropped: data streams are not copied.")
        elif stream.type == "video" and not stream.disposition & Disposition.attached_pic:
            self.notes.append(f"{name} is dropped: only one video stream is interpolated.")
        else:
            self._add_copy(stream, name)

    def start(self) -> None:
        """Begin reading; to be called after the last `add`."""
        if self._copies:
            copied = [self._source.streams[index] for index in self._copies]
            self._packets = self._source.demux(copied)
        self._advance()

    def copy_until(self, seconds: Fraction | None) -> None:
        """Copy what belongs before `seconds`; everything that is left if None."""
        while self._waiting is not None:
            time_base = as_fraction(self._waiting.time_base)
            assert time_base is not None
            decode_ticks = self._waiting.dts
            if (
                seconds is not None
                and decode_ticks is not None
                and decode_ticks * time_base > seconds
            ):
                return
            self._waiting.stream = self._copies[self._waiting.stream_index]
            self._target.mux(self._waiting)
            self._advance()

    def _advance(self) -> None:
        """Fetch the next packet, with its times moved to the clock of the frames."""
        with damage_is_an_input_error(self._info.path):
            packet = next((packet for packet in self._packets if packet.size), None)
        self._waiting = packet
        if packet is None:
            return
        if packet.dts is None:
            packet.dts = packet.pts
        time_base = as_fraction(packet.time_base)
        if self._info.origin_seconds and time_base is not None:
            shift = round(self._info.origin_seconds / time_base)
            packet.pts = None if packet.pts is None else packet.pts - shift
            packet.dts = None if packet.dts is None else packet.dts - shift

    def _add_copy(self, stream: Stream, name: str) -> None:
        container = self._target.format.name
        try:
            copy = self._target.add_stream_from_template(stream, opaque=True)
        except ValueError as error:
            if stream.type == "audio":
                raise OutputError(
                    f"{name} does not fit into {container}: {self._info.path}",
                    hint="Choose an output name that ends in .mkv, which holds nearly everything",
                ) from error
            self.notes.append(f"{name} is dropped: {container} cannot hold it.")
            return
        copy.metadata.update(kept_tags(stream.metadata))
        copy.disposition = stream.disposition
        self._copies[stream.index] = copy

    def _add_attachment(self, stream: AttachmentStream, name: str) -> None:
        if self._target.format.name != "matroska":
            self.notes.append(f"{name} is dropped: only .mkv holds attachments.")
            return
        self._target.add_attachment(
            readable(stream.metadata.get("filename", f"attachment-{stream.index}")),
            readable(stream.mimetype or "application/octet-stream"),
            stream.data,
        )
