"""Handwritten digits of scikit-learn, 8 x 8 grey pixels; needs no network."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntkrun.datasets.base import DataSource
from ntkrun.datasets.split import Split, make_split, stratified_order


@dataclass(frozen=True, kw_only=True)
class Digits(DataSource):
    """1,797 images of digits (UCI optdigits test set); a fifth is the test part."""

    name = "digits"
    holds = "images"

    def load(self) -> Split:
        """Return the split; see DataSource."""
        from sklearn.datasets import load_digits

        data = load_digits()
        x = data.images[..., None].astype(np.float32)
        y = data.target.astype(np.int64)
        order = stratified_order(y, 10, self.split_seed + 1)
        cut = round(0.8 * len(y))
        train, test = order[:cut], order[cut:]
        return make_split("digits", (x[train], y[train]), (x[test], y[test]), classes=10, **self.subset())
