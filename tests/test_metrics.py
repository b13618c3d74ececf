import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from vfimamba_cli.metrics import (
    difference_error,
    flicker,
    psnr,
    psnr_8bit,
    round_8bit,
    ssim_matlab,
    ssim_uniform,
)

GOLDEN = Path(__file__).resolve().parents[1] / "../shared/golden"


@pytest.mark.parametrize("model", ["vfimamba_s", "vfimamba"])
def test_metrics_between_the_golden_pictures_are_the_golden_metrics(model):
    if not GOLDEN.is_dir():
        pytest.skip(f"no golden tensors in {GOLDEN}")
    arrays = np.load(GOLDEN / f"{model}.npz")
    expected = json.loads((GOLDEN / "metrics.json").read_text())
    pairs = [key.split(":")[1:] for key in expected if key.startswith(f"{model}:")]
    assert len(pairs) == 4
    for first, second in pairs:
        a, b = torch.from_numpy(arrays[first]), torch.from_numpy(arrays[second])
        golden = expected[f"{model}:{first}:{second}"]
        assert psnr(a, b).item() == pytest.approx(golden["psnr"], abs=1e-4)
        assert ssim_matlab(a, b).item() == pytest.approx(golden["ssim_matlab"], abs=1e-4)


def test_a_constant_error_has_the_psnr_of_the_textbook():
    truth = torch.full((2, 3, 4, 5), 0.5)
    picture = truth + torch.tensor([0.1, 0.01]).view(2, 1, 1, 1)
    torch.testing.assert_close(
        psnr(picture, truth), torch.tensor([20.0, 40.0], dtype=torch.float64), rtol=0, atol=1e-4
    )


def test_equal_pictures_have_infinite_psnr_and_ssim_one():
    picture = torch.rand(1, 3, 12, 13)
    assert psnr(picture, picture).item() == math.inf
    assert ssim_matlab(picture, picture).item() == pytest.approx(1)


def test_each_picture_of_a_batch_is_measured_for_itself():
    a, b = torch.rand(2, 3, 3, 12, 14)
    for metric in (psnr, ssim_matlab):
        one_by_one = torch.cat([metric(a[i : i + 1], b[i : i + 1]) for i in range(3)])
        torch.testing.assert_close(metric(a, b), one_by_one)


def test_rounding_to_8_bits_clips_and_takes_the_nearest_level():
    values = torch.tensor([-1.0, 0.4 / 255, 0.6 / 255, 254.7 / 255, 2.0])
    assert (round_8bit(values) * 255).round().tolist() == [0, 0, 1, 255, 255]


def test_an_error_below_half_a_level_vanishes_after_rounding():
    truth = torch.randint(0, 256, (1, 3, 8, 8)) / 255
    picture = truth + 0.4 / 255 * torch.sign(torch.randn_like(truth))
    assert psnr(picture, truth).item() < 60
    assert psnr_8bit(picture, truth).item() == math.inf


def wave(height, width, seed):
    """A picture of 8-bit levels by a formula, (1, 3, H, W)."""
    y, x, c = np.ogrid[:height, :width, :3]
    levels = 127.5 + 80 * np.sin(0.37 * x + 0.21 * y + c + seed) + 45 * np.cos(0.9 * x * (seed + 1))
    return torch.from_numpy(levels.round().clip(0, 255)).permute(2, 0, 1)[None] / 255


def test_ssim_with_a_flat_window_is_scikit_images():
    """By scikit-image 0.26: structural_similarity(a, b, channel_axis=2), both uint8."""
    assert ssim_uniform(wave(32, 44, 0), wave(32, 44, 1)).item() == pytest.approx(
        0.28347293649035477, abs=1e-9
    )
    assert ssim_uniform(wave(32, 44, 0), wave(32, 44, 0)).item() == pytest.approx(1)


def test_a_window_larger_than_the_picture_is_no_obstacle():
    a, b = torch.rand(2, 1, 3, 4, 5)
    assert -1 <= ssim_matlab(a, b).item() <= 1


def frames(*levels):
    return [torch.full((1, 3, 4, 4), level / 255) for level in levels]


def test_an_even_change_made_too_slow_by_two_levels_a_frame_has_that_difference_error():
    assert difference_error(frames(0, 3, 6), frames(0, 5, 10)) == pytest.approx(2, abs=1e-4)
    assert difference_error(frames(10, 15, 20), frames(0, 5, 10)) == pytest.approx(0, abs=1e-4)


def test_going_up_and_down_is_flicker_and_an_even_change_is_none():
    even = frames(0, 5, 10, 15)
    assert flicker(even, even) == pytest.approx(0, abs=1e-4)
    assert flicker(frames(0, 7, 10, 17), even) == pytest.approx(4, abs=1e-4)
    assert flicker(even, frames(0, 7, 10, 17)) == pytest.approx(-4, abs=1e-4)
