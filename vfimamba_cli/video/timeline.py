"""Which frame is shown when: pure arithmetic on fractions of a second."""

from dataclasses import dataclass
from fractions import Fraction

from vfimamba_cli.errors import OptionError


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """A place in the output that one frame fills.

    Attributes:
        pts_seconds, duration_seconds: when it is shown and for how long.
        t: where it lies between its two source frames, in [0, 1); 0 is the first one itself.
    """

    pts_seconds: Fraction
    duration_seconds: Fraction
    t: Fraction


@dataclass(frozen=True, slots=True)
class MultiplyRate:
    """Every source frame's span is divided into `factor` equal parts.

    A variable rate stays variable, source frames keep their own times, and the end stays where
    it was: N frames become `factor` x N. The last source frame's span is its own duration, in
    which there is nothing to move towards, so it is held.
    """

    factor: int

    def __post_init__(self) -> None:
        if self.factor < 1:
            raise OptionError(
                f"The factor must be 1 or more, got {self.factor}",
                hint="--factor 2 doubles the frame rate",
            )

    def slots(self, start: Fraction, end: Fraction) -> list[Slot]:
        """The slots of a source frame that is shown from `start` until `end`."""
        if end <= start:
            raise ValueError(f"end must lie after start: {start} to {end}")
        duration = (end - start) / self.factor
        return [
            Slot(
                pts_seconds=start + i * duration,
                duration_seconds=duration,
                t=Fraction(i, self.factor),
            )
            for i in range(self.factor)
        ]

    def frame_count(self, source_frames: int) -> int:
        """Frames that come out for `source_frames` that go in."""
        return source_frames * self.factor

    def time_base(self, source_time_base: Fraction) -> Fraction:
        """The tick, 1/n seconds, of which every slot is a whole number.

        Source times are whole numbers of `source_time_base`. The numerator is always 1, as
        MP4 wants it.
        """
        return Fraction(1, source_time_base.denominator * self.factor)

    def rate(self, source_rate: Fraction) -> Fraction:
        """Average output frames per second."""
        return source_rate * self.factor
