"""A frame maker with the smallest network."""

from fractions import Fraction

import torch

from tests.clips import even_times
from vfimamba_cli.engine.interpolator import Interpolator
from vfimamba_cli.model.config import TINY
from vfimamba_cli.model.registry import ModelSpec
from vfimamba_cli.pipeline.frames import FrameMaker
from vfimamba_cli.video.timeline import MultiplyRate


def maker(factor, device="cpu", *, frames=9, arbitrary_time=True):
    """For `frames` of a constant rate; the network is always the same, and untrained."""
    torch.manual_seed(0)
    network = ModelSpec(name="tiny", config=TINY, arbitrary_time=arbitrary_time).build()
    timeline = MultiplyRate(Fraction(factor), even_times(frames))
    return FrameMaker(Interpolator(network, device=device, scan="chunked"), timeline)
