import numpy as np
import pytest
import torch

from vfimamba_cli.model.interface import Prediction
from vfimamba_cli.train.losses import LEVELS, interpolation_loss, laplacian_distance

BINOMIAL = np.array([1, 4, 6, 4, 1]) / 16


def slow_halve(plane):
    height, width = plane.shape
    out = np.zeros(((height + 1) // 2, (width + 1) // 2))
    for y, x in np.ndindex(*out.shape):
        for dy in range(5):
            for dx in range(5):
                row = min(max(2 * y + dy - 2, 0), height - 1)
                column = min(max(2 * x + dx - 2, 0), width - 1)
                out[y, x] += BINOMIAL[dy] * BINOMIAL[dx] * plane[row, column]
    return out


def slow_enlarge(plane, height, width):
    def places(size, small):
        at = ((np.arange(size) + 0.5) * small / size - 0.5).clip(0, small - 1)
        low = at.astype(int)
        return low, np.minimum(low + 1, small - 1), at - low

    y0, y1, fy = places(height, plane.shape[0])
    x0, x1, fx = places(width, plane.shape[1])
    rows = plane[y0] * (1 - fy)[:, None] + plane[y1] * fy[:, None]
    return rows[:, x0] * (1 - fx) + rows[:, x1] * fx


def slow_distance(plane):
    total = 0.0
    for _ in range(LEVELS):
        smaller = slow_halve(plane)
        total += np.abs(plane - slow_enlarge(smaller, *plane.shape)).mean()
        plane = smaller
    return total + np.abs(plane).mean()


@pytest.mark.parametrize(("height", "width"), [(32, 32), (20, 35)])
def test_the_distance_is_that_of_a_pyramid_built_pixel_by_pixel(height, width):
    difference = np.random.default_rng(0).normal(size=(2, 1, height, width))
    ours = laplacian_distance(torch.from_numpy(difference).float())
    expected = [slow_distance(plane[0]) for plane in difference]
    np.testing.assert_allclose(ours.numpy(), expected, rtol=1e-5)


def test_equal_pictures_have_no_loss_and_a_shift_of_brightness_has():
    target = torch.rand(2, 3, 32, 32)
    assert interpolation_loss(Prediction(target, (target, target)), target) == 0
    assert laplacian_distance(torch.full((1, 3, 32, 32), 0.1)).item() == pytest.approx(0.1)


def test_each_merge_counts_half():
    target, off = torch.zeros(2, 3, 32, 32), torch.full((2, 3, 32, 32), 0.1)
    loss = interpolation_loss(Prediction(off, (off, target, off)), target)
    assert loss.item() == pytest.approx(0.1 + 2 * 0.5 * 0.1)
