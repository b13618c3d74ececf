"""Channels that are added for tensor cores change no result."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.model import alignment
from vfimamba_cli.model.activation import ConvPReLU
from vfimamba_cli.model.alignment import AlignedConv2d, UpConv2d, side_by_side


def test_channels_beyond_the_weights_change_nothing():
    conv, x = AlignedConv2d(5, 4, 3, padding=1), torch.rand(2, 5, 6, 7)
    padded = torch.cat((x, torch.zeros(2, 3, 6, 7)), dim=1)
    torch.testing.assert_close(conv(padded), conv(x))
    given, expected = (torch.autograd.grad(conv(y).sum(), conv.weight)[0] for y in (padded, x))
    torch.testing.assert_close(given, expected)


def test_on_a_cpu_none_are_added():
    assert side_by_side((torch.rand(1, 3, 2, 2), torch.rand(1, 2, 2, 2))).shape[1] == 5


def multiples_of_8(channels, _):
    """In the place of `missing`, as if a CPU had tensor cores."""
    return -channels % 8


@pytest.mark.parametrize(
    "layer", [AlignedConv2d(7, 5, 3, padding=1), UpConv2d(7, 5), AlignedConv2d(8, 16, 3)], ids=str
)
def test_channels_that_the_result_misses_are_zeros_and_cut_off(layer, monkeypatch):
    x = torch.rand(2, layer.in_channels, 6, 7)
    expected, biased = layer(x), layer.aligned(x)
    without = expected - layer.bias[:, None, None]
    monkeypatch.setattr(alignment, "missing", multiples_of_8)
    torch.testing.assert_close(layer(x), expected)
    for wide, truth in ((layer.aligned(x), biased), (layer.aligned(x, biased=False), without)):
        assert wide.shape[1] == layer.out_channels + -layer.out_channels % 8
        torch.testing.assert_close(wide[:, : layer.out_channels], truth)
        assert wide[:, layer.out_channels :].eq(0).all()


class OddChannels(TorchDispatchMode):
    """Shapes of the weights that cuDNN would pad: those of 3x3 and 4x4, not depthwise."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func is torch.ops.aten.convolution.default:
            weight, groups = args[1], args[8]
            outputs, inputs, size, _ = weight.shape
            if size > 1 and groups == 1 and (outputs % 8 or inputs % 8):
                self.shapes.append((outputs, inputs, size))
        return func(*args, **(kwargs or {}))


def results(network):
    """All that it gives, and all gradients."""
    torch.manual_seed(1)
    prediction = network(torch.rand(2, 1, 3, 64, 64), torch.tensor([0.5]))
    given = (prediction.picture, *prediction.merges)
    network.zero_grad()
    sum((x - 0.3).square().mean() for x in given).backward()
    gradients = [parameter.grad for parameter in network.parameters()]
    return [*(x.detach() for x in given), *gradients]


@pytest.mark.parametrize("in_one", [False, True], ids=["plain", "biased PReLU"])
def test_a_network_in_whole_multiples_has_the_same_results_and_gradients(in_one, monkeypatch):
    network = TINY_SPEC.build()
    for name, parameter in network.named_parameters():
        if name.endswith("bias"):  # zero at first
            nn.init.normal_(parameter, std=0.1)
    for module in network.modules():
        if isinstance(module, ConvPReLU) and in_one:
            module.biased_prelu = lambda x, b, s: F.prelu(x + b[:, None, None], s)
    with OddChannels() as before:
        expected = results(network)
    monkeypatch.setattr(alignment, "missing", multiples_of_8)
    with OddChannels() as after:
        actual = results(network)
    assert before.shapes
    assert not after.shapes
    for ours, truth in zip(actual, expected, strict=True):
        assert ours.shape == truth.shape
        limit = 1e-4 * truth.abs().max().item() + 1e-7
        torch.testing.assert_close(ours, truth, rtol=0, atol=limit)


@pytest.mark.gpu
def test_on_a_gpu_they_are_and_the_network_is_the_same():
    parts = torch.rand(1, 3, 2, 2, device="cuda"), torch.rand(1, 2, 2, 2, device="cuda")
    joined = side_by_side(parts)
    assert joined.shape[1] == 8
    assert joined[:, 5:].eq(0).all()
    assert joined.is_contiguous(memory_format=torch.channels_last)
    network, frames, t = TINY_SPEC.build(), torch.rand(2, 1, 3, 64, 64), torch.tensor([0.5])
    expected = network(frames, t).picture
    with torch.backends.cudnn.flags(allow_tf32=False):
        made = network.cuda()(frames.cuda(), t.cuda()).picture.cpu()
    torch.testing.assert_close(made, expected, rtol=0, atol=1e-4)
