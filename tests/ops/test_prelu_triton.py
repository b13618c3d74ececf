"""Bias and PReLU in one kernel against PyTorch's; without a GPU it runs in Triton's interpreter."""

import pytest
import torch
import torch.nn.functional as F

from tests.ops.interpreted import ON_GPU, kernels_of, quiet

DEVICE = torch.device("cuda" if ON_GPU else "cpu")
LAST = torch.channels_last

pytestmark = quiet


@pytest.fixture(scope="module")
def kernels():
    """The module under test; its kernels are interpreted where there is no GPU."""
    with kernels_of("its PReLU is") as load:
        yield load("prelu_triton")


def make(size, channels, *, dtype=torch.float32):
    """A map of numbers that have few digits, so that some meet the bias at zero; bias, slope."""
    x = (4 * torch.randn(2, channels, *size)).round() / 4
    bias = (4 * torch.randn(channels)).round() / 4
    slope = torch.randn(channels)
    return x.to(DEVICE, dtype, memory_format=LAST), bias.to(DEVICE), slope.to(DEVICE)


def plain(x, bias, slope):
    """In fp32, whatever the input."""
    return F.prelu(x.float() + bias[:, None, None], slope).to(x.dtype)


def results(function, inputs, grad):
    """The result, and the gradients of all inputs."""
    leaves = [x.clone().requires_grad_() for x in inputs]
    y = function(*leaves)
    return y.detach(), *torch.autograd.grad(y, leaves, grad)


def assert_same(kernels, inputs, grad, *, rounding=1e-6):
    """`rounding` is that of single numbers; sums are fp32's in any case."""
    actual = results(kernels.biased_prelu, inputs, grad)
    expected = results(plain, inputs, grad)
    for ours, truth, error in zip(actual, expected, (rounding, rounding, 1e-5, 1e-5), strict=True):
        assert ours.dtype == truth.dtype
        limit = error * max(1.0, truth.abs().max().item())
        torch.testing.assert_close(ours, truth, rtol=0, atol=limit)
    assert actual[0].is_contiguous(memory_format=LAST)
    assert actual[1].is_contiguous(memory_format=LAST)


@pytest.mark.parametrize(
    ("size", "channels"),
    [((7, 9), 16), ((5, 3), 5), ((4, 6), 24), ((3, 1), 85), ((1, 5), 130), ((1, 1), 1)],
    ids=str,
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
def test_it_is_pytorchs_prelu_of_the_sum(kernels, size, channels, dtype):
    inputs = make(size, channels, dtype=dtype)
    if channels > 1:
        assert (inputs[0] + inputs[1][:, None, None] == 0).any()
    rounding = 1e-6 if dtype == torch.float32 else torch.finfo(dtype).eps
    assert_same(kernels, inputs, torch.randn_like(inputs[0]), rounding=rounding)


def test_programs_go_on_to_further_tiles(kernels, monkeypatch):
    monkeypatch.setattr(kernels, "TILE", 64)
    inputs = make((9, 7), 16)  # 126 pixels, 4 to a tile: 32 tiles, the last in part
    assert_same(kernels, inputs, torch.randn_like(inputs[0]))
    monkeypatch.setattr(kernels, "_programs", lambda _: 1000)
    assert_same(kernels, inputs, torch.randn_like(inputs[0]))


@pytest.mark.parametrize("size", [(6, 5), (6, 1), (1, 1)], ids=str)
def test_gradients_come_in_any_layout(kernels, size):
    inputs = make(size, 8)
    wide = torch.randn(2, 24, *size, device=DEVICE)
    for grad in (
        wide[:, 8:16],
        wide.contiguous(memory_format=LAST)[:, 8:16],
        wide[:1, :8].expand(2, 8, *size),
        torch.ones((), device=DEVICE).expand(2, 8, *size),
        torch.randn(2, 8, size[0], 2 * size[1], device=DEVICE)[..., ::2],
    ):
        assert_same(kernels, inputs, grad)


def test_a_slice_of_a_wider_gradient_is_read_where_it_lies(kernels):
    wide = torch.randn(2, 24, 6, 5).contiguous(memory_format=LAST)
    assert kernels._has_even_pixels(wide[:, 8:16])
    assert not kernels._has_even_pixels(wide[..., 1:])
    assert not kernels._has_even_pixels(wide.contiguous())


def test_results_are_the_same_from_run_to_run(kernels):
    inputs = make((17, 12), 32, dtype=torch.bfloat16)
    grad = torch.randn_like(inputs[0])
    first, second = (results(kernels.biased_prelu, inputs, grad) for _ in "ab")
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


def test_fake_kernels_have_the_real_layout(kernels):
    x, bias, slope = make((4, 6), 16)
    for op, arguments in (
        (torch.ops.vfimamba.biased_prelu, (x, bias, slope)),
        (torch.ops.vfimamba.biased_prelu_backward, (torch.randn_like(x), x, bias, slope)),
    ):
        torch.library.opcheck(op.default, arguments, test_utils=("test_schema", "test_faketensor"))


@pytest.mark.filterwarnings("ignore:.*script_method.*:DeprecationWarning")  # of PyTorch's own
@pytest.mark.parametrize(
    "backend", ["aot_eager", pytest.param("inductor", marks=pytest.mark.gpu)], ids=str
)
def test_a_compiler_can_follow_it_both_ways(kernels, backend):
    inputs = make((4, 6), 16)
    grad = torch.randn_like(inputs[0])

    def twice(x, bias, slope):
        """What its neighbours do to layouts: a wider map, and a contiguous one."""
        y = kernels.biased_prelu(x, bias, slope)
        return torch.cat((y, kernels.biased_prelu(y.contiguous(), bias, slope)), dim=1)[:, 8:24]

    compiled = torch.compile(twice, fullgraph=True, dynamic=False, backend=backend)
    actual, expected = (results(function, inputs, grad) for function in (compiled, twice))
    for ours, truth in zip(actual, expected, strict=True):
        torch.testing.assert_close(ours, truth)
        assert ours.stride() == truth.stride()


@pytest.mark.gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize(
    ("size", "channels"), [((512, 512), 16), ((135, 241), 64), ((16, 16), 512), ((64, 65), 85)]
)
def test_it_is_pytorchs_at_real_sizes(kernels, size, channels, dtype):
    inputs = make(size, channels, dtype=dtype)
    grad = torch.randn_like(inputs[0])
    exact = [x.double() for x in (*inputs, grad)]
    actual = results(kernels.biased_prelu, inputs, grad)
    truth = results(lambda x, b, s: F.prelu(x + b[:, None, None], s), exact[:3], exact[3])
    rounding = max(1e-6, torch.finfo(dtype).eps)
    for ours, expected, error in zip(actual, truth, (rounding, rounding, 1e-5, 1e-5), strict=True):
        limit = error * max(1.0, expected.abs().max().item())
        torch.testing.assert_close(ours.double(), expected, rtol=0, atol=limit)
