"""A network read as features fitted to a sample of images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from ntkrun.maths.network.layers import Step
from ntkrun.maths.network.nystrom.head import ActivationPart, AdaptiveHead, TangentPart
from ntkrun.maths.network.nystrom.layers import Act, Conv, Fitting, Maps, Pool, passed
from ntkrun.maths.rng import Stream

L = TypeVar("L", Conv, Act, Pool)


@dataclass
class Fitted:
    """Fits each layer to the maps of a sample that has passed the layers before it.

    Parameters
    ----------
    maps : Maps
        Maps of the sample before the next layer.
    settings : callable
        Maps the number of pools before a layer to its Fitting.
    last : callable
        The same for the head.
    trained : {"inner", "all", "last"}
    columns, cells : int
        Columns of the result, and cells x cells parts of the image that are averaged over.
    stream : Stream
        Source of the choice of landmarks.
    """

    maps: Maps
    settings: Callable[[int], Fitting]
    last: Callable[[int], Fitting]
    trained: str
    columns: int
    cells: int
    stream: Stream

    def conv(self, step: Step) -> Conv:
        """Return a convolution with no activation directly after it."""
        return self._fitted(Conv(step.q, self.settings(step.pools), self._stream(step)))

    def act(self, step: Step) -> Act:
        """Return an activation, with the convolution before it if there is one."""
        return self._fitted(
            Act(step.q, self.settings(step.pools), self._stream(step), self.trained != "last")
        )

    def pool(self, step: Step) -> Pool:
        """Return a pool."""
        return self._fitted(Pool())

    def head(self, step: Step) -> AdaptiveHead:
        """Return the last activation and the average."""
        # the activation kernel has a far lower rank than the tangent part, which is a product
        m = self.columns
        wide = {"inner": 0, "all": m // 16, "last": m}[self.trained]
        settings, stream = self.last(step.pools), self.stream.child("head")
        parts: list[TangentPart | ActivationPart] = []
        if m - wide:
            parts.append(TangentPart(step.q, settings, m - wide, self.cells, stream.child("tangent")))
        if wide:
            parts.append(ActivationPart(step.q, settings, wide, self.cells, stream.child("activation")))
        head = AdaptiveHead(parts, m)
        head.fit(self.maps)
        return head

    def _stream(self, step: Step) -> Stream:
        return self.stream.child(f"{step.word}{step.number}")

    def _fitted(self, layer: L) -> L:
        layer.fit(self.maps)
        self.maps = passed(layer, self.maps)
        return layer
