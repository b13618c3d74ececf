from fractions import Fraction

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vfimamba_cli.data.clips import Clip
from vfimamba_cli.data.sampling import TripletRules, TripletSampler
from vfimamba_cli.errors import InputError


def clip_of(length, height=72, width=96, *, speed=3.0, name="a"):
    frames = torch.empty(1, dtype=torch.uint8).expand(length, 3, height, width)
    thumbnails = np.zeros((length, height // 8, width // 8), np.int16)
    return Clip(name, frames, thumbnails, speed)


def draws_of(clips, count=400, **rules):
    sampler = TripletSampler(clips, TripletRules(**{"crop": 64, **rules}))
    rng = np.random.default_rng(0)
    return [sampler.draw(rng) for _ in range(count)]


@given(
    st.integers(3, 40), st.integers(20, 300), st.integers(20, 300), st.floats(0, 50),
    st.integers(0, 1000),
)  # fmt: skip
def test_every_draw_lies_inside_its_clip(length, height, width, speed, seed):
    clip = clip_of(length, height, width, speed=speed)
    draw = TripletSampler([clip], TripletRules(crop=64)).draw(np.random.default_rng(seed))
    low, target, high = sorted(draw.frames)
    assert 0 <= low < target < high < length
    assert draw.frames[1] == target
    assert 0 <= draw.top <= height - draw.side
    assert 0 <= draw.left <= width - draw.side
    assert 0 < draw.t < 1


def test_t_is_the_targets_place_in_either_direction_of_time():
    draws = draws_of([clip_of(30)])
    for draw in draws:
        first, target, second = draw.frames
        assert draw.t == float(Fraction(target - first, second - first))
    assert {draw.frames[0] < draw.frames[2] for draw in draws} == {True, False}


def test_half_of_the_targets_lie_in_the_middle():
    share = np.mean([draw.t == 0.5 for draw in draws_of([clip_of(40)], midpoint_share=0.5)])
    assert 0.45 < share < 0.7  # others fall there by chance


def test_fast_clips_are_drawn_with_smaller_gaps_than_slow_ones():
    slow, fast = (
        np.mean([abs(d.frames[2] - d.frames[0]) for d in draws_of([clip_of(40, speed=speed)])])
        for speed in (2.0, 16.0)
    )
    assert slow > 1.7 * fast


def test_clips_that_must_be_enlarged_get_their_share_and_no_more():
    clips = [clip_of(10, 200, 200), *(clip_of(90, 48, 48) for _ in range(9))]
    share = np.mean([draw.clip > 0 for draw in draws_of(clips, 2000, enlarged_share=0.1)])
    assert 0.07 < share < 0.13


def test_clips_too_short_for_a_triplet_are_never_drawn():
    assert {draw.clip for draw in draws_of([clip_of(2), clip_of(3), clip_of(1)])} == {1}


def test_clips_that_are_all_too_short_are_refused():
    with pytest.raises(InputError, match="None of the 2 clips has three frames"):
        TripletSampler([clip_of(1), clip_of(2)], TripletRules())


def test_places_where_something_moves_are_preferred():
    clip = clip_of(20, 256, 256)
    clip.thumbnails[:, :, 16:] = 40 * (np.arange(20) % 2)[:, None, None]  # the right half flickers
    sides = [draw.left + draw.side // 2 > 128 for draw in draws_of([clip], smallest_zoom=1.0)]
    assert np.mean(sides) > 0.6


def test_an_interval_is_kept_whatever_moves():
    draws = draws_of([clip_of(65, speed=40.0), clip_of(5)], interval=(8, 16), midpoint_share=0.5)
    gaps = {max(d.frames) - min(d.frames) for d in draws if d.clip == 0}
    assert gaps == set(range(8, 17))
    assert {max(d.frames) - min(d.frames) for d in draws if d.clip == 1} <= {3, 4}, "all it has"


def test_a_clip_is_reduced_to_the_size_asked_for_and_never_enlarged():
    clip = clip_of(9, 400, 600)
    assert {draw.side for draw in draws_of([clip], size=(200, 200))} == {128}
    sides = {draw.side for draw in draws_of([clip], size=(200, 400))}
    assert (min(sides), max(sides)) == (64, 128)
    assert {draw.side for draw in draws_of([clip], size=(800, 800))} == {64}
