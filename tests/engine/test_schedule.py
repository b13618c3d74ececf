"""Times reached by halving."""

from fractions import Fraction

import pytest
import torch

from vfimamba_cli.engine.schedule import halve


def mean(a, b):
    return (a + b) / 2


def test_halving_reaches_every_eighth_with_seven_calls():
    calls = []

    def middle(a, b):
        calls.append((a.item(), b.item()))
        return mean(a, b)

    times = [Fraction(k, 8) for k in range(1, 8)]
    made = halve(torch.tensor(0.0), torch.tensor(8.0), times, middle)
    assert {t: frame.item() for t, frame in made.items()} == {t: 8 * float(t) for t in times}
    assert len(calls) == 7


def test_only_the_frames_on_the_way_are_made():
    made = []

    def middle(a, b):
        made.append(mean(a, b).item())
        return mean(a, b)

    frames = halve(torch.tensor(0.0), torch.tensor(8.0), [Fraction(3, 8)], middle)
    assert list(frames) == [Fraction(3, 8)]
    assert made == [4, 2, 3]


@pytest.mark.parametrize("t", [Fraction(1, 3), Fraction(0), Fraction(1)])
def test_times_halving_cannot_reach_are_refused(t):
    with pytest.raises(ValueError, match="halving reaches"):
        halve(torch.tensor(0.0), torch.tensor(1.0), [t], mean)
