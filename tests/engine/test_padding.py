"""Padding to the network's multiple and back."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from vfimamba_cli.engine.padding import Padding


@given(st.integers(1, 100), st.integers(1, 100), st.sampled_from([16, 32, 64]))
def test_padded_frames_are_multiples_and_cut_back_to_themselves(height, width, multiple):
    image = torch.rand(1, 1, height, width)
    padding = Padding.to_multiple(height, width, multiple)
    padded = padding.add(image)
    assert padded.shape[-2] % multiple == 0
    assert padded.shape[-1] % multiple == 0
    assert padded.shape[-1] - width < multiple
    assert torch.equal(padding.remove(padded), image)


def test_padding_is_centred_and_repeats_the_edge():
    across = torch.arange(13.0).view(1, 1, 1, 13).expand(1, 1, 16, 13)
    padded = Padding.to_multiple(16, 13, 16).add(across)
    assert padded[0, 0, 0].tolist() == [0, *range(13), 12, 12]
    padded = Padding.to_multiple(13, 16, 16).add(
        torch.arange(13.0).view(1, 1, 13, 1).expand(1, 1, 13, 16)
    )
    assert padded[0, 0, :, 0].tolist() == [0, *range(13), 12, 12]
