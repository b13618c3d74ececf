"""What a frame costs: the published figures, memory by hand, and a plot that can be read."""

from xml.etree import ElementTree

import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from vfimamba_cli.bench.cost import CostRow, count, count_models, find_spec, plot
from vfimamba_cli.bench.counting import CountedAttention, CountedScan, LiveMemory
from vfimamba_cli.bench.plot import ticks
from vfimamba_cli.errors import CheckpointError

MB = 1 << 20


def floats(megabytes):
    return torch.empty(megabytes * MB // 4, device="meta")


@pytest.mark.parametrize(
    ("name", "without", "total"),
    [("vfimamba-s", 240, 248.9), ("vfimamba-official", 935, 951.9)],
)
def test_multiply_adds_at_720p_are_the_published_ones(name, without, total):
    row = count(find_spec(name), name, "s6", width=1280, height=720, flow_scale=1)
    assert row.macs / 1e9 == pytest.approx(without, rel=0.01)
    assert (row.macs + row.mixing_macs) / 1e9 == pytest.approx(total, rel=0.01)


def test_motion_at_half_the_size_costs_less_but_a_second_pass_of_features():
    spec = find_spec("vfimamba-s")
    row = count(spec, "s", "s6", width=1920, height=1080, flow_scale=0.5)  # pads to 1088
    assert (row.macs + row.mixing_macs) / 1e9 == pytest.approx(539.0, rel=0.01)
    assert row.mixing_macs / 1e9 == pytest.approx(24.1, rel=0.01)


def test_attention_grows_with_the_square_of_the_pixels_and_the_scan_with_the_pixels():
    rows = list(count_models(["tiny"], sizes=[(128, 128), (256, 256)], flow_scale="auto"))
    small, large, small_attention, large_attention = (row.mixing_macs for row in rows)
    assert large == 4 * small
    assert large_attention == 16 * small_attention
    assert all(row.stored_bytes > row.memory_bytes for row in rows[1::2])
    assert rows[2].parameters > rows[0].parameters


def test_attention_is_counted_by_hand():
    noted = []

    class Noted:
        def mixing(self, *numbers):
            noted.append(numbers)

    q = torch.empty(2, 3, 50, 8, device="meta")
    with CountedAttention(Noted()):
        assert scaled_dot_product_attention(q, q, q, attn_mask=None).shape == q.shape
    assert noted == [(2 * 2 * 3 * 50 * 50 * 8, 4 * 2 * 3 * 50 * 50)]
    u, A = torch.empty(1, 4, 6, 10, device="meta"), torch.empty(4, 6, 16)
    y = CountedScan(count=Noted()).load()(u, u, A, u, u, A, A)
    assert (y.shape, y.dtype) == (u.shape, torch.float32)
    assert noted[1] == (4 * 4 * 6 * 10 * 16, 4 * 4 * 6 * 10 * 16)


def test_memory_is_that_of_tensors_alive_at_once():
    given = floats(64)
    with LiveMemory() as memory:
        a = given * 2
        view = a[:10].view(2, 5)
        b = a + 1
        assert (memory.live, memory.peak) == (128 * MB, 128 * MB)
        del a
        assert memory.live == 128 * MB  # the view still holds it
        del view
        assert memory.live == 64 * MB
        b += 1
        given.mul_(2)
        assert memory.live == 64 * MB
        c = b.half()
        del b, c
    assert (memory.live, memory.peak) == (0, 128 * MB)


def test_a_name_needs_no_weights_but_must_be_known():
    assert find_spec("vfimamba-official").config.width == 32
    with pytest.raises(CheckpointError, match="Unknown model: rife"):
        find_spec("rife")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (17, 2160, [10, 20, 50, 100, 200, 500, 1000, 2000, 5000]),
        (0.07, 32.5, [0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50]),
        (3, 4, [2, 5]),
        (5, 5, [5, 10]),
        (1, 1, [1, 2]),
        (0.2, 30000, [0.1, 1, 10, 100, 1000, 10000, 100000]),
    ],
)
def test_ticks_enclose_the_values(low, high, expected):
    assert ticks(low, high) == pytest.approx(expected)


def row(mixer, side, macs):
    return CostRow(
        model="a<b",
        mixer=mixer,
        width=side,
        height=side,
        flow_scale=1,
        parameters=1,
        macs=macs * 10**9,
        mixing_macs=0,
        memory_bytes=2**30,
        stored_bytes=2**31,
    )


def test_the_plot_puts_every_value_where_it_belongs():
    rows = [row("s6", 100, 10), row("s6", 300, 100), row("full_attention", 100, 20)]
    svg = ElementTree.fromstring(plot(rows))
    macs, memory = svg.findall("{*}g")
    assert [text.text for text in macs.findall("{*}text")][-2:] == [
        "a<b, S6",
        "a<b, full attention",
    ]
    paths = [path for path in macs.findall("{*}path") if "L" in path.get("d")]
    assert [path.get("d") for path in paths] == ["M0.0 260.0L360.0 0.0"]  # 10 and 100 of 10..100
    dots = [(float(c.get("cx")), float(c.get("cy"))) for c in macs.findall("{*}circle")]
    assert dots[2] == (0, pytest.approx(260 * 0.699, abs=0.1))  # 20 is 0.301 of a decade
    assert sum("stroke-dasharray" in path.attrib for path in memory.findall("{*}path")) == 4
