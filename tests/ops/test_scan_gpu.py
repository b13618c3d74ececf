"""The scan on an NVIDIA GPU: what only real kernels can show."""

import pytest
import torch

from vfimamba_cli.ops.scan import BACKENDS, choose_backend, reference, selective_scan

GPU = torch.device("cuda")
NAMED = {backend.name: backend for backend in BACKENDS}

pytestmark = pytest.mark.gpu


def scan_inputs(batch, orders, channels, states, length, dtype=torch.float32):
    shapes = {
        "u": (batch, orders, channels, length),
        "dt": (batch, orders, channels, length),
        "B": (batch, orders, states, length),
        "C": (batch, orders, states, length),
    }
    inputs = {name: torch.randn(shape, device=GPU).to(dtype) for name, shape in shapes.items()}
    inputs["A"] = -torch.exp(torch.randn(orders, channels, states, device=GPU))
    inputs["D"] = torch.randn(orders, channels, device=GPU)
    inputs["dt_bias"] = torch.randn(orders, channels, device=GPU) - 1
    return inputs


def assert_near(actual, expected, tolerance):
    assert actual.dtype == expected.dtype
    limit = tolerance * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(actual, expected, rtol=0, atol=limit)


@pytest.mark.parametrize("name", ["chunked", pytest.param("mamba_cuda", marks=pytest.mark.mamba)])
@pytest.mark.parametrize("length", [1, 63, 100, 257, 2100])
@pytest.mark.parametrize(
    ("dtype", "tolerance"),
    [(torch.float32, 1e-4), (torch.float16, 5e-3), (torch.bfloat16, 3e-2)],
    ids=["fp32", "fp16", "bf16"],
)
def test_backend_matches_the_reference_forward_and_backward(name, length, dtype, tolerance):
    inputs = scan_inputs(2, 4, 6, 16, length, dtype)
    ours = {n: x.detach().clone().requires_grad_() for n, x in inputs.items()}
    truth = {n: x.detach().clone().requires_grad_() for n, x in inputs.items()}
    backend = choose_backend(name, GPU, training=True)
    y, expected = selective_scan(**ours, backend=backend), reference.selective_scan(**truth)
    assert y.dtype == torch.float32
    assert_near(y.detach(), expected.detach(), tolerance)
    grad = torch.randn_like(expected)
    y.backward(grad)
    expected.backward(grad)
    for n, x in ours.items():
        assert_near(x.grad, truth[n].grad, tolerance)


def test_auto_takes_the_fused_kernels_where_they_run():
    assert choose_backend("auto", GPU).name == "triton"
    assert choose_backend("auto", GPU, training=True).name == "triton"


@pytest.mark.mamba
def test_auto_takes_the_compiled_kernels_for_sequences():
    assert choose_backend("auto", GPU, sequences=True).name == "mamba_cuda"


@pytest.mark.mamba
def test_backends_agree_at_the_size_of_the_network():
    inputs = scan_inputs(1, 4, 256, 16, 16320)
    with torch.no_grad():
        kernels = selective_scan(**inputs, backend=NAMED["mamba_cuda"])
        assert_near(selective_scan(**inputs, backend=NAMED["chunked"]), kernels, 1e-4)


@pytest.mark.mamba
def test_kernels_run_in_fp32_under_autocast():
    inputs = scan_inputs(1, 4, 32, 16, 500)
    expected = selective_scan(**inputs, backend=NAMED["mamba_cuda"])
    with torch.autocast("cuda", torch.float16):
        assert torch.equal(selective_scan(**inputs, backend=NAMED["mamba_cuda"]), expected)
