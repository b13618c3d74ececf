from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.data.footage import texture
from vfimamba_cli.data.clips import make_clip
from vfimamba_cli.data.rendering import MOMENTS, LayerPath, exposures, render
from vfimamba_cli.data.synthetic import SyntheticRules, SyntheticScenes, spread

CPU = torch.device("cpu")
CROP = 64


def path(*, center=(0.0, 0.0), shift=(0.0, 0.0), tilt=(0.0, 0.0), turn=0.0, growth=0.0, half):
    pairs = {"center": center, "shift": shift, "tilt": tilt, "tilting": (0.0, 0.0)}
    numbers = {"angle": 0.0, "turn": turn, "growth": growth, "half": half}
    return LayerPath(**{name: np.array([value]) for name, value in (pairs | numbers).items()})


def rendered(behind, front, times, shutter=0.0):
    """Pictures (P, 3, CROP, CROP): a smooth background, a white soft disk in front."""
    background = torch.from_numpy(texture(np.random.default_rng(0), 256, 256, cell=32))
    axis = torch.linspace(-1, 1, 64)
    disk = (3 * (0.7 - torch.hypot(axis[:, None], axis))).clamp(0, 1).expand(1, 1, 4, 64, 64)
    moments, places = exposures(np.array(times, float)[:, None], np.array([shutter]))
    return render(
        background.permute(2, 0, 1)[None] / 255,
        disk,
        torch.from_numpy(spread(behind, 1).homographies(moments, CROP, places)),
        torch.from_numpy(spread(front, 1).homographies(moments, CROP, places))[:, :, :, None],
        CROP,
    )[0]


def scenes_of(rng, **rules):
    photo = make_clip("photo", texture(rng, 200, 300)[None], CPU, CPU)
    return SyntheticScenes((photo,), SyntheticRules(crop=CROP, **rules))


def drawn(scenes, times):
    return [
        replace(scenes.draw(np.random.default_rng(i)), t=t, shutter=0.0)
        for i, t in enumerate(times)
    ]


AWAY = path(center=(500.0, 0.0), half=10.0)


def test_the_background_moves_steadily():
    moving = path(shift=(8.0, -16.0), half=80.0)
    first, middle, second = rendered(moving, AWAY, [0, 0.5, 1])
    torch.testing.assert_close(middle[:, :-8, 4:], first[:, 8:, :-4], rtol=0, atol=1e-4)
    torch.testing.assert_close(second[:, :-16, 8:], first[:, 16:, :-8], rtol=0, atol=1e-4)


@pytest.mark.parametrize("t", [0.25, 0.5, 0.8])
def test_a_layer_is_where_its_velocity_takes_it(t):
    still, disk = path(half=80.0), path(center=(-2.0, 3.0), shift=(20.0, -10.0), half=12.0)
    seen = rendered(still, disk, [t])[0] - rendered(still, AWAY, [t])[0]
    weight = seen.mean(0).abs()
    weight = weight / weight.sum()
    position = torch.arange(CROP) - (CROP - 1) / 2
    shadow = rendered(still, replace(disk, shift=disk.shift * 0), [t])[0]
    rest = (shadow - rendered(still, AWAY, [t])[0]).mean(0).abs()
    rest = rest / rest.sum()
    moved_x = ((weight.sum(0) - rest.sum(0)) * position).sum().item()
    moved_y = ((weight.sum(1) - rest.sum(1)) * position).sum().item()
    assert (moved_x, moved_y) == pytest.approx((20 * (t - 0.5), -10 * (t - 0.5)), abs=0.8)


def test_turning_and_growing_are_halfway_at_half_time():
    times = np.array([0.0, 0.5, 1.0])
    whole = path(turn=0.2, growth=0.1, half=80.0).homographies(times, CROP)
    scale = np.linalg.norm(whole[:, 0, :2], axis=1)
    angle = np.arctan2(whole[:, 0, 1], whole[:, 0, 0])
    np.testing.assert_allclose(angle, [-0.1, 0, 0.1], atol=1e-6)
    np.testing.assert_allclose(scale / scale[1], np.exp([0.05, 0, -0.05]), rtol=1e-5)


def test_a_tilted_plane_is_larger_where_it_is_nearer():
    tilted = path(tilt=(0.2, 0.0), half=80.0).homographies(np.array([0.5]), CROP)[0]

    def texel(x):
        u, _, w = tilted @ (x, 0, 1)
        return u / w

    right, left = texel(0.8) - texel(0.6), texel(-0.6) - texel(-0.8)
    assert right < texel(0.1) - texel(-0.1) < left, "a step of the picture spans fewer texels"


def test_an_exposure_is_the_mean_of_what_moves_by():
    moving, flat = path(shift=(32.0, 0.0), half=80.0), AWAY
    sharp = rendered(moving, flat, [0.5])[0]
    blurred = rendered(moving, flat, [0.5], shutter=0.25)[0]
    instants = [rendered(moving, flat, [0.5 + 0.25 * m])[0] for m in MOMENTS]
    torch.testing.assert_close(blurred, torch.stack(instants).mean(0), rtol=0, atol=0.02)
    along = (blurred[..., 1:] - blurred[..., :-1]).abs().mean()
    assert along < 0.95 * (sharp[..., 1:] - sharp[..., :-1]).abs().mean()


def test_the_in_between_at_the_ends_is_the_end():
    scenes = scenes_of(np.random.default_rng(1))
    pictures = scenes.make(drawn(scenes, [0.0, 1.0, 0.5]), CPU)
    assert pictures.shape == (3, 3, 3, CROP, CROP)
    torch.testing.assert_close(pictures[0, 1], pictures[0, 0], rtol=0, atol=1e-5)
    torch.testing.assert_close(pictures[1, 1], pictures[1, 2], rtol=0, atol=1e-5)
    assert (pictures[2, 1] - pictures[2, 0]).abs().max() > 0.01


def test_a_scene_looks_the_same_whatever_is_rendered_with_it():
    scenes = scenes_of(np.random.default_rng(1))
    together = drawn(scenes, [0.3, 0.6, 0.5])
    alone = torch.cat([scenes.make([scene], CPU) for scene in together])
    torch.testing.assert_close(scenes.make(together, CPU), alone, rtol=0, atol=1e-5)


def test_pictures_stay_in_range_and_show_no_black_border():
    scenes = scenes_of(np.random.default_rng(1), displacement=(40.0, 48.0), blurred=1.0)
    chosen = [scenes.draw(np.random.default_rng(i)) for i in range(4)]
    assert all(0 < scene.shutter <= 6 / 40 for scene in chosen)
    pictures = scenes.make(chosen, CPU)
    assert pictures.min() >= -1e-5
    assert pictures.max() <= 1 + 1e-5
    assert pictures[..., 0].mean() > 0.2
