"""Pictures to a GPU and back while it computes."""

from collections import deque

import numpy as np
import pytest
import torch

from tests.engine.test_color import SPECS, codes_of, noisy_picture, spec_name
from vfimamba_cli.engine.color import to_planes, to_rgb
from vfimamba_cli.engine.transfer import CudaTransfer, DirectTransfer, choose_transfer
from vfimamba_cli.frame import ColorSpec

GPU = torch.device("cuda")


def padded_codes(color, height, width, seed=0):
    """As `codes_of`, in memory with padded lines."""
    shapes = color.plane_shapes(height, width)
    wide = codes_of(color, height, width + 5, seed)
    return tuple(plane[:, :w] for plane, (_, w) in zip(wide, shapes, strict=True))


def test_without_a_gpu_pictures_are_there_at_once():
    transfer = choose_transfer(torch.device("cpu"))
    assert isinstance(transfer, DirectTransfer)
    assert transfer.depth == 0
    color = ColorSpec(matrix="bt709")
    planes = to_planes(noisy_picture(36, 52), color)
    rgb = transfer.upload(planes, color)
    assert torch.equal(rgb, to_rgb(planes, color, "cpu"))
    download = transfer.download(rgb, color, transfer.begin())
    for there, expected in zip(download.planes(), planes, strict=True):
        np.testing.assert_array_equal(there, expected)
    assert 0 < download.seconds() < 60


@pytest.mark.gpu
@pytest.mark.parametrize("color", SPECS, ids=spec_name)
def test_the_gpu_gives_the_codes_of_the_cpu(color):
    transfer = CudaTransfer(GPU)
    for size in ((1, 1), (2, 3), (36, 52), (37, 51), (270, 482)):
        planes = padded_codes(color, *size)
        there, here = transfer.upload(planes, color), to_rgb(planes, color, "cpu")
        torch.testing.assert_close(there.cpu(), here, rtol=0, atol=2e-6)
        back = transfer.download(there, color, transfer.begin()).planes()
        for one, other in zip(back, to_planes(here, color), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


@pytest.mark.gpu
@pytest.mark.parametrize("color", SPECS, ids=spec_name)
def test_any_picture_comes_down_as_from_the_cpu_but_for_ties(color):
    picture = noisy_picture(270, 482)
    transfer = CudaTransfer(GPU)
    there = transfer.download(picture.to(GPU), color, transfer.begin()).planes()
    for one, other in zip(there, to_planes(picture, color), strict=True):
        apart = np.abs(one.astype(int) - other.astype(int))
        assert apart.max() <= 1
        assert np.mean(apart > 0) < 1e-5 * (1 << color.bit_depth)


@pytest.mark.gpu
def test_nothing_is_overwritten_before_it_is_used():
    """The engine's picture is static, as a recorded graph's is, and the GPU lags behind."""
    color, transfer = ColorSpec(matrix="bt709"), CudaTransfer(GPU)
    planes = [padded_codes(color, 1080, 1920, seed) for seed in range(4)]
    expected = [to_planes(to_rgb(picture, color, "cpu"), color) for picture in planes]
    static = torch.empty(3, 1080, 1920, device=GPU)
    busy = torch.randn(4096, 4096, device=GPU)
    on_the_way, kept = deque(), []

    def arrive():
        number, download = on_the_way.popleft()
        for one, other in zip(download.planes(), expected[number % 4], strict=True):
            np.testing.assert_array_equal(one, other)
        assert 0 < download.seconds() < 10
        kept.append((number, download.planes()))
        del kept[:-5]

    for number in range(60):
        rgb = transfer.upload(planes[number % 4], color)
        begun = transfer.begin()
        busy = busy @ busy / 64
        static.copy_(rgb)
        on_the_way.append((number, transfer.download(static, color, begun)))
        static.fill_(0.5)
        if len(on_the_way) > transfer.depth:
            arrive()
    while on_the_way:
        arrive()
    for number, still in kept:
        for one, other in zip(still, expected[number % 4], strict=True):
            np.testing.assert_array_equal(one, other)


@pytest.mark.gpu
def test_memory_is_used_again():
    color, transfer = ColorSpec(matrix="bt709"), CudaTransfer(GPU)
    planes = padded_codes(color, 540, 960)

    def walk(count):
        on_the_way = deque()
        for _ in range(count):
            rgb = transfer.upload(planes, color)
            on_the_way.append(transfer.download(rgb, color, transfer.begin()))
            if len(on_the_way) > transfer.depth:
                on_the_way.popleft().planes()
        torch.cuda.synchronize()
        stats = torch.cuda.host_memory_stats()
        return torch.cuda.memory_reserved(), stats["allocated_bytes.current"]

    few, many = walk(50), walk(500)  # how many are on their way at once depends on the GPU's load
    assert all(later <= 2 * earlier for earlier, later in zip(few, many, strict=True))
