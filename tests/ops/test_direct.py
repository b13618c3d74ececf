"""The direct convolutions against PyTorch's. Their kernels run only on a GPU."""

import importlib.util
from dataclasses import dataclass

import pytest
import torch
from torch.nn import functional as F

if importlib.util.find_spec("cuda") is None:
    pytest.skip(
        "cuda-bindings is not installed: the direct convolutions are NOT tested here",
        allow_module_level=True,
    )

from vfimamba_cli.ops import nvrtc
from vfimamba_cli.ops.fused import direct, direct_cuts

SIZES = [(1, 1), (1, 7), (7, 1), (17, 33), (40, 41)]
LAYERS = [(16, 16, 1), (16, 32, 2), (24, 32, 2), (32, 32, 1), (40, 64, 1), (64, 64, 1), (56, 64, 2)]
TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
BLOCKS = {"H100": 227, "A100": 163, "RTX": 99}  # KB of shared memory that a block can have


@dataclass
class Case:
    x: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor
    slope: torch.Tensor
    stride: int = 1
    transposed: bool = False

    def run(self, *, kept=None, **options):
        weight, bias, slope = self.weight, self.bias, self.slope
        conv = direct.DirectConv(
            weight, bias, slope, stride=self.stride, transposed=self.transposed, kept=kept
        )
        return conv(self.x, **options)

    def reference(self):
        x, weight = self.x.float().permute(0, 3, 1, 2), self.weight.float()
        if self.transposed:
            y = F.conv_transpose2d(x, weight, self.bias, stride=2, padding=1)
        else:
            y = F.conv2d(x, weight, self.bias, stride=self.stride, padding=1)
        return F.prelu(y, self.slope).permute(0, 2, 3, 1)


def case(inputs, outputs, *, size=(17, 33), stride=1, transposed=False, dtype=torch.float16):
    generator = torch.Generator("cuda").manual_seed(0)

    def normal(*shape):
        return torch.randn(shape, generator=generator, device="cuda")

    shape = (inputs, outputs, 4, 4) if transposed else (outputs, inputs, 3, 3)
    weight = normal(*shape) / (9 * inputs) ** 0.5
    x = normal(2, *size, inputs).to(dtype)
    slope = torch.rand(outputs, generator=generator, device="cuda")
    return Case(x, weight.to(dtype), normal(outputs), slope, stride, transposed)


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
@pytest.mark.parametrize(("inputs", "outputs", "stride"), LAYERS)
def test_result_is_the_reference(inputs, outputs, stride, dtype):
    for size in SIZES:
        layer = case(inputs, outputs, size=size, stride=stride, dtype=dtype)
        assert_near(layer.run(), layer.reference(), dtype)


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", TOLERANCE)
@pytest.mark.parametrize(("inputs", "outputs"), [(128, 32), (64, 8), (64, 64)])
def test_transposed_is_the_reference(inputs, outputs, dtype):
    for size in SIZES:
        layer = case(inputs, outputs, size=size, transposed=True, dtype=dtype)
        assert_near(layer.run(), layer.reference(), dtype)


