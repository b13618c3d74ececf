"""The compiled loop over feature maps is the plain scan."""

import pytest
import torch

from vfimamba_cli.ops.scan import choose_backend
from vfimamba_cli.ops.scan.cpu_grid import cross_selective_scan
from vfimamba_cli.ops.scan.cross_reference import cross_selective_scan as reference


def scan_inputs(batch, height, width, *, channels=72, rank=3, states=16):
    grid = (2, batch, height, width)
    return {
        "u": torch.randn(*grid, channels),
        "x_dbl": torch.randn(*grid, 4 * (rank + 2 * states)),
        "A": -torch.exp(torch.randn(4, channels, states)),
        "D": torch.randn(4, channels),
        "dt_weight": 0.5 * torch.randn(4, channels, rank),
        "dt_bias": torch.randn(4, channels) - 2,
    }


@pytest.mark.parametrize("exact", [True, False], ids=["exact", "published"])
@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("size", [(1, 1), (1, 7), (7, 1), (5, 3), (17, 9), (34, 60)])
@torch.inference_mode()
def test_the_loop_is_the_reference(size, batch, exact):
    inputs = scan_inputs(batch, *size)
    expected = reference(**inputs, exact_columns=exact)
    actual = cross_selective_scan(**inputs, exact_columns=exact)
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


@pytest.mark.parametrize(("channels", "rank", "states"), [(64, 8, 16), (130, 1, 5), (3, 16, 1)])
@torch.inference_mode()
def test_any_number_of_channels_ranks_and_states(channels, rank, states):
    inputs = scan_inputs(1, 6, 11, channels=channels, rank=rank, states=states)
    expected = reference(**inputs, exact_columns=False)
    actual = cross_selective_scan(**inputs, exact_columns=False)
    assert (actual - expected).abs().max() <= 1e-5 * expected.abs().max()


def test_a_wanted_gradient_is_refused():
    inputs = scan_inputs(1, 2, 3)
    inputs["u"].requires_grad_()
    with pytest.raises(ValueError, match="no gradients"):
        cross_selective_scan(**inputs, exact_columns=True)


def test_the_cpu_backend_has_both_forms():
    backend = choose_backend("cpu", torch.device("cpu"))
    assert backend.sequences
    assert backend.load_grid() is cross_selective_scan
