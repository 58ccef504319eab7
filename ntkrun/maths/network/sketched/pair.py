"""What flows between layers."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass
class Pair:
    """Features of the activation kernel (phi) and of the tangent kernel (psi) at every position.

    Both are kept without the factor sqrt(norm), so that <phi, phi'> approximates a cosine. Each is a pair
    of one exact coordinate, which collects what is the same everywhere (the degree-0 terms of the
    dual), and `dim` sketched ones. Sketching the constant would scale whole kernels at random.

    Attributes
    ----------
    norm : Tensor (*b)
        Exact squared norm N of the position; *b is (n,) for rows, (n, h, w) for images.
    alpha, phi : Tensor (*b), (*b, dim)
        alpha alpha' + <phi, phi'> ~ Sigma(x, x') / sqrt(N N').
    beta, psi : Tensor (*b), (*b, dim), or both None while nothing is trained yet
        beta beta' + <psi, psi'> ~ Theta(x, x') / sqrt(N N').
    """

    norm: Tensor
    alpha: Tensor
    phi: Tensor
    beta: Tensor | None = None
    psi: Tensor | None = None

    def tangent(self) -> tuple[Tensor, Tensor]:
        """Return beta and psi; ValueError where nothing is trained yet."""
        if self.beta is None or self.psi is None:
            raise ValueError("psi of Pair must be present. Got None instead. Train a layer before the head.")
        return self.beta, self.psi
