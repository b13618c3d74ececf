"""Token orders and their inverses."""

import itertools

import pytest
import torch

from vfimamba_cli.ops.cross_scan import cross_merge, cross_scan

ARRANGEMENTS = list(itertools.product(("interleaved", "sequential"), repeat=2))


@pytest.mark.parametrize(("rows", "columns"), ARRANGEMENTS)
@pytest.mark.parametrize(("height", "width"), [(1, 1), (4, 4), (3, 5), (34, 60)])
def test_merge_puts_every_token_back_where_scan_took_it(height, width, rows, columns):
    x = torch.randn(2, 3, 5, height, width)
    order = {"rows": rows, "columns": columns}
    merged = cross_merge(cross_scan(x, **order), height, width, exact=True, **order)
    torch.testing.assert_close(merged, 4 * x)


def test_the_four_orders_are_rows_columns_and_their_reverses():
    x = torch.arange(8).view(2, 1, 1, 2, 2)  # frame 0: 0 1 / 2 3, frame 1: 4 5 / 6 7
    rows, columns = [0, 4, 1, 5, 2, 6, 3, 7], [0, 4, 2, 6, 1, 5, 3, 7]
    expected = [rows, columns, rows[::-1], columns[::-1]]
    assert cross_scan(x)[0, :, 0].tolist() == expected
    sequential = cross_scan(x, rows="sequential", columns="sequential")
    assert sequential[0, 0, 0].tolist() == [0, 1, 2, 3, 4, 5, 6, 7]
    assert sequential[0, 1, 0].tolist() == [0, 2, 1, 3, 4, 6, 5, 7]


def test_the_published_merge_moves_column_tokens_as_the_formula_says():
    height, width = 3, 4
    y = torch.zeros(1, 4, 1, 2 * height * width)
    for s, w, h in itertools.product(range(2), range(width), range(height)):
        y.zero_()
        y[0, 1, 0, s * height * width + w * height + h] = 1
        merged = cross_merge(y, height, width, exact=False)
        j = s * height * width + h * width + w  # interleaved row position
        frame, row, column = j % 2, j // 2 // width, j // 2 % width
        assert merged[frame, 0, 0, row, column] == 1
        assert merged.sum() == 1


def test_the_published_merge_of_sequential_tokens_is_exact():
    x = torch.randn(2, 1, 2, 3, 5)
    order = {"rows": "sequential", "columns": "sequential"}
    torch.testing.assert_close(
        cross_merge(cross_scan(x, **order), 3, 5, exact=False, **order), 4 * x
    )
