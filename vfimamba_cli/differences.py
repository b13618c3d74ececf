"""What sets two settings apart: nested dictionaries and lists of JSON values."""

from collections.abc import Iterator
from typing import Any

NAMED = 5
"""Differences of two runs; the rest is counted."""


def differences(before: dict[str, Any], now: dict[str, Any]) -> str:
    """The first entries that are not the same in both, with both values; empty where all are."""
    old, new = dict(flatten(before)), dict(flatten(now))
    found = [
        f"{name} was {old.get(name)}, now {new.get(name)}"
        for name in sorted(old.keys() | new.keys())
        if old.get(name) != new.get(name)
    ]
    more = [f"{len(found) - NAMED} more"] if len(found) > NAMED else []
    return "; ".join(found[:NAMED] + more)


def flatten(value: Any, name: str = "") -> Iterator[tuple[str, Any]]:
    """Each single value of nested dictionaries and lists, by its path; empty ones as they are."""
    if not isinstance(value, dict | list) or not value:
        yield name, value
        return
    entries = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in entries:
        yield from flatten(inner, f"{name}.{key}" if name else str(key))
