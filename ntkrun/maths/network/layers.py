"""A network as a list of layers, and the fold over it that every reading uses.

A reading turns each layer into a map of states: sketched features, features fitted to images, exact features,
or the exact kernel. `read` composes these maps.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ntkrun.errors import must_be

WORDS = ("conv", "act", "pool")
MYRTLE5 = ("conv", "act", "conv", "act", "pool", "conv", "act", "pool", "conv", "act")


@dataclass(frozen=True)
class Step:
    """One layer.

    Attributes
    ----------
    word : {"conv", "act", "pool"}
    number : int
        Position in the list, from 0.
    q : int
        Side of its neighbourhood; 1 for a single position.
    pools, acts : int
        Pools and activations before it.
    """

    word: str
    number: int
    q: int
    pools: int
    acts: int


class Reading(Protocol):
    """Interface of a reading: makes the map of each layer, and `head`, the last activation and the average.

    Layers are made in order, so one may depend on those before it.
    """

    def conv(self, step: Step) -> Callable[[Any], Any]:
        """Return the map of a convolution."""

    def act(self, step: Step) -> Callable[[Any], Any]:
        """Return the map of an activation."""

    def pool(self, step: Step) -> Callable[[Any], Any]:
        """Return the map of a 2 x 2 average."""

    def head(self, step: Step) -> Callable[[Any], Any]:
        """Return the map from the last state to the result."""


@dataclass
class Chain:
    """Maps of the layers in order, then the head; a call passes a state through all of them."""

    layers: list[Callable[[Any], Any]]
    head: Callable[[Any], Any]

    def __call__(self, state: Any) -> Any:
        """Return the result for a state before the first layer."""
        for layer in self.layers:
            state = layer(state)
        return self.head(state)


def read(network: Sequence[Step], reading: Reading) -> Chain:
    """Return a network in a reading."""
    make = {"conv": reading.conv, "act": reading.act, "pool": reading.pool}
    layers = [make[step.word](step) for step in network[:-1]]
    return Chain(layers, reading.head(network[-1]))


def steps(words: Sequence[str], filter_size: int, merged: bool = False) -> list[Step]:
    """Return the layers that the words name; `merged` joins a conv with the act directly after it."""
    out: list[Step] = []
    pools = acts = 0
    for i, word in enumerate(words):
        if merged and word == "conv" and words[i + 1] == "act":
            continue
        joined = merged and word == "act" and words[i - 1] == "conv"
        out.append(Step(word, len(out), filter_size if joined or word == "conv" else 1, pools, acts))
        pools += word == "pool"
        acts += word == "act"
    return out


def problems(owner: str, layers: Sequence[str]) -> list[str]:
    """Return one sentence per problem of a list of layers."""

    def wrong(constraint: str) -> list[str]:
        return [must_be("layers", owner, constraint, " ".join(map(str, layers)))]

    if not layers or any(word not in WORDS for word in layers):
        return wrong(f"a list of {', '.join(WORDS)}")
    if layers[0] != "conv" or layers[-1] != "act":
        return wrong("a list that begins with conv and ends with act")
    linear = False  # a ReLU needs fresh Gaussian inputs, which only weights give
    for word in layers:
        if word == "act" and not linear:
            return wrong("a list with a conv between every two act")
        linear = word == "conv" or (linear and word == "pool")
    return []


def side_at_end(layers: Sequence[str], filter_size: int, same: bool, side: int) -> int:
    """Return the length of an image side after all layers."""
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
