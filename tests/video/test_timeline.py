from fractions import Fraction
from itertools import accumulate, pairwise
from math import ceil, floor
from statistics import mean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.clips import even_times
from vfimamba_cli.video.timeline import ConstantRate, MultiplyRate, SourceTimes, TimeMap

time_bases = st.builds(
    Fraction, st.sampled_from([1, 1001]), st.sampled_from([24, 1000, 12288, 30000, 90000])
)
starts = st.integers(-1000, 10**9)
gaps = st.lists(st.integers(1, 5000), min_size=1, max_size=12)
short_gaps = st.lists(st.integers(1, 300), min_size=1, max_size=8)
ticks = st.builds(Fraction, st.sampled_from([1, 11]), st.sampled_from([1000, 12288]))
factors = st.sampled_from(["1", "2", "3", "9", "5/2", "2.5025", "7/3", "1.5", "16/15"]).map(
    Fraction
)
rates = st.sampled_from(["60", "60000/1001", "24000/1001", "12", "1/3", "240"]).map(Fraction)
tails = st.sampled_from(["hold", "drop"])


def times_of(time_base, start, gaps):
    """Of frames that start at `start` ticks and last `gaps` ticks each; and all their edges."""
    edges = [time_base * tick for tick in accumulate(gaps, initial=start)]
    source = SourceTimes(
        count=len(gaps),
        first_seconds=edges[0],
        last_seconds=edges[-2],
        end_seconds=edges[-1],
        tick_seconds=time_base,
        rate=len(gaps) / (edges[-1] - edges[0]),
        variable_rate=len(set(gaps)) > 1,
    )
    return source, edges


def walk(timeline, edges):
    """All slots in order, and when the last one ends."""
    spans = list(pairwise(edges))
    slots = [slot for i, span in enumerate(spans[:-1]) for slot in timeline.slots(i, *span)]
    last = len(spans) - 1
    slots += timeline.tail_slots(last, *spans[-1])
    return slots, timeline.end_seconds(last, *spans[-1])


@given(time_bases, starts, gaps, factors)
def test_n_frames_become_n_times_factor_and_end_where_they_ended(time_base, start, gaps, factor):
    source, edges = times_of(time_base, start, gaps)
    timeline = MultiplyRate(factor, source)
    slots, end = walk(timeline, edges)
    assert len(slots) == timeline.timing().frame_count == ceil(factor * len(gaps))
    assert slots[0].pts_seconds == edges[0]
    assert end == edges[-1]
    met = [edges[i] for i in range(len(gaps)) if (i * factor).denominator == 1]
    assert [slot.pts_seconds for slot in slots if slot.t == 0] == met


@given(time_bases, starts, gaps, factors)
def test_without_the_tail_the_last_source_frame_is_the_last(time_base, start, gaps, factor):
    source, edges = times_of(time_base, start, gaps)
    timeline = MultiplyRate(factor, source, "drop")
    slots, end = walk(timeline, edges)
    assert len(slots) == timeline.timing().frame_count == floor(factor * (len(gaps) - 1)) + 1
    assert slots[-1].pts_seconds <= edges[-2] < end <= edges[-1]


@given(ticks, starts, short_gaps, factors | rates, tails, st.booleans())
def test_slots_follow_one_another_in_whole_ticks(time_base, start, gaps, number, tail, constant):
    source, edges = times_of(time_base, start, gaps)
    timeline = (ConstantRate if constant or number < 1 else MultiplyRate)(number, source, tail)
    slots, end = walk(timeline, edges)
    assert len(slots) == timeline.timing().frame_count
    times = [*(slot.pts_seconds for slot in slots), end]
    assert all(before < after for before, after in pairwise(times))
    timing = timeline.timing()
    assert timing.time_base.numerator == 1
    assert all((time / timing.time_base).denominator == 1 for time in times)
    lengths = {after - before for before, after in pairwise(times)}
    assert timing.variable_rate or len(lengths) == 1
    assert (timing.start_seconds, timing.duration_seconds) == (times[0], end - times[0])


@given(ticks, starts, short_gaps, rates)
def test_a_constant_rate_is_exact_and_ends_within_half_a_frame(time_base, start, gaps, fps):
    source, edges = times_of(time_base, start, gaps)
    slots, end = walk(ConstantRate(fps, source), edges)
    assert [slot.pts_seconds for slot in slots] == [edges[0] + i / fps for i in range(len(slots))]
    assert abs(end - edges[-1]) <= Fraction(1, 2) / fps or len(slots) == 1


