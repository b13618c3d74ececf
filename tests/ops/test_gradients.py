"""The gradients' kernel in CUDA C++ against the reference and against Triton's."""

from importlib import import_module

import pytest
import torch

from tests.scans import NAMES, assert_near, scan_inputs
from vfimamba_cli.ops.scan import cross_reference


def gradients(scan, inputs, grad, **options):
    leaves = {n: x.clone().requires_grad_() for n, x in inputs.items()}
    y = scan(**leaves, exact_columns=False, **options)
    return dict(zip(NAMES, torch.autograd.grad(y, list(leaves.values()), grad), strict=True))


def test_a_block_has_room_on_the_gpus_it_is_for():
    pytest.importorskip("cuda.bindings")
    module = import_module("vfimamba_cli.ops.scan.gradients")
    for rank in (8, 16, 32):
        assert 3 * (module.shared_bytes(rank) + 1024) <= 228 * 1024  # three to an H100's processor
        assert module.shared_bytes(rank) <= 99 * 1024  # one to any GPU from Ampere on


@pytest.fixture
def kernels(monkeypatch):
    """Triton's module, and a list that says which gradients came from the CUDA kernel."""
    module = import_module("vfimamba_cli.ops.scan.gradients")
    used, launch = [], module.chunk_gradients

    def noted(inputs, written):
        used.append(tuple(inputs[0].shape))
        launch(inputs, written)

    monkeypatch.setattr(module, "chunk_gradients", noted)
    return import_module("vfimamba_cli.ops.scan.triton"), used


@pytest.mark.gpu
@pytest.mark.parametrize(
    ("size", "batch", "channels", "rank"),
    [
        ((32, 32), 2, 256, 8),
        ((16, 16), 3, 512, 16),
        ((1, 7), 1, 64, 8),
        ((7, 1), 2, 64, 8),
        ((5, 9), 1, 128, 32),
        ((34, 60), 1, 64, 8),
    ],
    ids=str,
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 3e-2)], ids=str
)
def test_gradients_are_those_of_the_reference(
    kernels, size, batch, channels, rank, dtype, tolerance
):
    module, used = kernels
    inputs = scan_inputs(batch, *size, channels=channels, rank=rank, dtype=dtype)
    inputs["dt_weight"] *= rank**-0.5
    grad = torch.randn_like(inputs["u"])
    ours = gradients(module.cross_selective_scan, inputs, grad, dtype=dtype)
    truth = gradients(cross_reference.cross_selective_scan, inputs, grad.float())
    assert used == [tuple(inputs["u"].shape)]
    for name in NAMES:
        assert ours[name].dtype == inputs[name].dtype
        assert_near(ours[name], truth[name], tolerance)


@pytest.mark.gpu
def test_they_are_as_exact_as_those_of_tritons_kernel(kernels):
    module, used = kernels
    inputs = scan_inputs(2, 32, 32, channels=256, rank=8, dtype=torch.bfloat16)
    grad = torch.randn_like(inputs["u"])
    exact = {n: x.float() for n, x in inputs.items()}
    truth = gradients(module.cross_selective_scan, exact, grad.float())
    ours = gradients(module.cross_selective_scan, inputs, grad, dtype=torch.bfloat16)
    launch = module.Launch(chunk=32)  # which the CUDA kernel does not take
    tritons = gradients(
        module.cross_selective_scan, inputs, grad, dtype=torch.bfloat16, launch=launch
    )
    assert len(used) == 1
    for name in NAMES:
        error, other = (
            (x[name].float() - truth[name].float()).norm() / truth[name].float().norm()
            for x in (ours, tritons)
        )
        assert error <= 1.2 * other + 1e-4, name


@pytest.mark.gpu
def test_they_repeat_themselves_to_the_bit(kernels):
    module, used = kernels
    inputs = scan_inputs(2, 17, 12, channels=128, rank=16, dtype=torch.bfloat16)
    grad = torch.randn_like(inputs["u"])
    first, second = (
        gradients(module.cross_selective_scan, inputs, grad, dtype=torch.bfloat16) for _ in "ab"
    )
    assert len(used) == 2
    assert all(torch.equal(first[name], second[name]) for name in NAMES)
