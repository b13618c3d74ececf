"""Frames between two frames: sizes, times, paths, channel order, precision, errors."""

from fractions import Fraction

import pytest
import torch

import vfimamba_cli.engine.interpolator as module
from vfimamba_cli.engine import paths
from vfimamba_cli.engine.interpolator import Interpolator, auto_flow_scale
from vfimamba_cli.engine.paths import PathOptions
from vfimamba_cli.engine.precision import cast
from vfimamba_cli.errors import DeviceError
from vfimamba_cli.model.config import TINY
from vfimamba_cli.model.interface import Motion
from vfimamba_cli.model.registry import ModelSpec

HALF = [Fraction(1, 2)]


def tiny(**facts):
    return ModelSpec(name="tiny", config=TINY, **{"arbitrary_time": True, **facts}).build()


@pytest.mark.parametrize(("height", "width"), [(1, 1), (17, 33), (32, 48), (50, 31)])
def test_any_size_comes_back_in_its_size(height, width):
    engine = Interpolator(tiny(), device="cpu", scan="chunked")
    out = engine.interpolate(*torch.rand(2, 2, 3, height, width), [0.25, 0.5, 0.75])
    assert out.shape == (3, 2, 3, height, width)
    assert out.dtype == torch.float32
    assert 0 <= out.min() <= out.max() <= 1


def test_what_lies_beyond_black_and_white_in_the_frames_is_kept():
    engine = Interpolator(tiny(), device="cpu", scan="chunked")
    bright = torch.full((1, 3, 32, 32), 1.07)
    made = engine.interpolate(bright, bright, HALF)
    assert 1.05 < made.max() < 1.0701
    dark = torch.full((1, 3, 32, 32), -0.05)
    assert -0.0501 < engine.interpolate(dark, dark, HALF).min() < -0.04


@pytest.mark.parametrize("refine_at", ["flow", "full"])
@pytest.mark.parametrize("flow_scale", [1, 0.5, 0.25])
def test_every_path_takes_a_size_that_needs_padding(flow_scale, refine_at):
    engine = Interpolator(
        tiny(), device="cpu", scan="chunked", flow_scale=flow_scale, refine_at=refine_at, tta=True
    )
    assert engine.interpolate(*torch.rand(2, 1, 3, 70, 90), HALF).shape == (1, 1, 3, 70, 90)


def test_a_checkpoint_trained_on_bgr_is_fed_bgr_and_answers_in_rgb():
    torch.manual_seed(3)
    rgb = tiny()
    bgr = tiny(channel_order="bgr")
    bgr.load_state_dict(rgb.state_dict())
    first, second = torch.rand(2, 1, 3, 32, 32)
    swapped = Interpolator(bgr, device="cpu", scan="chunked").interpolate(
        first.flip(1), second.flip(1), HALF
    )
    plain = Interpolator(rgb, device="cpu", scan="chunked").interpolate(first, second, HALF)
    assert torch.equal(swapped.flip(2), plain)


@pytest.mark.parametrize("tile", [0, 32])
@pytest.mark.parametrize("facts", [{}, {"channel_order": "bgr"}, {"arbitrary_time": False}])
def test_alpha_leaves_the_colors_as_they_are_without_it(facts, tile):
    engine = Interpolator(tiny(**facts), device="cpu", scan="chunked", tile=tile)
    first, second = torch.rand(2, 1, 4, 70, 50)
    made = engine.interpolate(first, second, [0.25, 0.5])
    assert made.shape == (2, 1, 4, 70, 50)
    assert torch.equal(made[:, :, :3], engine.interpolate(first[:, :3], second[:, :3], [0.25, 0.5]))
    assert 0 <= made[:, :, 3].min() <= made[:, :, 3].max() <= 1


def test_alpha_moves_as_the_colors_do(monkeypatch):
    """With a motion that is known: 3 pixels to the right in all, one of them by t = 1/3."""
    flow = torch.tensor([-1.0, 0, 2, 0])[None, :, None, None].expand(1, 4, 64, 64)
    motion = Motion(flow, torch.zeros(1, 1, 64, 64))
    monkeypatch.setattr(paths, "find_motion", lambda *_: motion)
    first = torch.rand(1, 4, 64, 64)
    second = first.roll(3, -1)
    made = Interpolator(tiny(), device="cpu", scan="chunked").interpolate(first, second, [1 / 3])
    inside = (..., slice(4, -4))
    torch.testing.assert_close(made[0, 0, 3][inside], first.roll(1, -1)[0, 3][inside])


