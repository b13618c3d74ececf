"""The fused scan against the plain one; without a GPU its kernels run in Triton's interpreter."""

import importlib
import subprocess
import sys

import pytest
import torch

from tests.ops.interpreted import kernels_of, quiet
from tests.scans import DEVICE, NAMES, assert_near, scan_inputs
from vfimamba_cli.ops.cross_scan import cross_merge, cross_scan
from vfimamba_cli.ops.scan import choose_backend, cross_reference, selective_scan

pytestmark = quiet


@pytest.fixture(scope="module")
def fused():
    """The module under test; its kernels are interpreted where there is no GPU."""
    with kernels_of("the fused kernels are") as load:
        yield load("scan.triton")


def assert_fused_is_reference(fused, inputs, launch, *, exact, tolerance):
    ours = {n: x.clone().requires_grad_() for n, x in inputs.items()}
    truth = {n: x.clone().requires_grad_() for n, x in inputs.items()}
    y = fused.cross_selective_scan(**ours, exact_columns=exact, launch=launch)
    expected = cross_reference.cross_selective_scan(**truth, exact_columns=exact)
    assert_near(y.detach(), expected.detach(), tolerance)
    grad = torch.randn_like(expected)
    y.backward(grad)
    expected.backward(grad)
    for name in NAMES:
        assert ours[name].grad.dtype == inputs[name].dtype
        assert_near(ours[name].grad, truth[name].grad, tolerance)


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "published"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (5, 3), (8, 12), (17, 9)])
def test_index_maps_are_cross_scan_and_cross_merge(size, batch, exact):
    inputs = {n: x.cpu() for n, x in scan_inputs(batch, *size, channels=8, states=4).items()}
    backend = choose_backend("chunked", torch.device("cpu"), training=True)
    actual = cross_reference.cross_selective_scan(**inputs, exact_columns=exact)
    tokens = cross_scan(inputs["u"].permute(0, 1, 4, 2, 3))
    features = [inputs["x_dbl"][..., 11 * k : 11 * k + 11] for k in range(4)]
    by_order = [cross_scan(f.permute(0, 1, 4, 2, 3))[:, k] for k, f in enumerate(features)]
    low, B, C = torch.stack(by_order, dim=1).split((3, 4, 4), dim=2)
    dt = torch.einsum("bkrl,kdr->bkdl", low, inputs["dt_weight"])
    A, D, bias = inputs["A"], inputs["D"], inputs["dt_bias"]
    y = selective_scan(tokens, dt, A, B, C, D, bias, backend=backend)
    expected = cross_merge(y, *size, exact=exact).permute(0, 1, 3, 4, 2)
    assert_near(actual, expected, 1e-5)


@pytest.mark.parametrize(
    ("size", "batch", "exact"),
    [
        ((1, 1), 1, False),
        ((1, 5), 1, False),
        ((5, 1), 1, True),
        ((3, 2), 2, False),
        ((2, 3), 1, True),
    ],
)
def test_fused_is_the_reference_forward_and_backward(fused, size, batch, exact):
    inputs = scan_inputs(batch, *size)
    launch = fused.Launch(chunk=4, block=8)  # divides none of the lengths
    assert_fused_is_reference(fused, inputs, launch, exact=exact, tolerance=1e-4)


def test_fused_takes_half_precision(fused):
    inputs = scan_inputs(1, 3, 2, channels=32, rank=2, dtype=torch.float16)
    launch = fused.Launch(chunk=2, block=32)
    assert_fused_is_reference(fused, inputs, launch, exact=False, tolerance=5e-3)


def test_result_may_be_half_precision(fused):
    inputs = scan_inputs(1, 2, 2, dtype=torch.float16)
    y = fused.cross_selective_scan(**inputs, exact_columns=True, dtype=torch.float16)
    assert y.dtype == torch.float16
    expected = cross_reference.cross_selective_scan(**inputs, exact_columns=True)
    assert_near(y, expected, 5e-3)


def test_small_steps_keep_their_digits(fused):
    inputs = scan_inputs(1, 1, 3)
    inputs["dt_bias"] = torch.linspace(-12, 25, 64, device=DEVICE).view(4, 16)
    inputs["dt_weight"] = torch.zeros_like(inputs["dt_weight"])
    inputs["A"] = inputs["A"] * 1e-3
    inputs["D"] = torch.zeros_like(inputs["D"])
    truth = cross_reference.cross_selective_scan(**inputs, exact_columns=True)
    y = fused.cross_selective_scan(**inputs, exact_columns=True)
    largest = truth.abs().amax((0, 1, 2, 3))
    assert ((y - truth).abs().amax((0, 1, 2, 3)) <= 3e-5 * largest).all()


def test_a_program_may_take_many_chunks_backwards_or_one(fused, monkeypatch):
    inputs = scan_inputs(2, 1, 2)
    launch_module = importlib.import_module("vfimamba_cli.ops.scan.triton_launch")
    launch = fused.Launch(chunk=1, block=16)
    for programs in (1, 1000):
        monkeypatch.setattr(launch_module.FusedScan, "resident", programs)
        assert_fused_is_reference(fused, inputs, launch, exact=False, tolerance=1e-4)


def test_fake_kernels_have_the_real_shapes(fused):
    inputs = scan_inputs(1, 2, 2)
    arguments = (*(inputs[n] for n in NAMES), False, torch.float32, 3, 16, 1)
    torch.library.opcheck(
        torch.ops.vfimamba.cross_selective_scan.default,
        arguments,
        test_utils=("test_schema", "test_faketensor"),
    )


def test_without_gradients_the_kernels_run_by_themselves(fused, monkeypatch):
    inputs = scan_inputs(1, 3, 5)
    expected = fused.cross_selective_scan(**inputs, exact_columns=True)
    monkeypatch.setattr(fused, "_scan", None)  # whose first call would import a compiler
    with torch.inference_mode():
        assert torch.equal(fused.cross_selective_scan(**inputs, exact_columns=True), expected)


def test_shapes_that_do_not_fit_are_refused(fused):
    inputs = scan_inputs(1, 2, 2)
    with pytest.raises(ValueError, match="x_dbl is"):
        fused.cross_selective_scan(
            **{**inputs, "x_dbl": inputs["x_dbl"][..., 1:]}, exact_columns=True
        )


def test_importing_the_scan_does_not_import_triton():
    code = "import sys, vfimamba_cli.ops.scan; sys.exit('triton' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.gpu
@pytest.mark.parametrize("exact", [True, False], ids=["exact", "published"])
@pytest.mark.parametrize("size", [(1, 7), (7, 1), (34, 60), (135, 240)])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-4), (torch.float16, 5e-3), (torch.bfloat16, 3e-2)],
    ids=["fp32", "fp16", "bf16"],
)
def test_kernels_are_the_reference_at_real_sizes(fused, size, dtype, tolerance, exact):
    inputs = scan_inputs(1, *size, channels=64, rank=8, dtype=dtype)
    launch = fused.Launch.for_size(inputs["u"])
    assert_fused_is_reference(fused, inputs, launch, exact=exact, tolerance=tolerance)


@pytest.mark.gpu
def test_kernels_repeat_themselves_to_the_bit(fused):
    inputs = scan_inputs(2, 34, 60, channels=64, rank=8)
    leaves = {n: x.requires_grad_() for n, x in inputs.items()}

    def run():
        y = fused.cross_selective_scan(**leaves, exact_columns=False)
        return (y, *torch.autograd.grad(y.sum(), list(leaves.values())))

    for first, second in zip(run(), run(), strict=True):
        assert torch.equal(first, second)
