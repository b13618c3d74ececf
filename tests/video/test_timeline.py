from fractions import Fraction
from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vfimamba_cli.errors import OptionError
from vfimamba_cli.video.timeline import MultiplyRate

time_bases = st.builds(
    Fraction, st.sampled_from([1, 1001]), st.sampled_from([24, 1000, 12288, 30000, 90000])
)
gaps = st.lists(st.integers(1, 5000), min_size=1, max_size=12)
factors = st.integers(1, 9)


def walk(timeline, time_base, start, gaps):
    """All slots of frames that start at `start` ticks and last `gaps` ticks each."""
    edges = [time_base * tick for tick in accumulate(gaps, initial=start)]
    return edges, [slot for pair in pairwise(edges) for slot in timeline.slots(*pair)]


@given(time_bases, st.integers(-1000, 10**9), gaps, factors)
def test_n_frames_become_n_times_factor_and_end_where_they_ended(time_base, start, gaps, factor):
    timeline = MultiplyRate(factor)
    edges, slots = walk(timeline, time_base, start, gaps)
    assert len(slots) == timeline.frame_count(len(gaps)) == factor * len(gaps)
    assert slots[-1].pts_seconds + slots[-1].duration_seconds == edges[-1]
    assert [slot.pts_seconds for slot in slots if slot.t == 0] == edges[:-1]


@given(time_bases, st.integers(-1000, 10**9), gaps, factors)
def test_slots_follow_one_another_without_gap_or_overlap(time_base, start, gaps, factor):
    _, slots = walk(MultiplyRate(factor), time_base, start, gaps)
    for before, after in pairwise(slots):
        assert before.pts_seconds + before.duration_seconds == after.pts_seconds
        assert before.duration_seconds > 0


@given(time_bases, st.integers(0, 10**9), gaps, factors)
def test_every_slot_is_a_whole_number_of_ticks(time_base, start, gaps, factor):
    timeline = MultiplyRate(factor)
    tick = timeline.time_base(time_base)
    assert tick.numerator == 1
    _, slots = walk(timeline, time_base, start, gaps)
    assert all((slot.pts_seconds / tick).denominator == 1 for slot in slots)


def test_t_says_where_a_slot_lies_between_its_frames():
    slots = MultiplyRate(4).slots(Fraction(1), Fraction(3))
    assert [slot.t for slot in slots] == [0, Fraction(1, 4), Fraction(1, 2), Fraction(3, 4)]
    assert [slot.pts_seconds for slot in slots] == [1, Fraction(3, 2), 2, Fraction(5, 2)]


def test_a_rate_is_multiplied_exactly():
    assert MultiplyRate(2).rate(Fraction(24000, 1001)) == Fraction(48000, 1001)


def test_a_factor_below_one_and_a_span_that_goes_back_are_refused():
    with pytest.raises(OptionError, match="got 0"):
        MultiplyRate(0)
    with pytest.raises(ValueError, match="end must lie after start"):
        MultiplyRate(2).slots(Fraction(1), Fraction(1))
