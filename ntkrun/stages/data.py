"""Stage 1: load the data set and say what it is."""

from __future__ import annotations

import logging

from ntkrun.datasets.base import DataSource
from ntkrun.datasets.split import Split

log = logging.getLogger(__name__)


def run(source: DataSource) -> Split:
    """Return the split of a data source."""
    split = source.load()
    shape = " x ".join(str(n) for n in split.train.x.shape[1:])
    kind = "regression" if split.classes is None else f"{split.classes} classes"
    log.info(
        "data       %s: %d train (%d of them held out for lambda), %d test, %s, %s",
        split.name,
        split.n_train,
        len(split.valid),
        len(split.test),
        shape,
        kind,
    )
    return split
