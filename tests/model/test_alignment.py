"""Channels that are added for tensor cores change no result."""

import pytest
import torch

from vfimamba_cli.checkpoint.load import TINY_SPEC
from vfimamba_cli.model.alignment import AlignedConv2d, side_by_side


def test_channels_beyond_the_weights_change_nothing():
    conv, x = AlignedConv2d(5, 4, 3, padding=1), torch.rand(2, 5, 6, 7)
    padded = torch.cat((x, torch.zeros(2, 3, 6, 7)), dim=1)
    torch.testing.assert_close(conv(padded), conv(x))
    given, expected = (torch.autograd.grad(conv(y).sum(), conv.weight)[0] for y in (padded, x))
    torch.testing.assert_close(given, expected)


def test_on_a_cpu_none_are_added():
    assert side_by_side((torch.rand(1, 3, 2, 2), torch.rand(1, 2, 2, 2))).shape[1] == 5


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
