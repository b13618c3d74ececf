"""What is to come out, known before the first frame is decoded."""

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Self

from vfimamba_cli.errors import OptionError
from vfimamba_cli.pipeline.options import TimeOptions
from vfimamba_cli.video.info import VideoInfo
from vfimamba_cli.video.timeline import (
    ConstantRate,
    MultiplyRate,
    SourceTimes,
    Timeline,
    TimeMap,
    Timing,
)

DEFAULT_FACTOR = Fraction(2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is to come out.

    Attributes:
        timeline: which frame is shown when.
        timing: of the output, for the writer.
    """

    timeline: Timeline
    timing: Timing

    @classmethod
    def of(cls, info: VideoInfo, options: TimeOptions, *, dedup: bool = False) -> Self:
        """The plan for a video, or the part of it that `info` describes, by what was asked.

        Raises:
            OptionError: if it would change nothing, except where repeats are moved (`dedup`).
        """
        if options.factor == 1 and not dedup:
            raise OptionError(
                "The factor must be more than 1, got 1",
                hint="Try --factor 2; --factor 1 moves held drawings only, with --dedup 6",
            )
        time_map = TimeMap(
            start_seconds=None if options.start_seconds is None else info.start_seconds,
            end_seconds=None if options.end_seconds is None else info.end_seconds,
            scale=Fraction(options.slowmo or 1),
        )
        timeline = choose_timeline(info.times(time_map), options)
        return cls(timeline=timeline, timing=replace(timeline.timing(), time_map=time_map))


def choose_timeline(source: SourceTimes, options: TimeOptions) -> Timeline:
    """A multiple of the source's rate, or a constant one."""
    if options.fps is not None:
        return ConstantRate(Fraction(options.fps), source, options.tail)
    factor = Fraction(options.factor or options.slowmo or DEFAULT_FACTOR)
    return MultiplyRate(factor, source, options.tail)
