"""Padding to the network's multiple and back."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from vfimamba_cli.engine.padding import Padding


def padded_by(padding, image):
    out = torch.full((*image.shape[:2], *padding.padded(*image.shape[2:])), torch.nan)
    padding.add(image, out)
    return out


@given(st.integers(1, 100), st.integers(1, 100), st.sampled_from([16, 32, 64]))
def test_padded_frames_are_multiples_and_cut_back_to_themselves(height, width, multiple):
    image = torch.rand(1, 1, height, width)
    padding = Padding.to_multiple(height, width, multiple)
    padded = padded_by(padding, image)
    assert not padded.isnan().any()
    assert padded.shape[-2] % multiple == 0
    assert padded.shape[-1] % multiple == 0
    assert padded.shape[-1] - width < multiple
    assert torch.equal(padding.remove(padded), image)


def test_padding_is_centred_and_repeats_the_edge():
    across = torch.arange(13.0).view(1, 1, 1, 13).expand(1, 1, 16, 13)
    padded = padded_by(Padding.to_multiple(16, 13, 16), across)
    assert padded[0, 0, 0].tolist() == [0, *range(13), 12, 12]
    down = torch.arange(13.0).view(1, 1, 13, 1).expand(1, 1, 13, 16)
    padded = padded_by(Padding.to_multiple(13, 16, 16), down)
    assert padded[0, 0, :, 0].tolist() == [0, *range(13), 12, 12]
