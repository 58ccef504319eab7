"""Stage 1: load the data set and describe it."""

from __future__ import annotations

import logging

import numpy as np

from ntkrun.datasets.base import DataSource
from ntkrun.datasets.rows import blocks, hashes, largest
from ntkrun.datasets.split import Part, Split
from ntkrun.errors import few
from ntkrun.progress import saying

log = logging.getLogger(__name__)

SCALE = 10  # ratio of two scales: pixels of 0..255, 0..16 and 0..1 differ by more
ROWS = 1000  # most rows of a part that are examined
FEWEST = 5  # test rows needed: fewer may all be dark images


def run(source: DataSource) -> Split:
    """Load a data source, warn about suspect test rows, and return the split."""
    with saying(f"data       reading {source.name}"):
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
    if split.inputs.table:
        for line in split.inputs.table.described():
            log.info("data       %s", line)
    elif split.inputs.shape != split.train.x.shape[1:]:
        came, taken = (" x ".join(map(str, s)) for s in (split.inputs.shape, split.train.x.shape[1:]))
        kind = "grey images" if len(split.inputs.shape) == 2 else "images with channels first"
        log.info("data       rows of %s are %s, taken as %s", came, kind, taken)
    with saying("data       looking for test rows that also occur in training, and for other scales"):
        _warn(split)
    return split


def _warn(split: Split) -> None:
    """Warn about rows that may be errors."""
    if rare := [split.class_names[i] for i in single(split)]:
        log.warning("data       classes with a single training row, maybe an error in it: %s", few(rare))
    if other_scale(split):
        log.warning(
            "data       the test part has another scale than the training rows: %s beside %s",
            *("{:g} to {:g}".format(*extent(part)) for part in (split.test, split.train)),
        )
    if shared := overlap(split):
        log.warning(
            "data       %d of the %d test rows also occur in training, and the test score counts them",
            shared,
            len(split.test.y),
        )


def single(split: Split) -> list[int]:
    """Return the classes that a single row of train and valid has."""
    if split.classes is None:
        return []
    y = np.concatenate([split.train.y, split.valid.y])
    return np.flatnonzero(np.bincount(y.astype(np.int64), minlength=split.classes) == 1).tolist()


def overlap(split: Split) -> int:
    """Return how many test rows have the same bytes as a row of train or valid."""
    test = np.concatenate([hashes(block) for block in blocks(split.test.x)])
    known, counts = np.unique(test, return_counts=True)
    found = np.zeros(len(known), bool)
    for part in (split.train, split.valid):
        for block in blocks(part.x):
            of_rows = hashes(block)
            place = np.searchsorted(known, of_rows).clip(max=len(known) - 1)
            found[place[known[place] == of_rows]] = True
    return int(counts[found].sum())


def extent(part: Part) -> tuple[float, float]:
    """Return the smallest and the largest entry of a part."""
    ends = [(block.min(), block.max()) for block in blocks(part.x)]
    return min(low for low, _ in ends), max(high for _, high in ends)


def other_scale(split: Split) -> bool:
    """Return whether test rows differ in size from training rows, as pixels of 0..1 do from 0..255.

    The size of a row is its largest absolute entry. Nine tenths of the sizes in one part must be SCALE times
    those of nine tenths of the other. If all rows have one source, each test row does so with a chance of a
    tenth, for any distribution: heavy tails and outliers do not count.
    """
    train, test = sizes(split.train), sizes(split.test)
    if len(test) < FEWEST:
        return False
    return any(
        np.quantile(a, 0.9, method="higher") * SCALE < np.quantile(b, 0.1, method="lower")
        for a, b in ((train, test), (test, train))
    )


def sizes(part: Part) -> np.ndarray:
    """Return the largest absolute entries of at most ROWS evenly spread rows, (rows,), float64."""
    n = len(part.y)
    return largest(part.x[np.arange(min(n, ROWS)) * n // min(n, ROWS)])
