"""The first two convolutions in one kernel against PyTorch's. It runs only on a GPU."""

import importlib.util
from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional as F

if importlib.util.find_spec("cuda") is None:
    pytest.skip(
        "cuda-bindings is not installed: the first convolutions are NOT tested here",
        allow_module_level=True,
    )

from vfimamba_cli.ops import nvrtc
from vfimamba_cli.ops.fused import stem

SIZES = [(1, 1), (1, 9), (9, 1), (7, 5), (17, 33), (40, 70), (130, 190)]
TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
BLOCKS = {"H100": 227, "A100": 163, "RTX": 99}  # KB of shared memory that a block can have


@dataclass
class Case:
    frames: torch.Tensor
    layers: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]

    def run(self, **options):
        return stem.StemConv(*self.layers[0], *self.layers[1])(self.frames, **options)

    def reference(self):
        x = self.frames.flatten(0, 1)
        for weight, bias, slope in self.layers:
            x = F.conv2d(x.to(weight.dtype).float(), weight.float(), bias, padding=1)
            x = F.prelu(x, slope)
        return x.permute(0, 2, 3, 1)


def case(channels, *, size=(40, 70), batch=1, dtype=torch.float16):
    generator = torch.Generator("cuda").manual_seed(0)

    def layer(inputs):
        def normal(*shape):
            return torch.randn(shape, generator=generator, device="cuda")

        weight = normal(channels, inputs, 3, 3) / (9 * inputs) ** 0.5
        return weight.to(dtype), normal(channels), normal(channels)

    frames = torch.rand(2, batch, 3, *size, generator=generator, device="cuda")
    return Case(frames, [layer(3), layer(channels)])


def assert_near(actual, expected, dtype=torch.float16):
    assert actual.dtype == dtype
    assert torch.isfinite(actual).all()
    off = (actual.float() - expected).abs().max() / expected.abs().max()
    assert off.item() <= TOLERANCE[dtype]


@pytest.fixture(autouse=True)
def _exact_reference(monkeypatch):
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize("channels", stem.CHANNELS)
def test_result_is_the_reference(channels, dtype):
    for size in SIZES:
        both = case(channels, size=size, batch=2, dtype=dtype)
        assert_near(both.run(), both.reference(), dtype)


@pytest.mark.gpu
@pytest.mark.parametrize("channels", stem.CHANNELS)
@pytest.mark.parametrize(
    "options",
    [{"rows": 2}, {"passes": 1, "down": 3}, {"across": 1, "blocks": 1}, {"across": 3}],
)
def test_cut_changes_nothing(channels, options):
    both = case(channels, size=(50, 150))
    cut = stem.StemCut(**{"across": 2} | options)
    assert torch.equal(both.run(cut=cut), both.run())


@pytest.mark.gpu
@pytest.mark.parametrize("channels", stem.CHANNELS)
@pytest.mark.parametrize("limit", BLOCKS.values(), ids=BLOCKS)
def test_cut_for_less_memory_changes_nothing(channels, limit):
    both = case(channels, size=(50, 150))
    cut = stem.StemCut.for_channels(channels, limit * 1024)
    assert torch.equal(both.run(cut=cut), both.run())


@pytest.mark.gpu
def test_frames_may_be_views_of_others():
    both = case(16, batch=2)
    expected = both.run()
    wide = torch.full((2, 6, 43, 75), torch.nan, device="cuda")
    view = wide[:, :, 1:41, 3:73].unflatten(1, (2, 3)).transpose(0, 1)
    view.copy_(both.frames)
    both.frames = view
    assert torch.equal(both.run(), expected)


@pytest.mark.gpu
def test_runs_in_a_graph():
    both = case(16)
    expected = both.run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = both.run()
    both.frames.mul_(0.5)
    graph.replay()
    assert torch.equal(y, both.run())
    assert not torch.equal(y, expected)


@pytest.mark.parametrize("change", [lambda x: x.transpose(3, 4), lambda x: x.half()])
def test_frames_laid_out_otherwise_are_refused(change):
    layers = [(torch.zeros(16, n, 3, 3).half(), torch.zeros(16), torch.zeros(16)) for n in (3, 16)]
    with pytest.raises(ValueError, match="frames are"):
        Case(change(torch.zeros(2, 1, 3, 4, 5)), layers).run()


def test_other_channels_are_refused():
    with pytest.raises(ValueError, match="not 16 or 32"):
        stem.StemConv(
            torch.zeros(24, 3, 3, 3), *torch.zeros(2, 24), torch.zeros(24, 24, 3, 3),
            *torch.zeros(2, 24),
        )  # fmt: skip


@pytest.mark.parametrize("limit", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize("channels", stem.CHANNELS)
def test_every_gpu_has_a_cut(channels, limit):
    assert stem.StemCut.for_channels(channels, limit * 1024).fits(channels, limit * 1024)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_120"])
@pytest.mark.parametrize("kind", stem.TYPES.values(), ids=["fp16", "bf16"])
@pytest.mark.parametrize("channels", stem.CHANNELS)
def test_kernel_compiles(channels, kind, architecture):
    cut = stem.StemCut.for_channels(channels, BLOCKS["RTX"] * 1024)
    assert nvrtc.compiled(stem.SOURCE, cut.defines(channels, kind), architecture)


def test_first_weights_lie_as_a_warp_multiplies_by_them():
    weight = torch.arange(16 * 27).reshape(16, 3, 3, 3) + 1
    zeros = torch.zeros(16)
    packed, _ = stem.StemConv(
        weight, zeros, zeros, weight.new_zeros(16, 16, 3, 3), zeros, zeros
    ).weights
    packed = packed.reshape(3, 32, 2, 2, 2)  # row, lane, unit, pair of channels, channel
    for row, lane, unit in [(0, 0, 0), (1, 13, 1), (2, 30, 0), (0, 31, 1)]:
        n, column = lane // 4, lane % 4
        output = n // 2 * 4 + unit * 2 + n % 2
        expected = torch.zeros(4, dtype=weight.dtype)
        if column < 3:
            expected[:3] = weight[output, :, row, column]
        assert packed[row, lane, unit].flatten().tolist() == expected.tolist()
