"""A network's stand-in, for tests in which what it makes must be known, or must cost nothing."""

import torch

from vfimamba_cli.pipeline.frames import FrameMaker


class Fading:
    """Makes the mix of both frames, and counts how often it is asked."""

    device = torch.device("cpu")

    def __init__(self):
        self.asked = 0

    def reachable(self, times):
        return list(times)

    def between(self, first, second, timesteps):
        self.asked += len(timesteps)
        return (torch.lerp(first, second, float(t)) for t in timesteps)


class Noise(Fading):
    """Makes nothing but noise."""

    def between(self, first, second, timesteps):
        return (torch.rand_like(first) for _ in timesteps)


def fading_maker(timeline, **options):
    return FrameMaker(Fading(), timeline, **options)
