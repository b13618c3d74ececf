"""PyAV's rationals as `Fraction`: version 18 gives `Fraction` or `None`, 19 a falsy 0/1."""

from fractions import Fraction
from typing import Protocol


class Rational(Protocol):
    """What every version's rational has."""

    @property
    def numerator(self) -> int:
        """0 where the value is unknown."""

    @property
    def denominator(self) -> int:
        """0 or 1 where the value is unknown."""


def as_fraction(value: Rational | None) -> Fraction | None:
    """`value` as an exact fraction; None where it is unknown, which FFmpeg writes as 0."""
    if not value or not value.denominator:
        return None
    return Fraction(value.numerator, value.denominator)
