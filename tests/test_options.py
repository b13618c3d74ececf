"""How times and rates are spelled."""

from fractions import Fraction

import pytest

from vfimamba_cli.errors import OptionError
from vfimamba_cli.pipeline.options import parse_rate, parse_ratio
from vfimamba_cli.video.timeline import parse_seconds


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", "2"),
        ("2.5", "5/2"),
        ("5/2", "5/2"),
        (" 2. ", "2"),
        (".5", "1/2"),
        ("2.5025", "1001/400"),
    ],
)
def test_a_ratio_is_taken_exactly(text, value):
    assert parse_ratio(text, "--factor") == Fraction(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("60", "60"),
        ("59.94", "60000/1001"),
        ("23.976", "24000/1001"),
        ("23.98", "24000/1001"),
        ("29.97003", "30000/1001"),
        ("119.88", "120000/1001"),
        ("24000/1001", "24000/1001"),
        ("12.5", "25/2"),
        ("29.9", "299/10"),
        ("24.00", "24"),
        ("23.95", "479/20"),
    ],
)
def test_the_rates_of_broadcasting_are_meant_where_they_are_rounded(text, value):
    assert parse_rate(text, "--fps") == Fraction(value)


@pytest.mark.parametrize(
    ("text", "value"), [("90", "90"), ("1:30", "90"), ("1:00:00.5", "7201/2"), ("0.04", "1/25")]
)
def test_a_time_is_taken_exactly(text, value):
    assert parse_seconds(text, "--start") == Fraction(value)


@pytest.mark.parametrize("parse", [parse_ratio, parse_rate, parse_seconds])
@pytest.mark.parametrize("text", ["", "two", "1/0", "2x", "nan", "1e3", "1:2:3:4"])
def test_what_is_no_number_is_refused_by_name(parse, text):
    with pytest.raises(OptionError, match="--it") as caught:
        parse(text, "--it")
    assert "--it" in caught.value.hint