def test_midpoint_weights_use_halving_and_others_do_not():
    assert Interpolator(tiny(arbitrary_time=False), device="cpu").schedule == "halving"
    assert Interpolator(tiny(), device="cpu").schedule == "direct"


def test_halving_feeds_made_frames_back():
    engine = Interpolator(tiny(arbitrary_time=False), device="cpu", scan="chunked")
    first, second = torch.rand(2, 1, 3, 32, 32)
    quarter, half = engine.interpolate(first, second, [0.25, 0.5])
    assert torch.equal(engine.interpolate(first, half, HALF)[0], quarter)


def test_the_model_given_is_not_changed():
    model = tiny()
    model.train()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    Interpolator(model, device="cpu", dtype=torch.bfloat16)
    assert model.training
    assert all(p.requires_grad and p.dtype == torch.float32 for p in model.parameters())
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_decay_and_norms_stay_fp32_in_a_half_precision_network():
    network = cast(tiny(), torch.float16)
    kept = {name for name, p in network.named_parameters() if p.dtype == torch.float32}
    block = "backbone.stages.3.blocks.0"
    assert {f"{block}.mixer.A_logs", f"{block}.mixer.Ds", f"{block}.ln_1.weight"} <= kept
    assert f"{block}.mixer.in_proj.weight" not in kept
    assert "unet.conv.weight" not in kept


def test_bfloat16_is_close_to_fp32():
    model = tiny()
    first, second = torch.rand(2, 1, 3, 48, 48)
    exact, rounded = (
        Interpolator(model, device="cpu", scan="chunked", dtype=dtype).interpolate(
            first, second, HALF
        )
        for dtype in (torch.float32, torch.bfloat16)
    )
    assert 0 < (exact - rounded).abs().mean() < 0.05


@pytest.mark.parametrize(
    ("height", "width", "scale"),
    [(720, 1280, 1), (1281, 720, 0.5), (1440, 2560, 0.5), (2160, 3840, 0.25)],
)
def test_larger_frames_find_motion_at_a_smaller_size(height, width, scale):
    assert auto_flow_scale(height, width) == scale


@pytest.mark.parametrize(
    ("shapes", "times", "message"),
    [
        (((1, 3, 8, 8), (1, 3, 8, 9)), [0.5], "one shape"),
        (((1, 1, 8, 8), (1, 1, 8, 8)), [0.5], r"\(B, 3 or 4, H, W\)"),
        (((1, 3, 8, 8), (1, 3, 8, 8)), [], "at least one"),
        (((1, 3, 8, 8), (1, 3, 8, 8)), [1.0], r"lie in \(0, 1\)"),
    ],
)
def test_input_that_makes_no_sense_is_refused(shapes, times, message):
    engine = Interpolator(tiny(), device="cpu", scan="chunked")
    with pytest.raises(ValueError, match=message):
        engine.interpolate(*(torch.rand(s) for s in shapes), times)


def test_options_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match="flow_scale"):
        PathOptions(flow_scale=0.3)
    with pytest.raises(ValueError, match="refine_at"):
        PathOptions(refine_at="half")


CPU_ALLOCATOR = RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 20 GiB")


def out_of_memory_above(largest, tried, error):
    def predict(_, frames, times, options, __):
        for time in times:
            tried.append((options.tile, time))
            if time == 0.5 and (options.tile is None or options.tile > largest):
                raise error
            yield frames[0]

    return predict


@pytest.mark.parametrize("error", [torch.OutOfMemoryError("no"), CPU_ALLOCATOR, MemoryError("no")])
def test_out_of_memory_makes_the_tiles_smaller_for_good_and_says_so(monkeypatch, error):
    tried, said = [], []
    monkeypatch.setattr(module, "predict", out_of_memory_above(1024, tried, error))
    engine = Interpolator(tiny(), device="cpu", scan="chunked", announce=said.append)
    for _ in range(2):
        made = engine.interpolate(*torch.rand(2, 1, 3, 6, 8), [0.25, 0.5, 0.75])
        assert len(made) == 3
    assert tried == [
        *[(None, 0.25), (None, 0.5), (2048, 0.5), (1024, 0.5), (1024, 0.75)],
        *[(1024, 0.25), (1024, 0.5), (1024, 0.75)],
    ]
    assert said == ["memory: tiles of 2048 pixels", "memory: tiles of 1024 pixels"]


