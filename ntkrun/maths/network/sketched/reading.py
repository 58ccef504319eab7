"""A network read as sketched features."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import torch

from ntkrun.maths.dual.polynomial import coefficients
from ntkrun.maths.kernel.rows import unit
from ntkrun.maths.network.layers import Step
from ntkrun.maths.network.sketched.conv import Conv, InputConv
from ntkrun.maths.network.sketched.head import TangentHead
from ntkrun.maths.network.sketched.pair import Pair, remainder
from ntkrun.maths.network.sketched.relu import Relu
from ntkrun.maths.rng import Stream


@dataclass
class Sketched:
    """Draws the layers of a ReLU network, each for the constants that the layer before it leaves.

    Parameters
    ----------
    dim : int
        Sketch width per position in hidden layers.
    degree : int
        Degree of the polynomials.
    kind : {"fitted", "taylor"}
        Coefficients of the polynomials.
    columns : int
        Columns of the result.
    trained : bool
        Whether the first and the last layer are trained too.
    stream : Stream
        Source of the random numbers.
    dtype : torch.dtype
        Precision of the layers.
    device : torch.device
        Device of the layers.
    product : {"auto", "dense", "srht"}
        Sketch of tensor products.
    """

    dim: int
    degree: int
    kind: str
    columns: int
    trained: bool
    stream: Stream
    dtype: torch.dtype
    device: torch.device
    product: str = "auto"

    def __post_init__(self) -> None:
        self.alpha = 0.0
        self.beta = 0.0 if self.trained else None

    def relu(self, step: Step) -> Relu:
        """Return the next activation."""
        layer = step.acts + 1
        c1, c0 = (coefficients(self.kind, order, self.degree, layer) for order in (1, 0))
        stream = self.stream.child(f"relu{layer}")
        out = Relu(c1, c0, self.dim, self.alpha, self.beta, stream, self.dtype, self.product)
        self.alpha, self.beta = out.alpha, out.beta
        return out.to(self.device)

    def pool(self, step: Step) -> NoReturn:
        """Raise NotImplementedError: no polynomial sketch of an average is known."""
        raise NotImplementedError("sketched networks have no pool between their layers")


@dataclass
class SketchedImages(Sketched):
    """A convolutional network with `channels` channels; the last average is over all positions."""

    channels: int = 1
    filter_size: int = 3
    same: bool = True

    def conv(self, step: Step) -> InputConv | Conv:
        """Return the first convolution, of pixels, or a later one."""
        if step.number == 0:
            stream = self.stream.child("input")
            sizes = (self.channels, step.q, self.dim, self.same, self.trained)
            return InputConv(*sizes, stream, self.dtype).to(self.device)
        stream = self.stream.child(f"conv{step.acts}")
        return Conv(step.q, self.dim, self.same, stream, self.dtype).to(self.device)

    def act(self, step: Step) -> Relu:
        """Return an activation."""
        return self.relu(step)

    def head(self, step: Step) -> TangentHead:
        """Return the last activation and the average."""
        stream, relu = self.stream.child("head"), self.relu(step)
        head = TangentHead(relu, self.columns, self.trained, self.filter_size, stream, self.dtype)
        return head.to(self.device)


@dataclass
class SketchedRows(Sketched):
    """A fully connected network; its input state is a Pair of unit rows."""

    def conv(self, step: Step) -> NoReturn:
        """Raise NotImplementedError: rows have no neighbours."""
        raise NotImplementedError("fully connected networks have no conv")

    def act(self, step: Step) -> UnitRelu:
        """Return an activation whose result has unit rows."""
        return UnitRelu(self.relu(step))

    def head(self, step: Step) -> TangentHead:
        """Return the last activation."""
        stream, relu = self.stream.child("head"), self.relu(step)
        product = "srht" if self.product == "srht" else "dense"
        head = TangentHead(relu, self.columns, self.trained, None, stream, self.dtype, product)
        return head.to(self.device)


@dataclass
class UnitRelu:
    """An activation with phi rescaled to its exact length, from which sketches drift layer by layer.

    Conv does the same for images, with its products in another order, which changes the last digits.
    """

    relu: Relu

    def __call__(self, pair: Pair) -> Pair:
        """Return the pair after the activation."""
        pair = self.relu(pair)
        pair.phi = unit(pair.phi) * remainder(pair.alpha)[:, None]
        return pair
