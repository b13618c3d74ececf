from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from tests.clips import even_times, make_picture, pan_planes
from tests.stand_in import Fading
from vfimamba_cli.frame import ColorSpec, Frame
from vfimamba_cli.pipeline.frames import FrameMaker
from vfimamba_cli.video.cuts import changes
from vfimamba_cli.video.pyav import open_for_writing
from vfimamba_cli.video.reader import VideoReader
from vfimamba_cli.video.repeats import held, is_repeat, singly
from vfimamba_cli.video.timeline import ConstantRate, MultiplyRate

REAL = Path(__file__).resolve().parents[2] / "../shared/data/test"
GREY = ColorSpec(matrix="bt709", subsampling="400")


def drawing(value, index):
    """A frame of one brightness, which says where something has moved to."""
    return Frame(
        planes=(np.full((32, 32), value, np.uint8),),
        pts_seconds=Fraction(index, 24),
        duration_seconds=Fraction(1, 24),
        color=GREY,
    )


def moving(values):
    """Such frames, with their changes."""
    before = None
    for index, value in enumerate(values):
        yield (
            drawing(value, index),
            "cut" if before is None else ("none" if value == before else "motion"),
        )
        before = value


def shown(timeline, values, limit):
    """Brightness of every frame of the output, and when it is shown."""
    source = held(moving(values), limit=limit) if limit else singly(moving(values))
    frames = list(FrameMaker(Fading(), timeline).frames(source))
    return [int(f.planes[0][0, 0]) for f in frames], [f.pts_seconds for f in frames]


def test_a_drawing_on_twos_moves_evenly_at_the_rate_it_had():
    values = [100, 100, 120, 120, 140, 140, 160, 160]
    timeline = MultiplyRate(Fraction(1), even_times(8))
    found, times = shown(timeline, values, 6)
    assert found == [100, 110, 120, 130, 140, 150, 160, 160]
    assert times == [Fraction(i, 24) for i in range(8)]


def test_drawings_on_twos_and_threes_move_evenly_at_any_rate():
    values = [100] * 3 + [124] * 2 + [140] * 3 + [164] * 3
    for timeline, step in (
        (MultiplyRate(Fraction(2), even_times(11)), Fraction(1, 48)),
        (ConstantRate(Fraction(60), even_times(11)), Fraction(1, 60)),
    ):
        found, times = shown(timeline, values, 6)
        until = Fraction(8, 24)  # the last drawing has none to move to
        for value, time in zip(found, times, strict=True):
            assert value == pytest.approx(100 + 8 * 24 * min(time, until), abs=0.51)
        assert times == [i * step for i in range(len(times))]
        assert len(times) == timeline.timing().frame_count


def test_a_scene_in_which_nothing_moves_stays_still():
    values = [100] * 7 + [120, 120]
    found, _ = shown(MultiplyRate(Fraction(1), even_times(9)), values, 6)
    assert found == [*[100] * 7, 120, 120]
    found, _ = shown(MultiplyRate(Fraction(1), even_times(8)), values[1:], 6)
    assert found == [100, 103, 107, 110, 113, 117, 120, 120]


def test_without_it_repeats_stay_repeats():
    found, _ = shown(MultiplyRate(Fraction(2), even_times(4)), [100, 100, 120, 120], 0)
    assert found == [100, 100, 100, 110, 120, 120, 120, 120]


def test_a_drawing_held_up_to_a_cut_is_held():
    frames = list(moving([100, 100, 120, 120]))
    frames[2] = frames[2][0], "cut"
    source = held(iter(frames), limit=6)
    maker = FrameMaker(Fading(), MultiplyRate(Fraction(2), even_times(4)))
    assert [int(f.planes[0][0, 0]) for f in maker.frames(source)] == [100] * 4 + [120] * 4


def test_no_more_frames_wait_than_the_longest_run():
    taken = []

    def frames():
        for item in moving([100] * 50):
            taken.append(item)
            yield item

    given = held(frames(), limit=6)
    for count in range(1, 40):
        next(given)
        assert len(taken) - count <= 6 + 1


def test_repeats_are_known_after_encoding_and_small_motion_is_none(tmp_path):
    """On twos, with a mouth that moves every frame in one half of the clip."""
    with open_for_writing(tmp_path / "in.mp4", container="mp4", options={}) as container:
        stream = container.add_stream("libx264", 24, options={"crf": "20"})
        stream.width, stream.height, stream.pix_fmt = 160, 96, "yuv420p"
        for i in range(24):
            planes = pan_planes(i // 2, 160, 96, speed=4)
            if i >= 12:
                planes[0] = planes[0].copy()
                planes[0][40:48, 60 : 72 + 4 * (i % 2)] = 40
            container.mux(stream.encode(make_picture(planes, "yuv420p")))
        container.mux(stream.encode(None))
    with VideoReader(tmp_path / "in.mp4") as reader:
        runs = [len(s.spans) for s in held(changes(reader.frames()), limit=6)]
    assert runs == [2] * 6 + [1] * 12


@pytest.mark.parametrize(
    ("name", "repeats"), [("dups_24_to_30.mp4", 24), ("tos_cuts.mp4", 0), ("vfr_real.mp4", 0)]
)
def test_the_repeats_of_real_clips_are_found_and_nothing_else(name, repeats):
    if not REAL.is_dir():
        pytest.skip(f"no real footage at {REAL}")
    with VideoReader(REAL / name) as reader:
        runs = [len(s.spans) for s in held(changes(reader.frames()), limit=6)]
    assert runs.count(2) == repeats
    assert max(runs) <= 2


def test_frames_smaller_than_a_square_are_compared_too():
    a, b = drawing(100, 0), drawing(100, 1)
    small = [
        f.with_planes((f.planes[0][:8, :8],), f.pts_seconds, f.duration_seconds) for f in (a, b)
    ]
    assert is_repeat(*small)
