"""Random inputs of the scan over feature maps, and how far results may be off."""

import torch

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
NAMES = ("u", "x_dbl", "A", "D", "dt_weight", "dt_bias")


def scan_inputs(batch, height, width, *, channels=16, rank=3, states=16, dtype=torch.float32):
    def normal(*shape):
        return torch.randn(shape, device=DEVICE)

    grid = (2, batch, height, width)
    return {
        "u": normal(*grid, channels).to(dtype),
        "x_dbl": normal(*grid, 4 * (rank + 2 * states)).to(dtype),
        "A": -torch.exp(normal(4, channels, states)),
        "D": normal(4, channels),
        "dt_weight": 0.5 * normal(4, channels, rank),
        "dt_bias": normal(4, channels) - 2,
    }


def assert_near(actual, expected, tolerance):
    limit = tolerance * max(1.0, expected.abs().max().item())
    torch.testing.assert_close(actual.float(), expected.float(), rtol=0, atol=limit)