@pytest.mark.gpu
@pytest.mark.parametrize("limit", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize(
    ("inputs", "outputs", "stride", "transposed"),
    [(64, 64, 1, False), (56, 64, 2, False), (32, 8, 1, False), (128, 32, 1, True)],
)
def test_cut_for_less_memory_changes_nothing(inputs, outputs, stride, transposed, limit):
    shape = direct_cuts.Layer(
        inputs=inputs, outputs=outputs, kept=outputs, stride=stride, transposed=transposed
    )
    layer = case(inputs, outputs, size=(40, 100), stride=stride, transposed=transposed)
    cut = direct_cuts.Cut.for_layer(shape, limit * 1024)
    assert_near(layer.run(cut=cut), layer.reference())


@pytest.mark.gpu
@pytest.mark.parametrize("transposed", [False, True])
def test_slices_and_sums(transposed):
    layer = case(64, 64, transposed=transposed)
    expected = layer.reference()
    wide_in = torch.full((2, 17, 33, 80), 9.0, device="cuda", dtype=torch.float16)
    wide_in[..., 8:72] = layer.x
    layer.x = wide_in[..., 8:72]
    before = torch.randn(expected.shape, device="cuda").half()
    wide = torch.full((*expected.shape[:3], 160), 9.0, device="cuda", dtype=torch.float16)
    second = torch.full((*expected.shape[:3], 96), 9.0, device="cuda", dtype=torch.float16)
    layer.run(before=before, out=wide[..., 88:152], second=second[..., :64])
    assert_near(wide[..., 88:152], expected + before.float())
    assert torch.equal(second[..., :64], wide[..., 88:152])
    assert (wide[..., :88] == 9).all()
    assert (wide[..., 152:] == 9).all()
    assert (second[..., 64:] == 9).all()


@pytest.mark.gpu
@pytest.mark.parametrize(("inputs", "outputs", "kept"), [(32, 3, 4), (32, 5, 8), (18, 32, 32)])
def test_channels_are_padded(inputs, outputs, kept):
    layer = case(inputs, outputs)
    expected = F.pad(layer.reference(), (0, kept - outputs))
    layer.x = F.pad(layer.x, (0, -inputs % 8))
    y = layer.run(kept=kept)
    assert y.shape == (2, 17, 33, kept)
    assert_near(y, expected)


@pytest.mark.gpu
def test_runs_in_a_graph():
    layer = case(16, 16)
    expected = layer.run()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        y = layer.run()
    layer.x.mul_(2)
    graph.replay()
    assert torch.equal(y, layer.run())
    assert not torch.equal(y, expected)


@pytest.mark.gpu
def test_tensors_laid_out_otherwise_are_refused():
    layer = case(16, 16)
    layer.x = layer.x.transpose(1, 2)
    with pytest.raises(ValueError, match="not pixel after pixel"):
        layer.run()


@pytest.mark.parametrize("limit", BLOCKS.values(), ids=BLOCKS)
@pytest.mark.parametrize(("inputs", "outputs", "stride"), [*LAYERS, (64, 8, 1), (32, 8, 1)])
def test_every_layer_fits_every_gpu(inputs, outputs, stride, limit):
    layer = direct_cuts.Layer(inputs=inputs, outputs=outputs, kept=outputs, stride=stride)
    assert direct_cuts.Cut.for_layer(layer, limit * 1024).fits(layer, limit * 1024)


@pytest.mark.parametrize("architecture", ["sm_80", "sm_90", "sm_120"])
@pytest.mark.parametrize("kind", direct.TYPES.values(), ids=["fp16", "bf16"])
def test_kernel_compiles(architecture, kind):
    layer = direct_cuts.Layer(inputs=24, outputs=32, kept=32, stride=2)
    cut = direct_cuts.Cut.for_layer(layer, BLOCKS["RTX"] * 1024)
    assert nvrtc.compiled(direct.SOURCE, direct_cuts.defines(layer, cut, kind), architecture)


def test_weights_lie_as_a_warp_multiplies_by_them():
    weight = torch.arange(64 * 24 * 9).reshape(64, 24, 3, 3)
    packed = direct.DirectConv(weight, torch.zeros(64), None).weight
    packed = packed.reshape(2, 9, -1)  # groups of 32 outputs, taps
    for group, tap, word, lane in [(0, 0, 0, 0), (1, 4, 5, 13), (0, 8, 7, 31), (1, 2, 2, 6)]:
        column, q = lane // 4, lane % 4
        output = 32 * group + column // 2 * 8 + word // 2 * 2 + column % 2
        first = packed[group, tap, ((word // 4 * 32 + lane) * 4 + word % 4) * 2]
        assert first == weight[output, 8 * (word % 2) + 2 * q, tap // 3, tap % 3]
    last = packed[1, 5, 512 + (22 * 4 + 3) * 2 + 1]  # lane 22, word 3, of the 8 inputs left
    assert last == weight[32 + 5 // 2 * 8 + 3 * 2 + 5 % 2, 16 + 2 * 2 + 1, 1, 2]
