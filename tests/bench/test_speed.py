"""What is timed with, and what is timed."""

import time

import pytest
import torch

from vfimamba_cli.bench import speed
from vfimamba_cli.bench.machine import Machine, Stopwatch, peak_bytes, reset_peak
from vfimamba_cli.bench.texture import DISTANCES, MovingTexture
from vfimamba_cli.checkpoint.load import HIDDEN, load_model
from vfimamba_cli.checkpoint.manifest import read_manifest
from vfimamba_cli.engine.interpolator import Interpolator

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def engine():
    return Interpolator(load_model("tiny"), device="cpu")


def shift_between(first, second):
    """(down, right) that brings `second` onto `first`; None if none does."""
    most = DISTANCES[1]
    inner = first[..., most:-most, most:-most]
    for down in range(-most, most + 1):
        for right in range(-most, most + 1):
            moved = second.roll((down, right), dims=(-2, -1))[..., most:-most, most:-most]
            if torch.equal(inner, moved):
                return down, right
    return None


def test_a_pair_is_one_texture_that_moved_by_some_pixels():
    texture = MovingTexture(48, 64, CPU)
    shifts = set()
    for number in range(5):
        first, second = texture.pair(number)
        assert first.shape == second.shape == (1, 3, 48, 64)
        assert first.dtype == torch.float32
        assert first.is_contiguous()
        assert first.min() >= 0
        assert first.max() <= 1
        down, right = shift_between(first, second)
        assert DISTANCES[0] - 1 <= (down**2 + right**2) ** 0.5 <= DISTANCES[1] + 1
        shifts.add((down, right))
    assert len(shifts) == 5


def test_pairs_differ_by_number_and_are_the_same_each_time():
    one, other = MovingTexture(32, 48, CPU), MovingTexture(32, 48, CPU)
    assert torch.equal(one.pair(3)[1], other.pair(3)[1])
    assert not torch.equal(one.pair(3)[0], one.pair(4)[0])


def test_the_texture_is_smooth_and_not_flat():
    picture, _ = MovingTexture(256, 256, CPU).pair(0)
    assert picture.std() > 0.05
    assert picture.diff(dim=-1).abs().mean() < 0.2 * picture.std()


def test_a_row_says_what_ran_and_the_shares_add_up(engine):
    row = speed.time_engine(engine, "tiny", width=70, height=40, runs=4)
    assert (row.model, row.dtype, row.width, row.height) == ("tiny", "float32", 70, 40)
    assert (row.flow_scale, row.tile, len(row.seconds)) == (1.0, None, 4)
    assert list(row.shares) == [*speed.PARTS, "other"]
    assert sum(row.shares.values()) == pytest.approx(1)
    assert all(0 < share < 1 for share in row.shares.values())
    assert len(row.cells()) == len(speed.HEADS) == len(speed.WIDTHS)


def test_every_run_sees_another_pair(engine, monkeypatch):
    seen = []
    monkeypatch.setattr(engine, "interpolate", lambda first, *rest: seen.append(first.sum().item()))
    monkeypatch.setattr(speed, "time_parts", lambda *rest: {})
    speed.time_engine(engine, "tiny", width=64, height=48, runs=4)
    assert len(set(seen)) == len(seen) == speed.WARM_UP + 4


def test_a_part_is_timed_where_it_is_called_and_the_network_is_left_as_it_was(engine, monkeypatch):
    refine = engine.model.refine_motion

    def slower(*inputs):
        time.sleep(0.2)
        return refine(*inputs)

    monkeypatch.setattr(engine.model, "refine_motion", slower)
    with speed.timed_calls(engine.model, CPU) as spent:
        engine.interpolate(*MovingTexture(32, 32, CPU).pair(0), [0.5])
    assert [len(seconds) for seconds in spent.values()] == [1] * len(speed.PARTS)
    assert spent["refine_motion"][0] >= 0.2
    assert speed.PARTS.keys() & vars(engine.model).keys() == {"refine_motion"}
    assert engine.model.refine_motion is slower


def test_tiles_and_flow_scale_and_dtype_are_the_engines():
    (row,) = speed.time_models(
        ["tiny"],
        sizes=[(96, 64)],
        dtypes=["bf16"],
        device=CPU,
        flow_scale=0.5,
        tile=32,
        runs=1,
        announce=print,
    )
    assert (row.flow_scale, row.tile, row.dtype) == (0.5, 32, "bfloat16")


def test_a_stopwatch_times_its_block():
    with Stopwatch(CPU) as watch:
        time.sleep(0.05)
    assert 0.05 <= watch.seconds < 0.5


def test_the_peak_of_the_process_is_counted_from_the_last_reset():
    if peak_bytes(CPU) is None:
        pytest.skip("this system does not tell a process's peak memory")
    reset_peak(CPU)
    before = peak_bytes(CPU)
    block = torch.ones(64 << 20)  # 256 MB
    assert peak_bytes(CPU) - before > 200e6
    del block
    reset_peak(CPU)
    assert peak_bytes(CPU) - before < 100e6


def test_the_machine_is_named_with_its_versions():
    machine = Machine.of(CPU)
    assert machine.gpu is None
    assert machine.versions["torch"] == torch.__version__
    assert f"{torch.get_num_threads()} threads, torch {torch.__version__}" in machine.line()


def test_the_large_network_can_be_timed_without_its_weights_and_is_listed_nowhere():
    spec = HIDDEN["vfimamba-random"]
    assert spec.config == read_manifest()["vfimamba-official"].spec.config
    assert not HIDDEN.keys() & read_manifest().keys()
    assert load_model("vfimamba-random").config == spec.config


@pytest.mark.gpu
def test_on_cuda_the_device_keeps_the_time_and_the_peak():
    device = torch.device("cuda")
    (row,) = speed.time_models(
        ["tiny"],
        sizes=[(256, 256)],
        dtypes=["fp16"],
        device=device,
        flow_scale="auto",
        tile=0,
        runs=2,
        announce=print,
    )
    assert all(0 < seconds < 10 for seconds in row.seconds)
    assert 0 < row.peak_bytes < 4 << 30
    assert sum(row.shares.values()) == pytest.approx(1)
