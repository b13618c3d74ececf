"""Tiles cover the frame once and change nothing."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from vfimamba_cli.engine.paths import PathOptions, predict
from vfimamba_cli.engine.tiling import encode, plan_tiles, synthesize
from vfimamba_cli.model.config import TINY
from vfimamba_cli.model.interface import Motion, Region
from vfimamba_cli.model.registry import ModelSpec


@given(st.integers(1, 40), st.integers(1, 40), st.integers(1, 300), st.integers(0, 5))
def test_every_pixel_is_kept_once_and_comes_with_its_halo(rows, columns, tile, halo):
    height, width, halo = 16 * rows, 16 * columns, 16 * halo
    kept = torch.zeros(height, width)
    for part in plan_tiles(height, width, tile, halo=halo, align=16):
        part.inner.of(kept).add_(1)
        inner, outer = part.inner, part.outer
        assert all(v % 16 == 0 for r in (inner, outer) for v in (r.top, r.left, r.height, r.width))
        assert outer.top == max(inner.top - halo, 0)
        assert outer.left == max(inner.left - halo, 0)
        assert outer.top + outer.height == min(inner.top + inner.height + halo, height)
        assert outer.left + outer.width == min(inner.left + inner.width + halo, width)
    assert bool((kept == 1).all())


def test_sizes_that_cannot_be_aligned_are_refused():
    with pytest.raises(ValueError, match="not multiples of 16"):
        plan_tiles(40, 32, 32, halo=16, align=16)


def test_a_region_is_the_same_part_on_every_level():
    image = torch.rand(1, 64, 96)
    region = Region(16, 32, 32, 48)
    half = image[..., ::2, ::2]
    assert torch.equal(region.of(half, 1), region.of(image)[..., ::2, ::2])


@pytest.fixture(scope="module")
def pair():
    """A network, two frames, and motion that points far beyond any tile and its halo."""
    torch.manual_seed(1)
    network = ModelSpec(name="tiny", config=TINY, arbitrary_time=True).build().eval()
    frames = torch.nn.functional.interpolate(torch.rand(2, 3, 28, 36), scale_factor=8)[:, None]
    flow = torch.nn.functional.interpolate(200 * torch.randn(1, 4, 7, 9), scale_factor=32)
    return network, frames, Motion(flow, torch.randn(1, 1, 224, 288))


@pytest.mark.parametrize("tile", [48, 100, 128])
@pytest.mark.parametrize("flow_scale", [1, 0.5])
@torch.inference_mode()
def test_tiled_is_untiled(pair, tile, flow_scale):
    network, frames, _ = pair
    frames = frames[..., :192, :]
    whole = next(predict(network, frames, [0.5], PathOptions(flow_scale=flow_scale)))
    options = PathOptions(flow_scale=flow_scale, tile=tile)
    tiled = next(predict(network, frames, [0.5], options))
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-5)


@torch.inference_mode()
def test_motion_may_point_beyond_the_tile_and_its_halo(pair):
    network, frames, motion = pair
    features = network.encode(frames)
    whole = synthesize(network, frames, features, motion, None)
    tiled = synthesize(network, frames, features, motion, 64)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)


@torch.inference_mode()
def test_the_halos_are_needed_and_wide_enough(pair, monkeypatch):
    network, frames, motion = pair
    whole = network.encode_shallow(frames)
    for i, level in enumerate(encode(network, frames, 64)[:3]):
        torch.testing.assert_close(level, whole[i], rtol=0, atol=1e-5)
    features = network.encode(frames)
    picture = synthesize(network, frames, features, motion, None)
    monkeypatch.setattr(type(network), "encode_halo", 0)
    monkeypatch.setattr(type(network), "synthesis_halo", 48)
    assert (encode(network, frames, 64)[2] - whole[2]).abs().max() > 1e-3
    assert (synthesize(network, frames, features, motion, 64) - picture).abs().max() > 1e-4