@given(ticks, starts, short_gaps, rates)
def test_a_constant_rate_shows_what_the_source_shows_then(time_base, start, gaps, fps):
    source, edges = times_of(time_base, start, gaps)
    timeline = ConstantRate(fps, source)
    for i, span in enumerate(list(pairwise(edges))[:-1]):
        for slot in timeline.slots(i, *span):
            time = span[0] + slot.t * (span[1] - span[0])
            assert abs(time - slot.pts_seconds) <= time_base
            assert 0 <= slot.t < 1


def test_half_of_a_rate_takes_every_other_source_frame():
    source = even_times(8, 60)
    slots, _ = walk(ConstantRate(Fraction(30), source), [Fraction(i, 60) for i in range(9)])
    assert [slot.pts_seconds for slot in slots] == [Fraction(i, 30) for i in range(4)]
    assert all(slot.t == 0 for slot in slots)


def test_source_frames_on_the_grid_are_met_though_the_container_rounds_their_times():
    rate, tick = Fraction(24000, 1001), Fraction(1, 1000)
    edges = [round(i / rate / tick) * tick for i in range(2401)]
    gaps = [round((b - a) / tick) for a, b in pairwise(edges)]
    source, _ = times_of(tick, 0, gaps)
    slots, _ = walk(ConstantRate(2 * rate, source), edges)
    assert sum(slot.t == 0 for slot in slots) == 2400
    assert len(slots) == 4800


def test_two_and_a_half_times_a_mix_of_gaps_is_linear_inside_each():
    """The case of gaps of 42 and 41 ms, which a plain division of the duration gets wrong."""
    source, edges = times_of(Fraction(1, 1000), 0, [42, 41, 42])
    slots, end = walk(MultiplyRate(Fraction(5, 2), source), edges)
    milliseconds = [0, 42 * 0.4, 42 * 0.8, 42 + 41 * 0.2, 42 + 41 * 0.6]
    milliseconds += [83, 83 + 42 * 0.4, 83 + 42 * 0.8]
    assert [float(1000 * slot.pts_seconds) for slot in slots] == pytest.approx(milliseconds)
    assert end == Fraction(125, 1000)


def test_the_rate_of_a_film_is_multiplied_exactly():
    timing = MultiplyRate(Fraction(5, 2), even_times(4, Fraction(24000, 1001))).timing()
    assert timing.rate == Fraction(60000, 1001)
    assert not timing.variable_rate
    assert MultiplyRate(Fraction(5, 2), even_times(3)).timing().variable_rate


def test_the_rate_of_the_slots_is_the_rate_that_is_told():
    source, edges = times_of(Fraction(1, 1000), 0, [41, 42, 2000, 17])
    for timeline in (MultiplyRate(Fraction(3), source), ConstantRate(Fraction(48), source)):
        slots, end = walk(timeline, edges)
        lengths = [b.pts_seconds - a.pts_seconds for a, b in pairwise(slots)]
        lengths.append(end - slots[-1].pts_seconds)
        assert 1 / mean(lengths) == timeline.timing().rate


def test_a_factor_below_one_and_a_span_that_goes_back_are_bugs():
    with pytest.raises(ValueError, match="got 1/2"):
        MultiplyRate(Fraction(1, 2), even_times(2))
    with pytest.raises(ValueError, match="end must lie after start"):
        MultiplyRate(Fraction(2), even_times(2)).slots(0, Fraction(1), Fraction(1))


def test_a_part_of_the_source_starts_at_zero_and_is_stretched():
    whole, part = TimeMap(), TimeMap(start_seconds=Fraction(2), end_seconds=Fraction(5))
    slow = TimeMap(start_seconds=Fraction(2), scale=Fraction(4))
    assert [m(Fraction(3)) for m in (whole, part, slow)] == [3, 1, 4]
    assert [part.keeps(Fraction(t)) for t in (1, 2, 4, 5)] == [False, True, True, False]
    assert whole.keeps(Fraction(-1))
    assert part.span(Fraction(1), Fraction(3)) == (0, 1)
    assert part.span(Fraction(4), Fraction(9)) == (2, 3)
    assert part.span(Fraction(0), Fraction(2)) is None
    assert slow.span(Fraction(0), Fraction(3)) == (0, 4)
