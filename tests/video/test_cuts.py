from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from tests.clips import pan_planes
from vfimamba_cli.errors import InputError
from vfimamba_cli.frame import ColorSpec, Frame
from vfimamba_cli.video.cutlist import CutList, read_cuts, write_cuts
from vfimamba_cli.video.cuts import FLASH, changes, is_cut, is_static, known_changes
from vfimamba_cli.video.reader import VideoReader

REAL = Path(__file__).resolve().parents[2] / "../shared/data/test"
MEDIA = Path(__file__).resolve().parents[1] / "media"

SIZES = [(64, 48), (320, 180), (48, 400), (641, 361)]


def frame(planes, bit_depth=8):
    return Frame(
        planes=tuple(planes),
        pts_seconds=Fraction(0),
        duration_seconds=Fraction(1, 24),
        color=ColorSpec(matrix="bt601", bit_depth=bit_depth),
    )


def scene(index=0, size=(320, 180), *, seed=0, speed=2):
    return frame(pan_planes(index, *size, scene=seed, speed=speed))


def lit(original, gain, offset):
    """The same picture in another light."""
    luma = np.clip(original.planes[0] * gain + offset, 0, 255).astype(np.uint8)
    return frame((luma, *original.planes[1:]))


def noisy(original, sigma, seed):
    noise = np.random.default_rng(seed).normal(0, sigma, original.planes[0].shape)
    luma = np.clip(original.planes[0] + noise, 0, 255).astype(np.uint8)
    return frame((luma, *original.planes[1:]))


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("seed", [1, 2, 3, 4])
def test_another_scene_is_a_cut(size, seed):
    assert is_cut(scene(size=size), scene(size=size, seed=seed))


def test_another_scene_is_a_cut_in_ten_bits_too():
    a, b = (frame(pan_planes(0, 320, 180, "yuv420p10le", scene=s), 10) for s in (0, 1))
    assert is_cut(a, b)
    assert not is_cut(a, frame(pan_planes(1, 320, 180, "yuv420p10le"), 10))


@pytest.mark.parametrize("level", [16, 235])
def test_from_or_to_an_empty_screen_is_a_cut(level):
    picture = scene()
    empty = lit(picture, 0, level)
    if abs(float(picture.planes[0].mean()) - level) > 100:
        assert is_cut(picture, empty)
        assert is_cut(empty, picture)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0.01, 0.03, 0.08])
def test_a_pan_is_no_cut(size, share):
    speed = max(1, round(share * size[0]))
    for index in range(4):
        first, second = (scene(i, size, speed=speed) for i in (index, index + 1))
        assert not is_cut(first, second)


@pytest.mark.parametrize(
    ("gain", "offset", "speed"), [(1, 60, 20), (1.5, 20, 20), (0.5, 0, 2), (0.4, 130, 2)]
)
def test_a_flash_is_no_cut(gain, offset, speed):
    before, during, after = (scene(i, speed=speed) for i in range(3))
    flash = lit(during, gain, offset)
    assert not is_cut(before, flash)
    assert not is_cut(flash, after)


def test_a_fade_is_no_cut():
    levels = np.linspace(1, 0, 13)
    faded = [lit(scene(i), level, 16 * (1 - level)) for i, level in enumerate(levels)]
    for first, second in pairwise(faded):
        assert not is_cut(first, second)
        assert not is_cut(second, first)


def test_noise_is_no_cut():
    assert not is_cut(noisy(scene(), 12, seed=0), noisy(scene(), 12, seed=1))


def test_two_empty_frames_are_no_cut():
    black = lit(scene(), 0, 16)
    assert not is_cut(black, black)


def test_only_identical_planes_are_static():
    first, second = scene(), scene()
    assert is_static(first, second)
    for plane in range(3):
        changed = [p.copy() for p in second.planes]
        changed[plane][-1, -1] ^= 1
        assert not is_static(first, frame(changed))


