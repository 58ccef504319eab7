"""A network read as its exact kernel, Sigma and Theta between positions of image pairs."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from ntkrun.maths.network.layers import Step

Function = Callable[[Tensor], Tensor]


@dataclass
class Entries:
    """Sigma and Theta between some positions of two images, in any shape."""

    sigma: Tensor
    theta: Tensor


class Positions(Protocol):
    """Interface of the positions that `Entries` are kept for: what layers do to them."""

    def mean(self, z: Tensor) -> Tensor:
        """Return the mean over the offsets of a neighbourhood, shared by both positions."""

    def pool(self, z: Tensor) -> Tensor:
        """Return the mean over 2 x 2 positions on both sides."""

    def scale(self, acts: int, sigma: Tensor) -> Tensor:
        """Return sqrt(N N') before activation number `acts`, shaped like sigma."""

    def average(self, z: Tensor) -> Tensor:
        """Return the last average."""


@dataclass
class ExactKernel:
    """The recursion of docs/math.md, section 2, layer by layer.

    Parameters
    ----------
    positions : Positions
    duals : callable
        Maps the number of an activation to its functions (f, f') of cosines.
    trained : {"inner", "all", "last"}
    """

    positions: Positions
    duals: Callable[[int], tuple[Function, Function]]
    trained: str

    def start(self, sigma: Tensor) -> Entries:
        """Return the state before the first layer, for the inner products of pixels."""
        return Entries(sigma, sigma if self.trained == "all" else torch.zeros_like(sigma))

    def conv(self, step: Step) -> Callable[[Entries], Entries]:
        """Return a convolution."""
        return self._both(self.positions.mean)

    def pool(self, step: Step) -> Callable[[Entries], Entries]:
        """Return a pool."""
        return self._both(self.positions.pool)

    def act(self, step: Step) -> Callable[[Entries], Entries]:
        """Return an activation: Theta' = Theta f'(cos) + Sigma', Sigma' = sqrt(N N') f(cos)."""

        def act(entries: Entries) -> Entries:
            sigma, theta = self._activated(step, entries)
            return Entries(sigma, theta + sigma)

        return act

    def head(self, step: Step) -> Callable[[Entries], Tensor]:
        """Return the last activation and the average."""

        def head(entries: Entries) -> Tensor:
            sigma, theta = self._activated(step, entries)
            out = {"last": sigma, "all": theta + sigma}.get(self.trained, theta)
            return self.positions.average(out)

        return head

    def _activated(self, step: Step, entries: Entries) -> tuple[Tensor, Tensor]:
        f, derivative = self.duals(step.acts)
        scale = self.positions.scale(step.acts, entries.sigma)
        cosine = torch.where(scale > 0, entries.sigma / scale, 0)
        return scale * f(cosine), entries.theta * derivative(cosine)

    @staticmethod
    def _both(change: Function) -> Callable[[Entries], Entries]:
        return lambda entries: Entries(change(entries.sigma), change(entries.theta))
