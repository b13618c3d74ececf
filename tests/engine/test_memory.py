"""Tiles that fit the memory."""

import pytest
import torch

from vfimamba_cli.engine import memory
from vfimamba_cli.engine.memory import Demand, TileChooser
from vfimamba_cli.ops.device import is_out_of_memory

CPU = torch.device("cpu")
FULL_HD = Demand(height=1080, width=1920, whole=800, part=900, halo=80)


def test_a_tile_needs_its_halo_and_what_is_kept_of_the_frame():
    assert FULL_HD.bytes_for(None) == 1700 * 1080 * 1920
    assert FULL_HD.bytes_for(256) == 800 * 1080 * 1920 + 900 * 416 * 416
    assert FULL_HD.bytes_for(1024) == 800 * 1080 * 1920 + 900 * 1080 * 1184


@pytest.mark.parametrize(
    ("free_mib", "expected"), [(9_000, None), (3_600, 1024), (2_600, 512), (2_200, 256), (1, 256)]
)
def test_tiles_are_as_large_as_the_free_memory_allows(monkeypatch, free_mib, expected):
    said = []
    monkeypatch.setattr(memory, "free_bytes", lambda _: free_mib << 20)
    chooser = TileChooser(CPU, forced=0, announce=said.append)
    assert [chooser.choose(FULL_HD) for _ in range(2)] == [expected] * 2
    assert said == ([f"memory: tiles of {expected} pixels"] if expected else [])


def test_a_forced_side_is_never_changed(monkeypatch):
    monkeypatch.setattr(memory, "free_bytes", lambda _: 1)
    assert TileChooser(CPU, forced=640, announce=pytest.fail).choose(FULL_HD) == 640


def test_free_memory_is_some_of_this_machines():
    assert 1 << 20 < memory.free_bytes(CPU) < 1 << 50


def test_memory_that_ran_out_in_a_recording_is_told_from_the_error_it_ends_with():
    with pytest.raises(RuntimeError) as caught:
        try:
            raise torch.OutOfMemoryError("CUDA out of memory")
        finally:
            raise RuntimeError("operation failed due to a previous error during capture")
    assert is_out_of_memory(caught.value)
    assert not is_out_of_memory(RuntimeError("operation not permitted when stream is capturing"))
