"""Warping and resizing."""

import pytest
import torch

from vfimamba_cli.ops.resize import resize, resize_flow, resize_in_slices
from vfimamba_cli.ops.warp import warp


def test_warp_samples_where_the_flow_points_x_first():
    image = torch.rand(1, 2, 6, 8)
    flow = torch.zeros(1, 2, 6, 8)
    flow[:, 0], flow[:, 1] = 2, 1
    torch.testing.assert_close(warp(image, flow)[..., :-1, :-2], image[..., 1:, 2:])


def test_samples_between_pixels_are_bilinear():
    image = torch.rand(1, 1, 4, 4)
    flow = torch.full((1, 2, 4, 4), 0.5)
    expected = (
        image[..., :-1, :-1] + image[..., 1:, :-1] + image[..., :-1, 1:] + image[..., 1:, 1:]
    ) / 4
    torch.testing.assert_close(warp(image, flow)[..., :-1, :-1], expected)


def test_samples_outside_take_the_edge():
    image = torch.rand(1, 1, 4, 5)
    flow = torch.zeros(1, 2, 4, 5)
    flow[:, 0] = -100
    torch.testing.assert_close(warp(image, flow), image[..., :1].expand_as(image))


@pytest.mark.parametrize("width", [1920, 3840])
def test_half_precision_pictures_are_sampled_at_full_precision_places(width):
    image = torch.linspace(0, 1, width).expand(1, 1, 2, width)
    flow = torch.zeros(1, 2, 2, width)
    flow[:, 0] = 0.25
    exact = warp(image, flow)
    error = (warp(image.half(), flow).float() - exact).abs().max()
    assert error < 2 * 2**-11


def test_resized_flow_stays_in_pixels_of_its_own_size():
    flow = torch.full((1, 4, 8, 8), 6.0)
    torch.testing.assert_close(resize_flow(flow, 0.5), torch.full((1, 4, 4, 4), 3.0))
    torch.testing.assert_close(resize_flow(flow, 2), torch.full((1, 4, 16, 16), 12.0))


def test_resizing_by_half_averages_four_pixels():
    image = torch.rand(1, 1, 4, 6)
    expected = torch.nn.functional.avg_pool2d(image, 2)
    torch.testing.assert_close(resize(image, 0.5), expected)


@pytest.mark.parametrize("scale", [2, 4, 8, 0.5, 0.25, 0.125])
@pytest.mark.parametrize("size", [(8, 16), (24, 8)])
def test_resizing_in_slices_is_resizing(size, scale):
    image = torch.randn(2, 3, *size, requires_grad=True)
    again = image.detach().clone().requires_grad_()
    expected = resize(image, scale)
    actual = resize_in_slices(again, scale)
    torch.testing.assert_close(actual, expected)
    grad = torch.randn_like(expected)
    expected.backward(grad)
    actual.backward(grad)
    torch.testing.assert_close(again.grad, image.grad)
