"""A network as a list of words: conv, act, pool. What follows what, and at which resolution."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ntkrun.errors import must_be

WORDS = ("conv", "act", "pool")
MYRTLE5 = ("conv", "act", "conv", "act", "pool", "conv", "act", "pool", "conv", "act")


@dataclass(frozen=True)
class Step:
    """One layer: its word, the side of the neighbourhood that it looks at, and the pools before it."""

    word: str
    q: int
    pools: int


def problems(owner: str, layers: Sequence[str]) -> list[str]:
    """Return what is wrong with a list of layers, a sentence each."""

    def wrong(constraint: str) -> list[str]:
        return [must_be("layers", owner, constraint, " ".join(map(str, layers)))]

    if not layers or any(word not in WORDS for word in layers):
        return wrong(f"a list of {', '.join(WORDS)}")
    if layers[0] != "conv" or layers[-1] != "act":
        return wrong("a list that begins with conv and ends with act")
    linear = False  # a ReLU wants fresh Gaussian inputs, which only weights make
    for word in layers:
        if word == "act" and not linear:
            return wrong("a list with a conv between every two act")
        linear = word == "conv" or (linear and word == "pool")
    return []


def steps(layers: Sequence[str], filter_size: int) -> list[Step]:
    """Return the layers with a conv merged into the act right behind it."""
    out: list[Step] = []
    pools = 0
    for i, word in enumerate(layers):
        if word == "conv" and layers[i + 1] == "act":
            continue
        merged = word == "act" and layers[i - 1] == "conv"
        out.append(Step(word, filter_size if merged or word == "conv" else 1, pools))
        pools += word == "pool"
    return out


def side_at_end(layers: Sequence[str], filter_size: int, same: bool, side: int) -> int:
    """Return what is left of an image side behind all layers."""
    for word in layers:
        if word == "pool":
            side //= 2
        elif word == "conv" and not same:
            side -= filter_size - 1
    return side


def smallest_side(layers: Sequence[str], filter_size: int, same: bool) -> int:
    """Return the smallest image side that leaves at least one position at the end."""
    side = 1
    for word in reversed(layers):
        if word == "pool":
            side *= 2
        elif word == "conv" and not same:
            side += filter_size - 1
    return side
