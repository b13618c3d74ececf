"""Which frame is shown when: pure arithmetic on fractions of a second."""

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import ceil, floor, lcm
from typing import Literal, Protocol

from vfimamba_cli.errors import OptionError

HALF = Fraction(1, 2)

SNAP_SHARE = 4
"""One tick of the source's clock is little where frames last at least so many; in containers that
count frames it is all of one."""

Tail = Literal["hold", "drop"]
"""After the last source frame there is nothing to move towards: it is held for as long as it was
shown in the source, or the video ends with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in the output that one frame fills until the next slot begins.

    Attributes:
        pts_seconds: when it begins.
        t: where it lies between its two source frames, in [0, 1); 0 is the first one itself.
    """

    pts_seconds: Fraction
    t: Fraction


@dataclass(frozen=True, slots=True, kw_only=True)
class TimeMap:
    """Where a moment of the source lies in the output: a part of it is kept, and stretched.

    Source times are those of `Frame`, counted from `VideoInfo.origin_seconds`.

    Attributes:
        start_seconds: the first moment kept, which becomes 0; None keeps all, where it is.
        end_seconds: the first moment not kept any more; None keeps all.
        scale: output seconds per source second.
    """

    start_seconds: Fraction | None = None
    end_seconds: Fraction | None = None
    scale: Fraction = Fraction(1)

    def __call__(self, seconds: Fraction) -> Fraction:
        """The moment's place on the output's clock, whether it is kept or not."""
        return (seconds - (self.start_seconds or 0)) * self.scale

    def keeps(self, seconds: Fraction) -> bool:
        """Whether the moment lies in the part that is kept."""
        return (self.start_seconds is None or seconds >= self.start_seconds) and (
            self.end_seconds is None or seconds < self.end_seconds
        )

    def span(self, start: Fraction, end: Fraction) -> tuple[Fraction, Fraction] | None:
        """A span on the output's clock, without what is not kept of it; None if nothing is."""
        if self.start_seconds is not None:
            start = max(start, self.start_seconds)
        if self.end_seconds is not None:
            end = min(end, self.end_seconds)
        return (self(start), self(end)) if start < end else None


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceTimes:
    """When a source's frames are shown, on the output's clock.

    Attributes:
        count: of frames.
        count_exact: whether it is known; there may be less or more if not.
        first_seconds, last_seconds: when the first and the last one appear.
        end_seconds: when the last one ends.
        tick_seconds: what all these are multiples of.
        rate: average frames per second.
        variable_rate: whether some frame lasts longer than others.
    """

    count: int
    count_exact: bool = True
    first_seconds: Fraction
    last_seconds: Fraction
    end_seconds: Fraction
    tick_seconds: Fraction
    rate: Fraction
    variable_rate: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """What the writer must know of the output's times.

    Attributes:
        time_base: seconds of which all frame times are whole numbers; 1/n.
        rate: average frames per second, as a hint for the encoder.
        variable_rate: whether some frame lasts longer than others.
        frame_count: of the output, and whether that is certain.
        start_seconds, duration_seconds: from the first frame's appearance to the last one's end.
        time_map: where sound, subtitles and chapters of the source belong.
    """

    time_base: Fraction
    rate: Fraction
    variable_rate: bool
    frame_count: int
    count_exact: bool
    start_seconds: Fraction
    duration_seconds: Fraction
    time_map: TimeMap = TimeMap()


class Timeline(Protocol):
    """Fills the span of every source frame with slots.

    Source frames are numbered from 0. `start` and `end` are of one frame's span, in seconds on the
    output's clock; `end` is when the next frame appears.
    """

    def slots(self, index: int, start: Fraction, end: Fraction, /) -> list[Slot]:
        """The slots that begin while source frame `index` is shown; there may be none."""
        ...

    def tail_slots(self, index: int, start: Fraction, end: Fraction, /) -> list[Slot]:
        """`slots` for the last source frame."""
        ...

    def end_seconds(self, index: int, start: Fraction, end: Fraction, /) -> Fraction:
        """When the last slot of all ends, for the span of the last source frame."""
        ...

    def timing(self) -> Timing:
        """What the writer must know."""
        ...


