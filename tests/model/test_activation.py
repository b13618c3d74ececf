"""Convolutions whose bias is added by the activation give what they give with it."""

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.model.activation import ConvPReLU, conv
from vfimamba_cli.model.alignment import UpConv2d


def stand_in(x, bias, slope):
    """In the place of the kernel."""
    return F.prelu(x + bias[:, None, None], slope)


def with_kernels(network, kernel=stand_in):
    """A copy that activates by `kernel`."""
    network = copy.deepcopy(network)
    for module in network.modules():
        if isinstance(module, ConvPReLU):
            module.biased_prelu = kernel
    return network


def test_the_network_and_all_its_gradients_are_the_same():
    plain = TINY_SPEC.build()
    for name, parameter in plain.named_parameters():
        if name.endswith("bias"):  # zero at first
            nn.init.normal_(parameter, std=0.1)
    frames, t, results = torch.rand(2, 1, 3, 64, 64), torch.tensor([0.5]), []
    for network in (plain, with_kernels(plain)):
        prediction = network(frames, t)
        (prediction.picture.square().mean() + prediction.merges[0].mean()).backward()
        gradients = [parameter.grad for parameter in network.parameters()]
        results.append([prediction.picture.detach(), *gradients])
    for ours, truth in zip(*results, strict=True):
        limit = 1e-4 * truth.abs().max().item() + 1e-7
        torch.testing.assert_close(ours, truth, rtol=0, atol=limit)


@pytest.mark.parametrize(
    "layers", [(*conv(3, 8), *conv(8, 5, stride=2)), (UpConv2d(3, 4), nn.PReLU(4))], ids=str
)
def test_kernels_see_every_convolution_without_its_bias(layers):
    seen = []

    def kernel(x, bias, slope):
        seen.append((x, bias, slope))
        return stand_in(x, bias, slope)

    stages, x = ConvPReLU(*layers), torch.rand(1, 3, 8, 8)
    expected = stages(x)
    stages.biased_prelu = kernel
    torch.testing.assert_close(stages(x), expected)
    assert [bias for _, bias, _ in seen] == [layer.bias for layer in layers[::2]]
    assert [slope for *_, slope in seen] == [layer.weight for layer in layers[1::2]]


def test_without_gradients_pytorch_activates():
    def kernel(*_):
        raise AssertionError("asked for")

    network = with_kernels(TINY_SPEC.build(), kernel)
    with torch.no_grad():
        network(torch.rand(2, 1, 3, 64, 64), torch.tensor([0.5]))


def test_scans_without_triton_need_none_for_activations():
    network = with_kernels(TINY_SPEC.build())
    network.use_scan(network.backbone.stages[3].blocks[0].mixer.backend)
    assert all(m.biased_prelu is None for m in network.modules() if isinstance(m, ConvPReLU))
