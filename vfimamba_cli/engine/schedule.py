"""In-between times: asked of the network directly, or reached by repeated halving.

B batch, C channels, H x W pixels.
"""

from collections.abc import Callable, Sequence
from fractions import Fraction

from torch import Tensor

Middle = Callable[[Tensor, Tensor], Tensor]
"""Two (B, C, H, W) frames -> the (B, C, H, W) frame half-way between."""


def is_dyadic(t: Fraction) -> bool:
    """Whether repeated halving reaches `t`: its denominator is a power of two."""
    return t.denominator & (t.denominator - 1) == 0


def reachable(times: Sequence[Fraction]) -> list[Fraction]:
    """`times` in [0, 1], each as the nearest that a few halvings reach.

    k / 2^n stays as it is. Others, which only ever steeper halving would come close to, become a
    multiple of 1/8, or of half the spacing of the times where that is less: at most a sixteenth of
    the way between the two frames too early or too late, and no two alike.
    """
    steps = 1 << max(3, (2 * len(times) - 1).bit_length())
    return [t if is_dyadic(t) else Fraction(round(t * steps), steps) for t in times]


def halve(
    first: Tensor, second: Tensor, times: Sequence[Fraction], middle: Middle
) -> dict[Fraction, Tensor]:
    """Frames at `times` in (0, 1), each made from its nearest made neighbours.

    Every half-way frame is made once, however many times need it, and is fed back unrounded.

    Raises:
        ValueError: at a time that is no k / 2^n in (0, 1).

    Source: the published X-TEST script, 8x by three halvings.
    """
    for t in times:
        if not 0 < t < 1 or not is_dyadic(t):
            raise ValueError(f"halving reaches k / 2^n in (0, 1) only, not {t}")
    if not times:
        return {}
    half = Fraction(1, 2)
    made = middle(first, second)
    frames = {half: made} if half in times else {}
    before = halve(first, made, [2 * t for t in times if t < half], middle)
    after = halve(made, second, [2 * t - 1 for t in times if t > half], middle)
    frames |= {t / 2: frame for t, frame in before.items()}
    return frames | {(t + 1) / 2: frame for t, frame in after.items()}
