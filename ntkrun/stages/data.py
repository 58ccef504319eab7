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
    if shared := overlap(split):
        log.warning(
            "data       %d of the %d test rows are training rows too, and the test score counts them",
            shared,
            len(split.test.y),
        )
    return split


def overlap(split: Split) -> int:
    """Return how many test rows have the very bytes of a row of train or valid."""
    known = {hash(row.tobytes()) for part in (split.train, split.valid) for row in part.x}
    return sum(hash(row.tobytes()) in known for row in split.test.x)