@pytest.mark.parametrize(("tile", "smallest"), [(0, 256), (96, 96)])
def test_too_little_memory_says_for_what_and_what_to_do(monkeypatch, tile, smallest):
    monkeypatch.setattr(module, "predict", out_of_memory_above(0, [], CPU_ALLOCATOR))
    engine = Interpolator(tiny(), device="cpu", scan="chunked", tile=tile)
    message = f"frames of 8x6 in tiles of {smallest} pixels: DefaultCPUAllocator"
    with pytest.raises(DeviceError, match=message) as caught:
        engine.interpolate(*torch.rand(2, 1, 3, 6, 8), HALF)
    assert "--device cpu" in caught.value.hint


def test_other_failures_are_not_taken_for_lack_of_memory(monkeypatch):
    monkeypatch.setattr(module, "predict", out_of_memory_above(0, [], RuntimeError("bad shape")))
    engine = Interpolator(tiny(), device="cpu", scan="chunked")
    with pytest.raises(RuntimeError, match="bad shape"):
        engine.interpolate(*torch.rand(2, 1, 3, 6, 8), HALF)


def test_frames_are_made_one_at_a_time(monkeypatch):
    tried = []
    monkeypatch.setattr(module, "predict", out_of_memory_above(9999, tried, CPU_ALLOCATOR))
    engine = Interpolator(tiny(), device="cpu", scan="chunked")
    made = engine.between(*torch.rand(2, 1, 3, 6, 8), [0.25, 0.75])
    next(made)
    assert tried == [(None, 0.25)]
    next(made)
    assert tried == [(None, 0.25), (None, 0.75)]


def test_a_forced_tile_changes_nothing_but_the_memory():
    model = tiny()
    frames = torch.rand(2, 1, 3, 130, 170)
    whole = Interpolator(model, device="cpu", scan="chunked").interpolate(*frames, HALF)
    tiled = Interpolator(model, device="cpu", scan="chunked", tile=64).interpolate(*frames, HALF)
    torch.testing.assert_close(tiled, whole, rtol=0, atol=1e-4)


@pytest.mark.gpu
def test_fp16_on_a_gpu_is_close_to_fp32_on_the_cpu():
    model = tiny()
    first, second = torch.rand(2, 1, 3, 96, 128)
    exact = Interpolator(model, device="cpu").interpolate(first, second, [0.25, 0.5])
    fast = Interpolator(model, device="cuda").interpolate(first, second, [0.25, 0.5])
    assert (exact - fast.cpu()).abs().mean() < 2e-3


class Means:
    """Stands in for recorded graphs: reads frames where the first pair's were, as they do."""

    frames = None
    options = PathOptions()

    def held(self, *_):
        return None if self.frames is None else self

    def forget(self):
        self.frames = None

    def predict_once(self, frames, times, _):
        if self.frames is None:
            self.frames = frames
        elif frames is not self.frames:
            self.frames.copy_(frames)
        for _ in times:
            yield self.frames.mean(0)


def test_halving_does_not_write_over_the_frames_it_still_needs():
    engine = Interpolator(tiny(), device="cpu", scan="chunked", schedule="halving")
    engine.graphs = Means()
    for first, second in torch.rand(3, 2, 1, 3, 16, 16):
        made = engine.interpolate(first, second, [Fraction(i, 8) for i in range(1, 8)])
        for i, picture in enumerate(made, start=1):
            torch.testing.assert_close(picture, torch.lerp(first, second, i / 8))


def test_memory_that_runs_out_with_a_recording_held_makes_the_tiles_smaller(monkeypatch):
    said = []
    engine = Interpolator(tiny(), device="cpu", scan="chunked", announce=said.append)
    engine.graphs = Means()
    frames = torch.rand(2, 1, 3, 16, 16)
    expected = engine.interpolate(*frames, HALF)  # recorded now
    fails = iter([True, False])
    reorder = engine.reorder

    def prepare(first, second, padding, options):
        if next(fails):
            raise torch.OutOfMemoryError("another program took it")
        return torch.stack((reorder(first), reorder(second)))

    monkeypatch.setattr(engine, "prepare", prepare)
    torch.testing.assert_close(engine.interpolate(*frames, HALF), expected)
    assert said == ["memory: tiles of 2048 pixels"]
