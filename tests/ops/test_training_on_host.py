"""The CUDA C++ of training's scan against its definition, on the processor."""

from math import ceil, e, log2

import pytest
import torch
import torch.nn.functional as F

from tests.ops.host_kernels import import_with_host_kernels, needs_compiler

PIXELS, STATES, ORDERS = 16, 16, 4

pytestmark = needs_compiler


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """The module that launches the kernels."""
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("training")
        (module,) = import_with_host_kernels(patch, folder, "vfimamba_cli.ops.scan.training")
        yield module


def places(order, height, width):
    """Frame and pixel of each token of an order, and its forward position, in the order's turn."""
    pixels = height * width
    turn = torch.arange(2 * pixels)
    if order >= 2:
        turn = turn.flip(0)
    q, frame = turn // 2, turn % 2
    pixel = (q % height) * width + q // height if order % 2 else q
    return frame, pixel, turn


def make(batch, height, width, channels, rank, dtype):
    """Inputs as the kernels read them, the first two and the last in half precision."""
    torch.manual_seed(0)
    pixels = height * width
    u = torch.randn(2, batch, pixels, channels).to(dtype)
    x = torch.randn(2, batch, pixels, ORDERS, rank + 2 * STATES).to(dtype)
    A = -torch.rand(ORDERS, STATES, channels) - 0.1
    weight = torch.randn(ORDERS, rank, channels) * rank**-0.5
    bias, skip = torch.randn(ORDERS, channels) - 1, torch.randn(ORDERS, channels)
    grad = torch.randn(2, batch, 2 * pixels, channels).to(dtype)
    return u, x, A, weight, bias, skip, grad


def reference(u, x, A, weight, bias, skip, grad, height, width):
    """y (K, B, L, D) by forward position, and the gradients of all inputs, u's by order."""
    rank, batch = weight.shape[1], u.shape[1]
    u, x = u.double(), x.double()
    of_orders = [u.clone().requires_grad_() for _ in range(ORDERS)]
    leaves = [t.double().requires_grad_() for t in (x, A, weight, bias, skip)]
    x, A, weight, bias, skip = leaves
    results = []
    for k in range(ORDERS):
        frame, pixel, turn = places(k, height, width)
        rows = x[frame, :, pixel, k]  # (L, B, R + 2 N)
        low, B, C = rows.split((rank, STATES, STATES), dim=-1)
        dt = F.softplus(low @ weight[k] + bias[k])
        values = of_orders[k][frame, :, pixel]
        h = torch.zeros(batch, STATES, u.shape[-1], dtype=torch.float64)
        y = [None] * len(turn)
        for i, at in enumerate(turn.tolist()):
            h = torch.exp(A[k] * dt[i, :, None]) * h + B[i, :, :, None] * (dt * values)[i, :, None]
            y[at] = (C[i, :, :, None] * h).sum(1) + skip[k] * values[i]
        results.append(torch.stack(y, 1))
    y = torch.stack(results)
    incoming = torch.stack([grad[k % 2].double() for k in range(ORDERS)])
    found = torch.autograd.grad(y, (*of_orders, *leaves), incoming)
    return y.detach(), torch.stack(found[:ORDERS]), *found[ORDERS:]


def near(ours, truth, tolerance):
    assert ours.shape == truth.shape
    assert ((ours.double() - truth).abs().max() / truth.abs().max()).item() <= tolerance


@pytest.mark.parametrize("whole", [True, False], ids=["orders", "chunks"])
@pytest.mark.parametrize(
    ("size", "batch", "channels", "rank"), [((5, 7), 2, 64, 8), ((1, 16), 1, 128, 16)], ids=str
)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float16, 5e-3), (torch.bfloat16, 2e-2)], ids=str
)
def test_results_and_gradients(training, size, batch, channels, rank, dtype, tolerance, whole):
    pixels, chunks = size[0] * size[1], ceil(size[0] * size[1] / PIXELS)
    u, x, A, weight, bias, skip, grad = make(batch, *size, channels, rank, dtype)
    inputs = (
        u.unflatten(2, size),
        x.unflatten(2, size).flatten(4),
        A * log2(e),
        weight,
        bias,
        skip,
    )
    y_true, of_u, of_x, of_A, _, of_bias, of_skip = reference(
        u, x, A, weight, bias, skip, grad, *size
    )

    y = torch.empty(ORDERS, batch, 2 * pixels, channels, dtype=dtype)
    starts = torch.empty(batch, chunks, ORDERS, STATES, channels)
    totals = torch.empty(batch, chunks, ORDERS, channels)
    training.outputs(inputs, (y, starts, totals))
    near(y, y_true, tolerance)

    spans = 1 if whole else chunks
    carries = torch.zeros(batch, 1, ORDERS, STATES, channels)
    if not whole:
        carries = adjoints(u, x, A, weight, bias, grad, *size)
    to_u, to_dt = (torch.empty(ORDERS, 2, batch, pixels, channels, dtype=dtype) for _ in "ud")
    to_BC = torch.empty(channels // 64, 2, batch, pixels, ORDERS, 2 * STATES, dtype=dtype)
    to_A, (to_D, to_bias) = (
        torch.empty_like(carries),
        torch.empty(2, batch, spans, ORDERS, channels),
    )
    written = (to_u, to_dt, to_BC, to_A, to_D, to_bias)
    training.chunk_gradients((*inputs, starts, carries, grad), written)
    near(to_u, of_u, tolerance)
    near(to_BC.double().sum(0), of_x[..., rank:], tolerance)
    low = torch.einsum("kfbpd,krd->fbpkr", to_dt.double(), weight.double())
    near(low, of_x[..., :rank], tolerance)
    near(to_A.sum((0, 1)), of_A, tolerance)
    near(to_bias.sum((0, 1)), of_bias, tolerance)
    near(to_D.sum((0, 1)), of_skip, tolerance)


def adjoints(u, x, A, weight, bias, grad, height, width):
    """What enters each chunk from the later ones of its order, (B, M, K, N, D)."""
    batch, channels, rank = u.shape[1], u.shape[-1], weight.shape[1]
    chunks = ceil(height * width / PIXELS)
    carries = torch.zeros(batch, chunks, ORDERS, STATES, channels)
    for k in range(ORDERS):
        frame, pixel, turn = places(k, height, width)
        low, _, C = x[frame, :, pixel, k].float().split((rank, STATES, STATES), dim=-1)
        decay = torch.exp(A[k] * F.softplus(low @ weight[k] + bias[k])[:, :, None])
        carry = torch.zeros(batch, STATES, channels)
        for i in reversed(range(len(turn))):
            chunk = turn[i].item() // (2 * PIXELS)
            later = turn[i + 1].item() // (2 * PIXELS) if i + 1 < len(turn) else chunk
            if later != chunk:
                carries[:, chunk, k] = carry
            dy = grad[k % 2, :, turn[i]].float()
            carry = decay[i] * (carry + C[i, :, :, None] * dy[:, None])
    return carries
