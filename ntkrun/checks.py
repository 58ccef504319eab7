"""Parameter checks that return sentences instead of raising, so that all problems are told at once."""

from __future__ import annotations

import math
from collections.abc import Sequence
from numbers import Integral, Real

from ntkrun.errors import must_be


def integer(owner: str, name: str, value: object, low: int, high: int | None = None) -> list[str]:
    """Check that `value` is a whole number in [low, high]."""
    ok = isinstance(value, Integral) and not isinstance(value, bool)
    if ok and int(value) >= low and (high is None or int(value) <= high):  # type: ignore[call-overload]
        return []
    reach = f">= {low}" if high is None else f"in [{low}, {high}]"
    return [must_be(name, owner, f"an integer {reach}", value)]


def odd(owner: str, name: str, value: object) -> list[str]:
    """Check that `value` is an odd positive integer."""
    problems = integer(owner, name, value, 1)
    if not problems and value % 2 == 0:  # type: ignore[operator]
        problems = [must_be(name, owner, "odd", value, "An even filter has no centre; use 3 or 5.")]
    return problems


def real(owner: str, name: str, value: object, low: float, high: float = math.inf) -> list[str]:
    """Check that `value` is a finite number with low < value < high."""
    ok = isinstance(value, Real) and not isinstance(value, bool)
    if ok and math.isfinite(value) and low < value < high:  # type: ignore[arg-type, operator]
        return []
    reach = f"> {low:g}" if high == math.inf else f"in ({low:g}, {high:g})"
    return [must_be(name, owner, f"a finite number {reach}", value)]


def boolean(owner: str, name: str, value: object) -> list[str]:
    """Check that `value` is true or false."""
    return [] if isinstance(value, bool) else [must_be(name, owner, "true or false", value)]


def choice(owner: str, name: str, value: object, allowed: Sequence[str]) -> list[str]:
    """Check that `value` is one of the allowed words."""
    if value in allowed:
        return []
    return [must_be(name, owner, "one of " + ", ".join(allowed), value)]
