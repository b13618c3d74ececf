"""Packets and chapters of the source at their times in the output."""

from collections.abc import Iterable, Iterator
from fractions import Fraction
from typing import TYPE_CHECKING

from vfimamba_cli.video.pyav import AnyPacket, as_fraction
from vfimamba_cli.video.timeline import TimeMap

if TYPE_CHECKING:
    from av.container.core import Chapter  # a name for the type checker only


def seconds_of(ticks: int | None, packet: AnyPacket) -> Fraction | None:
    """A time of `packet`, in seconds; None where it has none."""
    time_base = as_fraction(packet.time_base)
    return None if ticks is None or time_base is None else ticks * time_base


def is_kept(packet: AnyPacket, time_map: TimeMap) -> bool:
    """Whether a packet belongs to the part that is kept.

    Sound does that begins in it, and text that is still shown in it.
    """
    start = seconds_of(packet.pts, packet)
    if start is None:
        return True
    if packet.stream.type == "subtitle" and packet.duration:
        end = start + (seconds_of(packet.duration, packet) or 0)
        return time_map.span(start, end) is not None
    return time_map.keeps(start)


def retime(packet: AnyPacket, time_map: TimeMap) -> None:
    """Give a packet that is kept its times in the output."""
    if time_map == TimeMap():
        return
    time_base = as_fraction(packet.time_base)
    start = seconds_of(packet.pts, packet)
    decoded = seconds_of(packet.dts, packet)
    if time_base is None or start is None or decoded is None:
        return
    if packet.duration:
        end = start + packet.duration * time_base
        span = time_map.span(start, end) if packet.stream.type == "subtitle" else None
        begin, until = span or (time_map(start), time_map(end))
        packet.duration = round(until / time_base) - round(begin / time_base)
    else:
        begin = time_map(start)
    packet.pts = round(begin / time_base)
    packet.dts = packet.pts if decoded == start else round(time_map(decoded) / time_base)


def retimed_chapters(chapters: Iterable["Chapter"], time_map: TimeMap) -> Iterator["Chapter"]:
    """Those chapters of which something is kept, at their times in the output."""
    for chapter in chapters:
        time_base = as_fraction(chapter["time_base"])
        assert time_base is not None
        span = time_map.span(chapter["start"] * time_base, chapter["end"] * time_base)
        if span is not None:
            start, end = (round(seconds / time_base) for seconds in span)
            yield {**chapter, "start": start, "end": end}
