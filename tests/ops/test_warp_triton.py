"""Triton's warp against PyTorch's; without a GPU its kernels run in Triton's interpreter."""

import importlib
import importlib.util

import numpy as np
import pytest
import torch

from vfimamba_cli.ops.warp import warp_pair

ON_GPU = torch.cuda.is_available()
DEVICE = torch.device("cuda" if ON_GPU else "cpu")

# Triton's interpreter keeps scalars in arrays; NumPy 2.4 no longer converts them back.
pytestmark = pytest.mark.filterwarnings("ignore:Conversion of an array:DeprecationWarning")


@pytest.fixture(scope="module", autouse=True)
def _kernels():
    if importlib.util.find_spec("triton") is None:
        pytest.skip("Triton is not installed: its warp is NOT tested here")
    if not ON_GPU and np.lib.NumpyVersion(np.__version__) >= "2.4.0":
        pytest.skip("Triton's interpreter needs NumPy < 2.4: its warp is NOT tested here")
    with pytest.MonkeyPatch.context() as patch:
        if not ON_GPU:
            patch.setenv("TRITON_INTERPRET", "1")
        importlib.import_module("vfimamba_cli.ops.warp_triton")
        yield


def make(channels, size, flow_size=None, *, last=False, dtype=torch.float32):
    """Maps and flow; no place within 0.05 of a pixel's middle, where the gradient jumps."""
    layout = torch.channels_last if last else torch.contiguous_format
    maps = torch.randn(4, channels, *size).to(DEVICE, dtype, memory_format=layout)
    flow = 3 * torch.randn(2, 4, *(flow_size or size))
    flow[..., 0, :] *= 5  # some of it points outside
    flow = flow.floor() + 0.05 + 0.9 * flow.frac().abs()
    return maps.unflatten(0, (2, 2)), flow.to(DEVICE)


def assert_same(maps, flow, tolerance=1e-5, *, maps_too=True, **corner):
    ours = [maps.clone().requires_grad_(maps_too), flow.clone().requires_grad_()]
    truth = [maps.clone().requires_grad_(maps_too), flow.clone().requires_grad_()]
    actual = warp_pair(*ours, **corner, kernels=True)
    expected = warp_pair(*truth, **corner)
    assert actual.dtype == expected.dtype == maps.dtype
    limit = {"rtol": 0, "atol": tolerance * max(1.0, expected.abs().max().item())}
    torch.testing.assert_close(actual, expected, **limit)
    grad = torch.randn_like(expected)
    actual.backward(grad)
    expected.backward(grad)
    for a, b in zip(ours, truth, strict=True):
        assert (a.grad is None) == (b.grad is None)
        if b.grad is not None:
            limit["atol"] = tolerance * max(1.0, b.grad.abs().max().item())
            torch.testing.assert_close(a.grad, b.grad, **limit)


@pytest.mark.parametrize("maps_too", [True, False])
@pytest.mark.parametrize(
    ("channels", "size", "last"),
    [(3, (7, 9), False), (16, (6, 5), True), (70, (5, 4), True), (3, (1, 4), False)],
)
def test_both_frames_are_warped_as_by_pytorch(channels, size, last, maps_too):
    assert_same(*make(channels, size, last=last), maps_too=maps_too)


def test_a_part_is_sampled_from_the_whole():
    maps, flow = make(4, (9, 11), (3, 5), last=True)
    assert_same(maps, flow, top=4, left=3)


def test_channels_stay_last_in_memory():
    maps, flow = make(16, (4, 6), last=True)
    out = warp_pair(maps, flow, kernels=True)
    assert out.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.gpu
def test_a_flow_that_is_not_a_number_samples_inside():
    maps, flow = make(3, (4, 6))
    assert warp_pair(maps, flow * torch.nan, kernels=True).shape == (2, 6, 4, 6)


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 2e-4), (torch.float16, 2e-3), (torch.bfloat16, 2e-2)],
    ids=["fp32", "fp16", "bf16"],
)
@pytest.mark.parametrize("channels", [16, 128])
def test_kernels_warp_as_pytorch_at_real_sizes(channels, dtype, tolerance):
    assert_same(*make(channels, (136, 240), last=True, dtype=dtype), tolerance)


def test_without_gradients_the_kernel_runs_by_itself(monkeypatch):
    maps, flow = make(6, (4, 6))
    expected = warp_pair(maps, flow, kernels=True)
    # Of the operator the first call would import a compiler.
    monkeypatch.setattr("vfimamba_cli.ops.warp_triton._warp_pair", None)
    with torch.inference_mode():
        assert torch.equal(warp_pair(maps, flow, kernels=True), expected)


@pytest.mark.gpu
def test_fake_kernels_have_the_real_layout():
    for last in (True, False):
        maps, flow = make(16, (4, 6), last=last)
        for op, arguments in (
            (torch.ops.vfimamba.warp_pair, (maps, flow, 0, 0)),
            (
                torch.ops.vfimamba.warp_pair_backward,
                (warp_pair(maps, flow, kernels=True), maps, flow, 0, 0, True),
            ),
        ):
            torch.library.opcheck(
                op.default, arguments, test_utils=("test_schema", "test_faketensor")
            )
