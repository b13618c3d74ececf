"""Read a file's packets once, undecoded: when its pictures are shown, and is all of it there."""

from bisect import bisect_left
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor
from pathlib import Path
from statistics import median, median_low
from typing import NamedTuple

from av.container import InputContainer
from av.packet import Packet
from av.stream import Stream
from av.video.stream import VideoStream

from vfimamba_cli.errors import InputError
from vfimamba_cli.video.completeness import (
    check_duration,
    check_header_size,
    check_index,
    cut_off,
)
from vfimamba_cli.video.pyav import as_fraction

JITTER_SECONDS = Fraction(1, 1000)
"""What containers that count milliseconds make of a constant rate."""

FALLBACK_RATE = Fraction(25)
"""Frames per second of a stream that says nothing of its times, as FFmpeg takes it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scan:
    """What the video packets of a file promise.

    Attributes:
        packets: number of video packets.
        pts: times of the pictures to be shown, ascending, in ticks of the stream's time base;
            empty for raw streams, which have none.
        last_duration: how long the last of them is shown, in ticks: as its packet says, or else
            the median of all gaps before it, or else one frame at the stream's nominal rate.
    """

    packets: int
    pts: tuple[int, ...]
    last_duration: int

    def part(self, start: Fraction | None, end: Fraction | None) -> "Scan | None":
        """Only the pictures that appear from `start` on and before `end`; None if there are none.

        One that is held for more than twice as long as most belongs to every part of that time: it
        appears at `start` where it is on the screen then, and is gone at `end`.

        Args:
            start, end: in ticks after the first picture; None for no limit.
        """
        all_pts = self.pts or range(self.packets)
        first = self.start + (start or 0)
        stop = self.end if end is None else self.start + end
        begin, over = bisect_left(all_pts, first), bisect_left(all_pts, stop)
        following = all_pts[begin] if begin < len(all_pts) else self.end
        long = 2 * self.typical
        held = begin > 0 and following - first > long
        kept = [*([ceil(first)] if held else []), *all_pts[begin:over]]
        if not kept or not first < stop:
            return None
        following = all_pts[over] if over < len(all_pts) else self.end
        if following - all_pts[over - 1] > long:
            following = max(min(following, floor(stop)), kept[-1] + 1)
        return Scan(packets=len(kept), pts=tuple(kept), last_duration=following - kept[-1])

    @property
    def typical(self) -> int:
        """Ticks that most pictures last, or more."""
        gaps = [after - before for before, after in pairwise(self.pts)]
        return median_low((*gaps, self.last_duration))

    @property
    def times(self) -> tuple[int, ...]:
        """`pts`, and when the last picture ends; empty without times."""
        return (*self.pts, self.end) if self.pts else ()

    def varies(self, time_base: Fraction) -> bool:
        """Whether some picture lasts longer or shorter than most, by more than a millisecond."""
        gaps = (*(after - before for before, after in pairwise(self.pts)), self.last_duration)
        typical = self.typical
        return any(abs(gap - typical) * time_base > JITTER_SECONDS for gap in gaps)

    @property
    def frame_count(self) -> int:
        """Pictures to be shown. Without times, a packet is taken for a picture."""
        return len(self.pts) or self.packets

    @property
    def start(self) -> int:
        """First time; 0 without times, which then count frames."""
        return self.pts[0] if self.pts else 0

    @property
    def end(self) -> int:
        """When the last picture ends."""
        return self.pts[-1] + self.last_duration if self.pts else self.packets


class PacketTimes(NamedTuple):
    """When a packet's picture is shown and when it is decoded, and for how long, in ticks.

    `duration` is 0 where nothing says it.
    """

    pts: int
    dts: int | None
    duration: int


def scan_packets(container: InputContainer, stream: VideoStream, path: Path) -> Scan:
    """Read all packets of `container` and compare them with what it promised.

    Raises:
        InputError: if the file is cut off, or the video stream is empty.
    """
    check_header_size(path)
    check_index(container, path)
    packets = 0
    shown: list[PacketTimes] = []
    end_seconds = Fraction(0)
    for packet in data_packets(container):
        if packet.is_corrupt:
            raise cut_off(path, f"a packet of stream {packet.stream_index} is incomplete")
        end_seconds = max(end_seconds, _end_seconds(packet))
        if packet.stream_index != stream.index:
            continue
        packets += 1
        if packet.pts is not None and not packet.is_discard:
            shown.append(PacketTimes(packet.pts, packet.dts, packet.duration or 0))
    if not packets:
        raise InputError(f"The video stream holds no pictures: {path}")
    check_duration(container, path, end_seconds=end_seconds)
    pts = tuple(sorted({packet.pts for packet in shown}))
    return Scan(
        packets=packets,
        pts=pts,
        last_duration=_last_duration(shown, pts, stream) if pts else 1,
    )


def _last_duration(shown: Sequence[PacketTimes], pts: Sequence[int], stream: VideoStream) -> int:
    """See `Scan.last_duration`; packets that say nothing have a duration of 0.

    A rate of one frame per tick is how FFmpeg fills in for a container that says nothing. Where
    the times are further apart, such a packet's duration is no statement either.
    """
    nominal = nominal_rate(stream) * (as_fraction(stream.time_base) or 1)
    gaps = [after - before for before, after in pairwise(pts)]
    typical = round(median(gaps)) if gaps else max(1, round(1 / nominal))
    said = _said_duration(shown, pts[-1], typical)
    made_up = said == 1 and nominal == 1 and typical > 1
    return said if said > 0 and not made_up else typical


def _said_duration(shown: Sequence[PacketTimes], last: int, typical: int) -> int:
    """That of the picture at `last`, as its packet has it.

    MP4 has the steps from packet to packet as they are decoded. Where these come in another order
    and the rate varies, only the very last packet's is not one of them.
    """
    index = next(i for i in reversed(range(len(shown))) if shown[i].pts == last)
    packet, *following = shown[index:]
    if packet.duration == typical or not following:
        return packet.duration
    if packet.dts is None or packet.dts + packet.duration != following[0].dts:
        return packet.duration
    return following[-1].duration


def nominal_rate(stream: VideoStream) -> Fraction:
    """Frames per second as the container has it; never needed where frames have times."""
    rate = as_fraction(stream.average_rate) or as_fraction(stream.guessed_rate)
    return rate or FALLBACK_RATE


def untimed_rate(stream: VideoStream) -> Fraction:
    """Frames per second where frames have no times: what the coded stream says of itself.

    For raw streams, what the container says is a default, the same whatever is in them.
    """
    return as_fraction(stream.guessed_rate) or nominal_rate(stream)


def data_packets(container: InputContainer) -> Iterable["Packet[Stream]"]:
    """The packets of all streams, without the empty ones that flush decoders."""
    return (packet for packet in container.demux() if packet.size)


def _end_seconds(packet: "Packet[Stream]") -> Fraction:
    time_base = as_fraction(packet.time_base)
    if packet.pts is None or time_base is None:
        return Fraction(0)
    return (packet.pts + (packet.duration or 0)) * time_base
