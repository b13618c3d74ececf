"""Which frames are made, copied and held, and in which order they come."""

from collections import Counter
from fractions import Fraction
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from tests.clips import make_clip, pan_planes
from tests.making import maker
from tests.writing import read
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.engine.transfer import DirectTransfer
from vfimamba_cli.frame import ColorSpec, Frame
from vfimamba_cli.pipeline import look_singly
from vfimamba_cli.pipeline.frames import FrameMaker
from vfimamba_cli.video.repeats import singly
from vfimamba_cli.video.timeline import Slot


def test_identical_neighbours_are_copied_without_asking_the_network(monkeypatch):
    monkeypatch.setattr(Interpolator, "between", lambda *_: pytest.fail("asked"))
    frame_maker = maker(2)
    assert len(list(frame_maker.frames(look_singly([still(0), still(1)])))) == 4
    assert frame_maker.count == Counter(source=2, static=1, held=1)


def test_a_variable_rate_stays_variable(monkeypatch):
    times = [Fraction(0), Fraction(1, 24), Fraction(3, 24), Fraction(10, 24)]
    source = [
        still(i, pts=start, duration=end - start)
        for i, (start, end) in enumerate(zip(times, [*times[1:], Fraction(11, 24)], strict=True))
    ]
    made = list(maker(2).frames(look_singly(source)))
    assert [f.pts_seconds for f in made[::2]] == times
    assert [f.duration_seconds for f in made] == [
        f.duration_seconds / 2 for f in source for _ in range(2)
    ]


def test_each_frame_is_taken_to_rgb_once(tmp_path, monkeypatch):
    import vfimamba_cli.engine.transfer as module

    seen = []
    to_rgb = module.to_rgb
    monkeypatch.setattr(module, "to_rgb", lambda p, *rest: seen.append(id(p)) or to_rgb(p, *rest))
    make_clip(tmp_path / "in.mp4", frames=4, size=(64, 48))
    _, source = read(tmp_path / "in.mp4")
    list(maker(3).frames(look_singly(source)))
    assert len(seen) == len(set(seen)) == 4


def test_midpoint_weights_make_as_many_frames_at_the_nearest_times_they_reach(monkeypatch):
    asked = []
    between = Interpolator.between

    def spy(self, first, second, timesteps):
        asked.append([str(t) for t in timesteps])
        return between(self, first, second, timesteps)

    monkeypatch.setattr(Interpolator, "between", spy)
    frame_maker = maker(3, frames=2, arbitrary_time=False)
    frames = list(frame_maker.frames(pan(2)))
    assert [f.pts_seconds for f in frames] == [Fraction(i, 72) for i in range(6)]
    assert asked == [["3/8", "5/8"]]
    assert frame_maker.count == Counter(source=2, made=2, held=2)


def test_a_time_that_halving_hardly_tells_from_a_source_frame_takes_the_frame(monkeypatch):
    monkeypatch.setattr(Interpolator, "between", lambda *_: pytest.fail("asked"))
    frame_maker = maker(2, frames=2, arbitrary_time=False)
    frame_maker.timeline = OneSlot(Fraction(99, 100))
    source = pan(2)
    first, second = (shown.frame for shown in source)
    frames = list(frame_maker.frames(source))
    assert [f.planes for f in frames] == [second.planes, second.planes]
    frame_maker.timeline = OneSlot(Fraction(1, 100))
    frames = list(frame_maker.frames(source))
    assert [f.planes for f in frames] == [first.planes, second.planes]


class OneSlot:
    """A timeline with a slot in every gap, at the same place in each."""

    def __init__(self, t):
        self.t = t

    def slots(self, index, start, end):
        return [Slot(pts_seconds=start + self.t * (end - start), t=self.t)]

    tail_slots = slots

    def end_seconds(self, index, start, end):
        return end


class SlowWay:
    """To a device that is always behind: pictures are there only when they are waited for.

    As recorded graphs do, its engine makes every picture in the same memory.
    """

    depth = 5

    def __init__(self, direct):
        self.direct = direct
        self.upload, self.begin = direct.upload, direct.begin
        self.started = self.waited = self.most = 0

    def download(self, rgb, color, begun):
        self.started += 1
        self.most = max(self.most, self.started - self.waited)
        number, arrived = self.started, self.direct.download(rgb, color, begun)
        with torch.inference_mode():
            rgb.fill_(0.5)

        def planes():
            self.waited += 1
            assert self.waited == number  # the oldest first
            return arrived.planes()

        return SimpleNamespace(planes=planes, seconds=arrived.seconds)


@pytest.mark.parametrize("factor", [2, 5])
def test_pictures_on_their_way_come_in_order_with_their_own_times(tmp_path, factor):
    make_clip(tmp_path / "in.mp4", frames=9, size=(64, 48), cut_at=4)
    _, source = read(tmp_path / "in.mp4")
    half, sixth = Fraction(1, 48), source[6]
    source[6:7] = (sixth.at(sixth.pts_seconds + i * half, half) for i in range(2))
    expected = list(maker(factor).frames(look_singly(source)))
    behind = maker(factor)
    behind.transfer = way = SlowWay(behind.transfer)
    for frame, same in zip(behind.frames(look_singly(source)), expected, strict=True):
        assert frame.pts_seconds == same.pts_seconds
        assert frame.duration_seconds == same.duration_seconds
        for a, b in zip(frame.planes, same.planes, strict=True):
            np.testing.assert_array_equal(a, b)
    assert way.waited == way.started == behind.count["made"]
    assert 1 < way.most <= way.depth + 1


@pytest.mark.gpu
def test_on_a_gpu_frames_are_those_of_one_pair_after_the_other(tmp_path):
    make_clip(tmp_path / "in.mp4", frames=40, size=(320, 240), cut_at=20)
    _, source = read(tmp_path / "in.mp4")
    made = maker(3, device="cuda", frames=40)
    engine, timeline = made.engine, made.timeline
    overlapped = list(FrameMaker(engine, timeline).frames(look_singly(source)))
    one_by_one = FrameMaker(engine, timeline)
    one_by_one.transfer = DirectTransfer(engine.device)
    for frame, same in zip(overlapped, one_by_one.frames(look_singly(source)), strict=True):
        assert frame.pts_seconds == same.pts_seconds
        for a, b in zip(frame.planes, same.planes, strict=True):
            np.testing.assert_array_equal(a, b)


def pan(count):
    """Moving frames at 24 a second, with their changes."""
    color = ColorSpec(matrix="bt709")
    frames = [
        (
            Frame(
                planes=tuple(pan_planes(i, 64, 48)),
                pts_seconds=Fraction(i, 24),
                duration_seconds=Fraction(1, 24),
                color=color,
            ),
            "motion" if i else "cut",
        )
        for i in range(count)
    ]
    return list(singly(frames))


def still(i, *, pts=None, duration=Fraction(1, 24)):
    luma = np.full((32, 32), 90, np.uint8)
    chroma = np.full((16, 16), 128, np.uint8)
    return Frame(
        planes=(luma, chroma, chroma),
        pts_seconds=Fraction(i, 24) if pts is None else pts,
        duration_seconds=duration,
        color=ColorSpec(matrix="bt709"),
    )
