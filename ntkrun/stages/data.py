"""Stage 1: load the data set and say what it is."""

from __future__ import annotations

import logging

import numpy as np

from ntkrun.datasets.base import DataSource
from ntkrun.datasets.split import Part, Split

log = logging.getLogger(__name__)

SCALE = 10  # how far sizes must be apart: pixels of 0..255, of 0..16 and of 0..1 are
ROWS = 1000  # that are looked at of a part
FEWEST = 5  # rows of the test part; of fewer, all may be dark images


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
    if split.inputs.shape != split.train.x.shape[1:]:
        came, taken = (" x ".join(map(str, s)) for s in (split.inputs.shape, split.train.x.shape[1:]))
        kind = "grey images" if len(split.inputs.shape) == 2 else "images with channels first"
        log.info("data       rows of %s are %s, taken as %s", came, kind, taken)
    if other_scale(split):
        log.warning(
            "data       the test part has another scale than the training rows: %s beside %s",
            *(f"{part.x.min():g} to {part.x.max():g}" for part in (split.test, split.train)),
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


def other_scale(split: Split) -> bool:
    """Return whether test rows are of another size than training rows, as pixels of 0..1 are beside 0..255.

    The size of a row is its largest entry. Nine tenths of the sizes of one part must be SCALE times those of
    nine tenths of the other: with rows of one source each test row has a chance of a tenth, whatever the
    distribution, so heavy tails and outliers do not count.
    """
    train, test = sizes(split.train), sizes(split.test)
    if len(test) < FEWEST:
        return False
    return any(
        np.quantile(a, 0.9, method="higher") * SCALE < np.quantile(b, 0.1, method="lower")
        for a, b in ((train, test), (test, train))
    )


def sizes(part: Part) -> np.ndarray:
    """Return the largest absolute entry of evenly spread rows (at most ROWS,), float64."""
    n = len(part.y)
    x = part.x[np.arange(min(n, ROWS)) * n // min(n, ROWS)]
    return np.abs(x.reshape(len(x), -1).astype(np.float64)).max(1)
