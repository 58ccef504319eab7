"""Whitening of patches, where `datasets/preprocess/zca.py` whitens whole images (Coates and Ng 2011)."""

from __future__ import annotations

import torch
from torch import Tensor

from ntkrun.maths.network.nystrom.layers import Patches
from ntkrun.maths.network.positions import reciprocal

# Coates and Ng add 10 to the variance of grey values in [0, 255], which is about this share of the mean.
FLOOR = 0.01
# A patch with less than this share of its square around its mean is constant up to rounding.
ROUNDING = 1e-12


class PatchWhitening:
    """Turns q x q patches into vectors whose coordinates are nearly uncorrelated.

    A patch loses its mean, is divided by its contrast, loses the mean of the training patches, is multiplied
    by (covariance + regulariser * mean eigenvalue)^(-1/2), and is scaled to unit norm unless `unit` is false.
    A constant patch becomes zero.

    Parameters
    ----------
    q : int
        Side of the patches; there is no padding.
    regulariser : float
        Share of the mean eigenvalue that is added to each eigenvalue.
    mirror : bool
        Whether the covariance and the mean include the mirrored training patches. Then the first `even`
        coordinates of a patch and of its mirror image (left to right) are equal, and the others are opposite.
    unit : bool
    floor : float
        Added to the squared contrast of a patch, as a share of its mean over the training patches.
    """

    def __init__(
        self, q: int, regulariser: float, mirror: bool = False, unit: bool = True, floor: float = FLOOR
    ):
        self.patches, self.regulariser = Patches(q, same=False), regulariser
        self.mirror, self.unit, self.share = mirror, unit, floor

    def fit(self, images: Tensor, index: Tensor) -> PatchWhitening:
        """Fit to the patches of images (n, h, w, c) at `index` (s,) of the flattened positions."""
        rows, square = self._centred(images, index)
        d = rows.shape[1]
        self.floor = self.share * float(square.mean())
        basis, self.even = self._basis(images)
        z = self._scaled(rows, square, square) @ basis.T
        mean, cross = z.mean(0), z.new_ones(d, d)
        if self.mirror:
            mean[self.even :] = cross[self.even :, : self.even] = cross[: self.even, self.even :] = 0
        z = z - mean
        values, vectors = torch.linalg.eigh(cross * (z.T @ z) / len(z))
        root = reciprocal((values.clamp(min=0) + self.regulariser * values.mean().clamp(min=0)).sqrt())
        whiten = (vectors * root) @ vectors.T
        matrix = whiten @ basis
        self.matrix, self.shift = matrix - matrix.mean(1, keepdim=True), whiten @ mean
        return self

    def __call__(self, images: Tensor) -> Tensor:
        """Return the whitened patches of images (n, h, w, c), (n, h - q + 1, w - q + 1, q q c)."""
        size, q = self.matrix.shape[1], self.patches.q
        pixels = images.to(torch.float64)
        energy = self.patches.norm(pixels.square().sum(-1))
        total = self.patches.norm(pixels.sum(-1)) * q
        square = energy - total.square() / size
        z = self.patches.multiply(images, self.patches.filters(self.matrix, images.dtype))
        return self._done(z, square, energy)

    def rows(self, images: Tensor, index: Tensor) -> Tensor:
        """Return the whitened patches at `index` (s,) of the flattened positions, (s, q q c) float64."""
        rows, square = self._centred(images, index)
        return self._done(rows @ self.matrix.T, square, self.patches.take(images, index).square().sum(1))

    def fitted(self) -> list[Tensor]:
        """Return what `fit` took from the images."""
        return [self.matrix, self.shift, self.matrix.new_tensor([self.floor])]

    def parts(self, z: Tensor) -> list[Tensor]:
        """Return the coordinates of whitened patches z that mirroring keeps, and those that it negates."""
        return [z[..., : self.even], z[..., self.even :]]

    def _centred(self, images: Tensor, index: Tensor) -> tuple[Tensor, Tensor]:
        rows = self.patches.take(images, index)
        rows = rows - rows.mean(1, keepdim=True)
        return rows, rows.square().sum(1)

    def _scaled(self, z: Tensor, square: Tensor, energy: Tensor) -> Tensor:
        """Return z divided by the contrast, and 0 for patches without any."""
        contrast = torch.where(square > ROUNDING * energy, square + self.floor, 0).sqrt()
        return z * reciprocal(contrast).to(z.dtype)[..., None]

    def _done(self, z: Tensor, square: Tensor, energy: Tensor) -> Tensor:
        shift = self.shift.to(z.dtype)
        z = self._scaled(z, square, energy) - shift
        norm = z.norm(dim=-1).to(torch.float64) if self.unit else torch.ones_like(square)
        norm = torch.where(square > ROUNDING * energy, norm, 0)
        return z * reciprocal(norm).to(z.dtype)[..., None]

    def _basis(self, images: Tensor) -> tuple[Tensor, int]:
        """Return an orthonormal basis of patches as rows, the symmetric first, and their number."""
        q, c = self.patches.q, images.shape[-1]
        eye = torch.eye(c * q * q, dtype=torch.float64, device=images.device)
        if not self.mirror:
            return eye, len(eye)
        flipped = eye.reshape(-1, c, q, q).flip(-1).flatten(1)
        place, other = eye.argmax(1), flipped.argmax(1)
        fixed, pairs = place == other, place < other
        even = torch.cat([eye[fixed], (eye + flipped)[pairs] / 2**0.5])
        return torch.cat([even, (eye - flipped)[pairs] / 2**0.5]), len(even)
