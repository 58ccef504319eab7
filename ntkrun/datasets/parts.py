"""Draw a test part from a data set that has none."""

from __future__ import annotations

import numpy as np

from ntkrun.datasets.split import stratified_order


def test_rows(y: np.ndarray, classes: int | None, fraction: float, seed: int) -> np.ndarray:
    """Return a mask (n,) of the rows in the test part: a share of them, stratified by class.

    For regression, with `classes` None, the rows are drawn alike. The order that make_split draws with the
    same seed is another one.
    """
    count = min(max(1, round(fraction * len(y))), max(1, len(y) - 1))
    mask = np.zeros(len(y), bool)
    mask[stratified_order(y, classes, seed + 1)[len(y) - count :]] = True
    return mask