@dataclass(frozen=True, slots=True)
class MultiplyRate:
    """`factor` times as many frames, evenly spread over the source's frames whatever those last.

    Frame k lies at k / factor on an axis where the source's frames are 0, 1, 2, ...; between two
    of them that axis is straight in time. So a variable rate stays variable, and the source frames
    met keep their own times: all of them, where the factor is whole. N frames become N x factor,
    rounded up, and end where the source ends; without the tail, (N - 1) x factor, rounded down,
    and one.
    """

    factor: Fraction
    source: SourceTimes
    tail: Tail = "hold"

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise ValueError(f"factor must be 1 or more, got {self.factor}")

    def slots(self, index: int, start: Fraction, end: Fraction, /) -> list[Slot]:
        """See `Timeline`."""
        if end <= start:
            raise ValueError(f"end must lie after start: {start} to {end}")
        numbers = range(ceil(index * self.factor), ceil((index + 1) * self.factor))
        times = [number / self.factor - index for number in numbers]
        return [Slot(pts_seconds=start + t * (end - start), t=t) for t in times]

    def tail_slots(self, index: int, start: Fraction, end: Fraction, /) -> list[Slot]:
        """See `Timeline`."""
        slots = self.slots(index, start, end)
        return slots if self.tail == "hold" else [slot for slot in slots if slot.t == 0]

    def end_seconds(self, index: int, start: Fraction, end: Fraction, /) -> Fraction:
        """See `Timeline`."""
        if self.tail == "hold":
            return end
        following = floor(index * self.factor) + 1
        return start + (following / self.factor - index) * (end - start)

    def timing(self) -> Timing:
        """See `Timeline`. Where the last frame is cut short by the end, the rate is variable."""
        source = self.source
        all_of_it, up_to_last = source.count * self.factor, (source.count - 1) * self.factor
        hold = self.tail == "hold"
        tick = source.tick_seconds / self.factor.numerator
        end = self.end_seconds(source.count - 1, source.last_seconds, source.end_seconds)
        return Timing(
            time_base=Fraction(1, tick.denominator),
            rate=source.rate * self.factor,
            variable_rate=source.variable_rate or (hold and all_of_it.denominator != 1),
            frame_count=ceil(all_of_it) if hold else floor(up_to_last) + 1,
            count_exact=source.count_exact,
            start_seconds=source.first_seconds,
            duration_seconds=end - source.first_seconds,
        )


@dataclass(frozen=True)
class ConstantRate:
    """A frame every 1 / fps seconds from the first source frame on, whatever the source's times.

    Every frame lasts as long as the others, so the video ends within half a frame of the source's
    end; without the tail, with the last frame that does not come after the last source frame.

    A slot one tick of the source's clock away from a source frame takes that frame, if frames last
    many ticks: containers that count milliseconds round the times of frames on the same grid.
    """

    fps: Fraction
    source: SourceTimes
    tail: Tail = "hold"

    def __post_init__(self) -> None:
        if self.fps <= 0:
            raise ValueError(f"fps must be positive, got {self.fps}")

    def slots(self, _index: int, start: Fraction, end: Fraction, /) -> list[Slot]:
        """See `Timeline`."""
        if end <= start:
            raise ValueError(f"end must lie after start: {start} to {end}")
        numbers = range(self._number_from(start), min(self._number_from(end), self._total))
        times = [self.source.first_seconds + number / self.fps for number in numbers]
        return [
            Slot(
                pts_seconds=time,
                t=(time - start) / (end - start) if time - start > self._snap else Fraction(0),
            )
            for time in times
        ]

    def tail_slots(self, index: int, start: Fraction, end: Fraction, /) -> list[Slot]:
        """See `Timeline`. There is no next frame that takes a slot just before the end."""
        return self.slots(index, start, end + self._snap)

    def end_seconds(self, _index: int, _start: Fraction, _end: Fraction, /) -> Fraction:
        """See `Timeline`."""
        return self.source.first_seconds + self._total / self.fps

    def timing(self) -> Timing:
        """See `Timeline`."""
        ticks = lcm(self.source.first_seconds.denominator, self.fps.numerator)
        return Timing(
            time_base=Fraction(1, ticks),
            rate=self.fps,
            variable_rate=False,
            frame_count=self._total,
            count_exact=True,
            start_seconds=self.source.first_seconds,
            duration_seconds=self._total / self.fps,
        )

    @cached_property
    def _snap(self) -> Fraction:
        tick = self.source.tick_seconds
        rate = max(self.source.rate, self.fps)
        return tick if tick * rate * SNAP_SHARE <= 1 else Fraction(0)

    @cached_property
    def _total(self) -> int:
        source = self.source
        if self.tail == "drop":
            reach = source.last_seconds + self._snap - source.first_seconds
            return floor(reach * self.fps) + 1
        return max(1, floor((source.end_seconds - source.first_seconds) * self.fps + HALF))

    def _number_from(self, start: Fraction) -> int:
        """The first slot that belongs to a source frame that appears at `start`, or to a later."""
        return ceil((start - self._snap - self.source.first_seconds) * self.fps)


def parse_seconds(text: str, option: str) -> Fraction:
    """`90`, `1:30` or `0:01:30.5`, exactly.

    Raises:
        OptionError: for anything else, naming the option.
    """
    if not re.fullmatch(r"(\d+:){0,2}\d+(\.\d+)?", text.strip()):
        raise OptionError(
            f"{option} takes a time, not {text!r}",
            hint=f"Like this: {option} 90, {option} 1:30 or {option} 0:01:30.5",
        )
    seconds = Fraction(0)
    for part in text.strip().split(":"):
        seconds = 60 * seconds + Fraction(part)
    return seconds
