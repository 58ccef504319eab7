"""Weights of words in counts of words."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from ntkrun.datasets.preprocess.base import BATCH, Preprocess
from ntkrun.datasets.rows import Rows, blocks
from ntkrun.errors import DataError, must_be
from ntkrun.maths.kernel.rows import unit
from ntkrun.maths.sparse import SparseRows


class TfIdf(Preprocess):
    """Divide each count by how common its column is, and bring rows to length 1.

    A column that f of n training rows have gets the weight 1 + log((1 + n) / (1 + f)), as in scikit-learn's
    TfidfTransformer (Sparck Jones 1972). Zeros stay zeros, so sparse rows stay sparse.

    Attributes
    ----------
    rarity : ndarray (d,), float64
        Weights of the columns.
    """

    name = "tfidf"
    fitted = ("rarity",)
    sparse = True

    def __init__(self, x: Rows, rows: np.ndarray):
        if x.ndim != 2:
            raise DataError(must_be("preprocess", "the data set", "other than tfidf for images", self.name))
        counts = np.zeros(x.shape[1])
        for block in blocks(x, rows, BATCH):
            values = block if isinstance(block, np.ndarray) else block.data
            if len(values) and values.min() < 0:
                need = "a data set of counts, at least 0, for tfidf"
                raise DataError(must_be("dataset", "ntkrun", need, float(values.min())))
            if isinstance(block, np.ndarray):
                counts += (block > 0).sum(0)
            else:
                counts += np.bincount(block.indices, minlength=len(counts))
        self.rarity = 1 + np.log((1 + len(rows)) / (1 + counts))

    def __call__(self, x: Any) -> Any:
        """Return x (n, d) weighted, with rows of length 1, float64."""
        weight = torch.from_numpy(self.rarity).to(x.device)
        return unit(x.over(1 / weight) if isinstance(x, SparseRows) else x.to(torch.float64) * weight)
