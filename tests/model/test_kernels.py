"""The network in Triton's kernels gives the outputs and gradients of the one in plain PyTorch."""

import copy

import pytest
import torch

from vfimamba_cli.model.config import TINY, VFIMAMBA_S, ModelConfig
from vfimamba_cli.model.mixers import SS2D
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.ops.scan import choose_backend

GPU = torch.device("cuda")

pytestmark = pytest.mark.gpu


def pair(config):
    """The same network twice: in plain PyTorch, and in kernels."""
    plain = ModelSpec(name="x", config=config).build().to(GPU, memory_format=torch.channels_last)
    kernels = copy.deepcopy(plain)
    plain.use_scan(choose_backend("chunked", GPU, training=True))
    kernels.use_scan(choose_backend("triton", GPU, training=True))
    return plain, kernels


def assert_near(actual, expected, tolerance, name=""):
    limit = tolerance * expected.abs().max().item() + 1e-9
    torch.testing.assert_close(
        actual.float(), expected.float(), rtol=0, atol=limit, msg=lambda m: f"{name}: {m}"
    )


def assert_gradients_near(ours, theirs, tolerance):
    """By the norm of each, and for those next to nothing by the largest of all."""
    truth = {name: parameter.grad for name, parameter in theirs.named_parameters()}
    largest = max(grad.norm() for grad in truth.values())
    for name, parameter in ours.named_parameters():
        assert parameter.grad.dtype == torch.float32
        difference = (parameter.grad - truth[name]).norm()
        limit = tolerance * (truth[name].norm() + 0.1 * largest)
        assert difference <= limit, f"{name}: {difference:.2e} > {limit:.2e}"


def loss_of(network, frames, t):
    prediction = network(frames, t)
    loss = (prediction.picture - 0.3).square().mean()
    return prediction, loss + sum((merge - 0.7).square().mean() for merge in prediction.merges)


@pytest.mark.parametrize("changes", [{}, {"column_merge": "exact"}], ids=str)
def test_outputs_and_all_gradients_are_those_of_plain_pytorch(changes):
    frames, t = torch.rand(2, 2, 3, 64, 96, device=GPU), torch.tensor([0.3, 0.5], device=GPU)
    with torch.backends.cudnn.flags(allow_tf32=False):  # PyTorch's default is TF32
        plain, kernels = pair(ModelConfig(**{**TINY.to_dict(), **changes}))
        expected, loss = loss_of(plain, frames, t)
        loss.backward()
        actual, again = loss_of(kernels, frames, t)
        again.backward()
    assert_near(actual.picture.detach(), expected.picture.detach(), 1e-4, "picture")
    for ours, theirs in zip(actual.merges, expected.merges, strict=True):
        assert_near(ours.detach(), theirs.detach(), 1e-4, "merge")
    assert_gradients_near(kernels, plain, 1e-3)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_a_mixer_under_autocast_is_near_fp32(dtype):
    plain, kernels = pair(VFIMAMBA_S)
    ours, theirs = (n.backbone.stages[3].blocks[0].mixer for n in (kernels, plain))
    assert isinstance(ours, SS2D)
    x = torch.randn(2, 2, 32, 32, 128, device=GPU)
    grad = torch.randn_like(x)
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    expected = theirs(inputs[1])
    expected.backward(grad)
    with torch.autocast("cuda", dtype):
        actual = ours(inputs[0])
    assert actual.dtype == dtype
    actual.backward(grad.to(dtype))
    assert_near(actual.detach(), expected.detach(), 3e-2)
    assert_near(inputs[0].grad, inputs[1].grad, 3e-2, "input")
    assert_gradients_near(ours, theirs, 5e-2)
