"""Check parameters and return sentences instead of raising, to report all problems at once."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import is_dataclass
from numbers import Integral, Real
from types import NoneType
from typing import Any, get_args, get_origin, get_type_hints

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


def at_least(owner: str, name: str, value: object, low: float, high: float) -> list[str]:
    """Check that `value` is a number with low <= value <= high."""
    ok = isinstance(value, Real) and not isinstance(value, bool)
    if ok and low <= value <= high:  # type: ignore[operator]
        return []
    return [must_be(name, owner, f"a number in [{low:g}, {high:g}]", value)]


def boolean(owner: str, name: str, value: object) -> list[str]:
    """Check that `value` is true or false."""
    return [] if isinstance(value, bool) else [must_be(name, owner, "true or false", value)]


def choice(owner: str, name: str, value: object, allowed: Sequence[str]) -> list[str]:
    """Check that `value` is one of the allowed words."""
    if value in allowed:
        return []
    return [must_be(name, owner, "one of " + ", ".join(allowed), value)]


def types(cls: type, arguments: Mapping[str, object]) -> list[str]:
    """Check text, list and mapping arguments of a class against the annotations of its constructor.

    Numbers are checked by the class, which knows their range.
    """
    hints = get_type_hints(cls if is_dataclass(cls) else cls.__init__)  # type: ignore[misc]
    return [
        must_be(name, cls.__name__, _kind(hints[name]), value)
        for name, value in arguments.items()
        if name in hints and not _fits(value, hints[name])
    ]


def _fits(value: object, hint: Any) -> bool:
    inside = get_args(hint)
    if hint is str:
        return isinstance(value, str)
    if hint is NoneType:
        return value is None
    if get_origin(hint) in (list, tuple, Sequence):
        return isinstance(value, list | tuple) and all(_fits(v, inside[0]) for v in value)
    if get_origin(hint) is dict:
        return isinstance(value, dict) and all(_fits(v, inside[1]) for v in value.values())
    # a union fits if one of its parts does; any other type is a number
    return not inside or any(_fits(value, part) for part in inside)


def _kind(hint: Any) -> str:
    inside = get_args(hint)
    if get_origin(hint) in (list, tuple, Sequence):
        return f"a list of {_kind(inside[0])}"
    if get_origin(hint) is dict:
        return "key: value pairs"
    if inside:
        return " or ".join(_kind(part) for part in inside)
    return {str: "text", NoneType: "null"}.get(hint, "a number")
