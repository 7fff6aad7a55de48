"""Refuse numbers that make no sense, by their names."""

from __future__ import annotations


def at_least(least: float, **given: float | None) -> None:
    """Refuse numbers below ``least``, and NaN; None is no number.

    Raises:
        ValueError: Naming the number, its value and what was expected.

    Example:
        >>> at_least(1, layers=5, components=0)
        Traceback (most recent call last):
        ...
        ValueError: components = 0; expected at least 1
    """
    for name, value in given.items():
        if value is not None and not value >= least:
            raise ValueError(f"{name} = {value}; expected at least {least}")
