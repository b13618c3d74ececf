"""Clips are read while earlier ones are being measured."""

from functools import partial
from threading import Event

import numpy as np
import pytest
import torch

from vfimamba_cli.bench.ledger import Ledger
from vfimamba_cli.bench.loading import begin_first, load_clips
from vfimamba_cli.bench.method import Average, MethodError
from vfimamba_cli.bench.protocol import PROTOCOLS
from vfimamba_cli.bench.quality import Group, run_protocols, score_clips
from vfimamba_cli.data.datasets import MEASURED_SETS
from vfimamba_cli.errors import InputError

PROTOCOL = PROTOCOLS["ucf101"]
CPU = torch.device("cpu")


class Told:
    """A clip that says when its last frame was read."""

    file_count = 0

    def __init__(self, name, *, broken=False):
        self.name = name
        self.broken = broken
        self.was_read = Event()

    def read(self, number):
        if self.broken:
            raise InputError(f"Cannot decode: {self.name}")
        if number == 2:
            self.was_read.set()
        return np.full((16, 24, 3), 10 * number, np.uint8)

    def missing(self):
        return []


def measure(clips, method, ledger):
    group = Group(MEASURED_SETS["ucf101"], (PROTOCOL,), clips, len(clips))
    alone = partial(score_clips, methods=[method], device=CPU)
    return run_protocols([group], alone, [method.name], ledger)


def test_the_next_clip_is_read_while_a_method_works_on_one():
    clips = [Told(f"{i}") for i in range(4)]
    overlapped = []

    class Waiting(Average):
        def make(self, question):
            following = clips[min(int(question.clip) + 1, 3)]
            overlapped.append(following.was_read.wait(timeout=30))
            return super().make(question)

    ledger = Ledger(None, {})
    measure(clips, Waiting(), ledger)
    assert overlapped == [True] * 4
    assert [score.clip for score in ledger.scores.values()] == ["0", "1", "2", "3"]


def test_reading_begins_before_a_clip_is_asked_for():
    clips = [Told(f"{i}") for i in range(3)]
    with load_clips(clips, [PROTOCOL], CPU):
        assert all(clip.was_read.wait(timeout=30) for clip in clips[:2])


def test_the_first_clip_is_read_before_anybody_asks_and_its_frames_once():
    class Counted(Told):
        def __init__(self, name):
            super().__init__(name)
            self.numbers = []

        def read(self, number):
            self.numbers.append(number)
            return super().read(number)

    clips = [Counted(f"{i}") for i in range(3)]
    begun = begin_first(clips, [PROTOCOL])
    assert clips[0].was_read.wait(timeout=30)
    with load_clips(begun, [PROTOCOL], CPU) as loaded:
        assert [(clip.name, int(clip.frames[2][0, 0, 0])) for clip in loaded] == [
            ("0", 20),
            ("1", 20),
            ("2", 20),
        ]
    assert [sorted(clip.numbers) for clip in clips] == [[0, 1, 2]] * 3


def test_of_no_clips_none_is_begun():
    assert list(begin_first([], [PROTOCOL])) == []


def test_a_clip_begun_that_is_asked_again_is_read_again():
    (clip,) = begin_first([Told("0")], [PROTOCOL])
    assert [int(clip.read(1)[0, 0, 0]) for _ in range(2)] == [10, 10]
    assert (clip.name, clip.missing()) == ("0", [])


def test_a_clip_begun_that_is_broken_fails_when_it_is_asked_for():
    begun = begin_first([Told("0", broken=True), Told("1")], [PROTOCOL])
    ledger = Ledger(None, {})
    with pytest.raises(InputError, match="Cannot decode: 0"):
        measure(list(begun), Average(), ledger)


def test_every_method_is_at_work_before_a_score_is_waited_for():
    class Hole(Average):
        name = "hole"

        def make(self, question):
            return super().make(question) * torch.nan

    class Second(Average):
        name = "second"

        def make(self, question):
            begun.append(question.clip)
            return super().make(question)

    begun = []
    with pytest.raises(MethodError, match="hole made pixels that are not numbers: 0, ucf101"):
        list(score_clips([Told("0")], [PROTOCOL], [Hole(), Second()], device=CPU))
    assert begun == ["0"]


def test_a_broken_clip_fails_in_its_turn_after_all_before_it():
    clips = [Told("0"), Told("1"), Told("2", broken=True), Told("3")]
    ledger = Ledger(None, {})
    with pytest.raises(InputError, match="Cannot decode: 2"):
        measure(clips, Average(), ledger)
    assert [score.clip for score in ledger.scores.values()] == ["0", "1"]


def test_only_what_the_protocols_need_is_read():
    class Strict(Told):
        def read(self, number):
            assert number in (0, 2, 1), number
            return super().read(number)

    with load_clips([Strict("0")], [PROTOCOL], CPU) as loaded:
        (clip,) = loaded
    assert sorted(clip.frames) == [0, 1, 2]
    assert clip.frames[1][0, 0].tolist() == [10, 10, 10]


@pytest.mark.gpu
def test_frames_arrive_on_the_gpu_as_they_were_read():
    clips = [Told(f"{i}") for i in range(8)]
    with load_clips(clips, [PROTOCOL], torch.device("cuda")) as loaded:
        for clip in loaded:
            busy = torch.rand(2048, 2048, device="cuda")
            for _ in range(20):
                busy = busy @ busy / 2048
            for number, frame in clip.frames.items():
                assert frame.device.type == "cuda"
                assert frame.unique().tolist() == [10 * number]
