"""The CUDA C++ of the direct convolutions against PyTorch's, on the processor."""

import pytest
import torch
from torch.nn import functional as F

from tests.ops.host_kernels import import_with_host_kernels, needs_compiler

TOLERANCE = {torch.float16: 2e-3, torch.bfloat16: 1.6e-2}
FOLDER = "vfimamba_cli.ops.fused"

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def direct(tmp_path_factory):
    """The module that launches the kernels, on a GPU of two processors."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("direct")
        names = (f"{FOLDER}.direct_cuts", f"{FOLDER}.direct")
        _, module = import_with_host_kernels(patch, folder, *names)
        patch.setattr(module, "_processors", lambda device: 2)
        yield module


def near(actual, expected):
    assert torch.isfinite(actual).all()
    off = (actual.float() - expected).abs().max() / expected.abs().max()
    assert off.item() <= TOLERANCE[actual.dtype]


@pytest.mark.parametrize(
    ("inputs", "outputs", "stride", "transposed", "dtype"),
    [
        (16, 16, 1, False, torch.float16),
        (24, 32, 2, False, torch.bfloat16),  # half a step of channels
        (64, 64, 1, False, torch.float16),  # channels in chunks, teams of warps
        (64, 8, 1, True, torch.bfloat16),
    ],
)
def test_a_layer_is_pytorchs(direct, inputs, outputs, stride, transposed, dtype):
    torch.manual_seed(0)
    shape = (inputs, outputs, 4, 4) if transposed else (outputs, inputs, 3, 3)
    weight = (torch.randn(shape) / (9 * inputs) ** 0.5).to(dtype)
    bias, slope = torch.randn(outputs), torch.rand(outputs)
    layer = direct.DirectConv(weight, bias, slope, stride=stride, transposed=transposed)
    for size in ((1, 7), (17, 35)):
        x = torch.randn(2, *size, inputs).to(dtype)
        maps = x.float().permute(0, 3, 1, 2)
        if transposed:
            expected = F.conv_transpose2d(maps, weight.float(), bias, stride=2, padding=1)
        else:
            expected = F.conv2d(maps, weight.float(), bias, stride=stride, padding=1)
        near(layer(x), F.prelu(expected, slope).permute(0, 2, 3, 1))


def test_slices_and_sums(direct):
    torch.manual_seed(0)
    weight = (torch.randn(16, 16, 3, 3) / 12).half()
    layer = direct.DirectConv(weight, torch.zeros(16), None)
    wide_in = torch.full((1, 9, 17, 32), 9.0).half()
    wide_in[..., 8:24] = torch.randn(1, 9, 17, 16)
    before = torch.randn(1, 9, 17, 16).half()
    wide, second = torch.full((1, 9, 17, 48), 9.0).half(), torch.full((1, 9, 17, 24), 9.0).half()
    layer(wide_in[..., 8:24], before=before, out=wide[..., 24:40], second=second[..., :16])
    maps = wide_in[..., 8:24].float().permute(0, 3, 1, 2)
    expected = F.conv2d(maps, weight.float(), padding=1).permute(0, 2, 3, 1) + before.float()
    near(wide[..., 24:40], expected)
    assert torch.equal(second[..., :16], wide[..., 24:40])
    assert (wide[..., :24] == 9).all()
    assert (wide[..., 40:] == 9).all()
    assert (second[..., 16:] == 9).all()
