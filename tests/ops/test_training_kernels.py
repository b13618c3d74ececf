"""Training's scan in CUDA C++ against the reference and against Triton's."""

from importlib import import_module
from types import SimpleNamespace

import pytest
import torch

from tests.scans import NAMES, assert_near, scan_inputs
from vfimamba_cli.ops.scan import cross_reference


def results(scan, inputs, grad, **options):
    """The result and all gradients, by name."""
    leaves = {n: x.clone().requires_grad_() for n, x in inputs.items()}
    y = scan(**leaves, exact_columns=False, **options)
    found = torch.autograd.grad(y, list(leaves.values()), grad)
    return {"y": y.detach(), **dict(zip(NAMES, found, strict=True))}


def test_blocks_have_room_on_the_gpus_they_are_for():
    pytest.importorskip("cuda.bindings")
    module = import_module("vfimamba_cli.ops.scan.training")
    for rank in (8, 16, 32):
        shared = module.shared_bytes(rank, gradients=True)
        assert (4 if rank < 32 else 3) * (shared + 1024) <= 228 * 1024  # of an H100's processor
        assert shared <= 99 * 1024  # one to any GPU from Ampere on
        assert 8 * (module.shared_bytes(rank, gradients=False) + 1024) <= 228 * 1024


@pytest.fixture(params=[False, True], ids=["chunks", "orders"])
def kernels(monkeypatch, request):
    """Triton's module, and a list of the CUDA kernels that were asked; all sizes fill the GPU,
    and gradients are taken chunk by chunk, or order by order."""
    module, asked = import_module("vfimamba_cli.ops.scan.training"), []

    def noted(name, launch):
        def note(inputs, written):
            asked.append(name)
            launch(inputs, written)

        return note

    for name in ("outputs", "chunk_gradients"):
        monkeypatch.setattr(module, name, noted(name, getattr(module, name)))
    monkeypatch.setattr(module, "fills", lambda _: True)
    monkeypatch.setattr(module, "walks", lambda *_: request.param)
    return import_module("vfimamba_cli.ops.scan.triton"), asked


@pytest.mark.gpu
def test_a_batch_of_training_fills_a_gpu_and_one_frame_does_not():
    module = import_module("vfimamba_cli.ops.scan.training")
    assert module.fills(torch.empty(2, 32, 1, 1, 512, device="cuda"))
    assert not module.fills(torch.empty(2, 1, 1, 1, 256, device="cuda"))


@pytest.mark.parametrize(
    ("batch", "channels", "rank", "whole"),
    [(32, 256, 8, True), (32, 512, 16, True), (16, 256, 8, False), (34, 256, 8, False)],
)
def test_orders_are_walked_where_all_processors_have_one(monkeypatch, batch, channels, rank, whole):
    pytest.importorskip("cuda.bindings")
    module = import_module("vfimamba_cli.ops.scan.training")
    h100 = SimpleNamespace(multi_processor_count=132, shared_memory_per_multiprocessor=228 * 1024)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda _: h100)
    assert module.walks(torch.empty(2, batch, 1, 1, channels), rank) is whole


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
def test_they_are_the_reference(kernels, size, batch, channels, rank, dtype, tolerance):
    module, asked = kernels
    inputs = scan_inputs(batch, *size, channels=channels, rank=rank, dtype=dtype)
    inputs["dt_weight"] *= rank**-0.5
    grad = torch.randn_like(inputs["u"])
    ours = results(module.cross_selective_scan, inputs, grad, dtype=dtype)
    truth = results(cross_reference.cross_selective_scan, inputs, grad.float())
    assert asked == ["outputs", "chunk_gradients"]
    for name in ("y", *NAMES):
        assert ours[name].dtype == inputs.get(name, grad).dtype
        assert_near(ours[name], truth[name], tolerance)


@pytest.mark.gpu
def test_they_are_as_exact_as_those_of_tritons_kernel(kernels):
    module, asked = kernels
    inputs = scan_inputs(2, 32, 32, channels=256, rank=8, dtype=torch.bfloat16)
    grad = torch.randn_like(inputs["u"])
    exact = {n: x.float() for n, x in inputs.items()}
    truth = results(module.cross_selective_scan, exact, grad.float())
    ours = results(module.cross_selective_scan, inputs, grad, dtype=torch.bfloat16)
    launch = module.Launch(chunk=32)  # which the CUDA kernel does not take
    tritons = results(
        module.cross_selective_scan, inputs, grad, dtype=torch.bfloat16, launch=launch
    )
    assert len(asked) == 2
    for name in ours:
        error, other = (
            (x[name].float() - truth[name].float()).norm() / truth[name].float().norm()
            for x in (ours, tritons)
        )
        assert error <= 1.2 * other + 1e-4, name


@pytest.mark.gpu
def test_they_repeat_themselves_to_the_bit(kernels):
    module, asked = kernels
    inputs = scan_inputs(2, 17, 12, channels=128, rank=16, dtype=torch.bfloat16)
    grad = torch.randn_like(inputs["u"])
    first, second = (
        results(module.cross_selective_scan, inputs, grad, dtype=torch.bfloat16) for _ in "ab"
    )
    assert len(asked) == 4
    assert all(torch.equal(first[name], second[name]) for name in first)
