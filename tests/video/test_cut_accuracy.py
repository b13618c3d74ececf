"""How often the detector is right, over many generated scenes."""

from fractions import Fraction
from functools import cache

import numpy as np

from vfimamba_cli.frame import ColorSpec, Frame
from vfimamba_cli.video.cuts import changes

SIZE = 160, 90
COLOR = ColorSpec(matrix="bt709")
NEUTRAL = np.full((45, 80), 128, np.uint8)


@cache
def panorama(scene):
    """(90, 640) luma: a ground of its own shade with things on it, and some grain."""
    rng = np.random.default_rng(scene)
    y, x = np.mgrid[0:90, 0:640]
    luma = rng.uniform(30, 200) + rng.uniform(-50, 50) * y / 90 + rng.normal(0, 2, y.shape)
    for _ in range(60):
        top, left = rng.uniform(-20, 90), rng.uniform(-20, 640)
        high, wide = rng.uniform(5, 60, 2)
        inside = (abs(y - top - high / 2) < high / 2) & (abs(x - left - wide / 2) < wide / 2)
        if rng.random() < 0.5:
            inside = np.hypot((y - top) / high, (x - left) / wide) < 0.5
        luma[inside] = luma[inside] * 0.2 + rng.uniform(16, 235) * 0.8
    return luma.clip(16, 235).astype(np.float32)


def shot(scene, frames, *, speed, start=0):
    """Luma of a pan there and back, `speed` pixels a frame."""
    reach = 640 - SIZE[0]
    places = [(start + i) * speed % (2 * reach) for i in range(frames)]
    lefts = [min(place, 2 * reach - place) for place in places]
    return [panorama(scene)[:, left : left + SIZE[0]].copy() for left in lefts]


def light(pictures, at, rng):
    """A flash of one to three frames."""
    gain, offset = rng.uniform(0.8, 2.2), rng.uniform(20, 150)
    for i in range(at, at + int(rng.integers(1, 4))):
        pictures[i] = pictures[i] * gain + offset


def dissolve(before, after):
    shares = np.linspace(0, 1, len(before))
    return [a * (1 - s) + b * s for a, b, s in zip(before, after, shares, strict=True)]


def cuts_found(pictures, rng):
    """Indices of the frames before which a cut was seen, with a little noise on everything."""

    def frames():
        for i, picture in enumerate(pictures):
            luma = np.clip(picture + rng.normal(0, 1.5, picture.shape), 0, 255).astype(np.uint8)
            yield Frame(
                planes=(luma, NEUTRAL, NEUTRAL),
                pts_seconds=Fraction(i, 24),
                duration_seconds=Fraction(1, 24),
                color=COLOR,
            )

    return {i for i, (_, change) in enumerate(changes(frames())) if change == "cut" and i}


def test_hard_cuts_are_found_among_dissolves_fades_and_flashes_and_nothing_else():
    rng = np.random.default_rng(0)
    pictures, cuts = [], set()
    for scene in range(60):
        if pictures:
            cuts.add(len(pictures))
        speed = int(rng.integers(0, 6))
        frames = int(rng.choice([4, 10, 16]))
        added = shot(scene, frames, speed=speed)
        if scene % 4 == 1:
            added += dissolve(
                shot(scene, 8, speed=speed, start=frames), shot(scene + 500, 8, speed=speed)
            )
        if scene % 4 == 2 and frames > 4:
            light(added, int(rng.integers(1, frames - 4)), rng)
        if scene % 4 == 3:
            added += [
                picture * (1 - share) + 16 * share
                for share, picture in zip(
                    np.linspace(0, 1, 8), shot(scene, 8, speed=speed, start=frames), strict=True
                )
            ]
        pictures += added
    found = cuts_found(pictures, rng)
    from_black = {cut for cut in cuts if pictures[cut - 1].std() == 0}  # no two scenes meet there
    found, cuts = found - from_black, cuts - from_black
    assert len(found & cuts) / len(cuts) >= 0.97
    assert len(found & cuts) / len(found) >= 0.97


def test_ten_minutes_of_pans_and_flashes_have_one_cut_at_most():
    rng = np.random.default_rng(1)
    found = 0
    for scene in range(60):  # of ten seconds, at five frames a second
        pictures = shot(scene, 50, speed=int(rng.integers(0, 9)))
        for at in (2, 18, 34):
            light(pictures, at + int(rng.integers(0, 10)), rng)
        found += len(cuts_found(pictures, rng))
    assert found <= 1


def test_a_flash_into_another_scene_is_a_cut():
    white = [np.full(SIZE[::-1], 235, np.float32)]
    pictures = shot(0, 4, speed=2) + white + shot(1, 6, speed=2)
    found = cuts_found(pictures, np.random.default_rng(0))
    assert found
    assert found <= {4, 5}