@pytest.mark.parametrize(
    ("path", "cuts"),
    [(MEDIA / "demo.mp4", [35]), (REAL / "tos_cuts.mp4", [11, 41, 87, 118, 130, 168, 229])],
    ids=["demo", "tos_cuts"],
)
def test_the_cuts_of_a_film_are_found_and_nothing_else(path, cuts):
    """By eye; a muzzle flash lights frames 32 and 33 of the first, whip pans run in the second."""
    if path.parent == REAL and not REAL.is_dir():
        pytest.skip(f"no real footage at {REAL}")
    with VideoReader(path) as reader:
        frames = list(reader.frames())
    found = [i for i in range(1, len(frames)) if is_cut(frames[i - 1], frames[i])]
    assert found == cuts
    assert [i for i, (_, change) in enumerate(changes(frames)) if change == "cut"] == [0, *cuts]


def test_every_frame_comes_with_its_change_since_the_one_before():
    between_samples = [plane.copy() for plane in scene(1).planes]
    between_samples[0][1, 1] ^= 1
    frames = [scene(), scene(1), scene(1), frame(between_samples), scene(2, seed=1)]
    found = list(changes(frames))
    assert [given for given, _ in found] == frames
    assert [change for _, change in found] == ["cut", "motion", "none", "motion", "cut"]


def at(index, original):
    return original.at(Fraction(index, 24), Fraction(1, 24))


def found(frames):
    return [change for _, change in changes(frames)]


def test_light_that_comes_and_goes_within_a_few_frames_is_no_cut():
    white = lit(scene(3), 0, 235)
    frames = [scene(0), scene(1), scene(2), white, white, scene(5), scene(6)]
    assert found(frames) == ["cut", "motion", "motion", "motion", "none", "motion", "motion"]


def test_a_screen_that_stays_white_is_a_cut():
    white = lit(scene(3), 0, 235)
    assert found([scene(0), scene(1), *[white] * 6, scene(2)])[2] == "cut"


def test_two_cuts_four_frames_apart_are_both_found():
    shots = [(0, 0), (0, 1), *((1, i) for i in range(4)), *((2, i) for i in range(3))]
    frames = [scene(i, seed=seed) for seed, i in shots]
    assert [i for i, change in enumerate(found(frames)) if change == "cut"] == [0, 2, 6]


def test_listed_cuts_are_those_of_the_nearest_frames():
    frames = [at(i, scene(i)) for i in range(6)]
    frames[3] = at(3, scene(2))  # repeats the one before
    cuts = CutList([Fraction(1, 24) + Fraction(1, 100), Fraction(5, 24) - Fraction(1, 100)])
    listed = known_changes(frames, cuts, beginning=Fraction(0))
    assert [change for _, change in listed] == ["cut", "cut", "motion", "none", "motion", "cut"]


def test_a_list_is_written_as_it_is_read(tmp_path):
    seconds = [Fraction(35, 24), Fraction(125)]
    write_cuts(tmp_path / "cuts.txt", seconds)
    read = read_cuts(tmp_path / "cuts.txt").seconds
    assert [round(second, 5) for second in read] == [round(second, 5) for second in seconds]
    (tmp_path / "own.txt").write_text("# mine\n\n0:01:30.5  # the door\n90\n")
    assert read_cuts(tmp_path / "own.txt").seconds == [90, Fraction(181, 2)]


@pytest.mark.parametrize(
    ("text", "message"), [("1.5\nsoon\n", "Line 2.*'soon'"), (None, "cannot be read")]
)
def test_a_list_that_is_none_is_named(tmp_path, text, message):
    if text is not None:
        (tmp_path / "cuts.txt").write_text(text)
    with pytest.raises(InputError, match=rf"{message}.*cuts\.txt"):
        read_cuts(tmp_path / "cuts.txt")


def test_only_a_few_frames_are_read_ahead():
    taken = []

    def frames():
        for i in range(40):
            taken.append(i)
            yield scene(i, seed=i // 5)

    given = changes(frames())
    for count in range(1, 41):
        next(given)
        assert len(taken) - count <= FLASH
    assert len(taken) == 40
