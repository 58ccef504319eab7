"""Read a csv of image files and their labels."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from ntkrun.datasets.fetch import DAMAGED
from ntkrun.datasets.images.listing import Listing, natural, shown
from ntkrun.errors import DataError, few, must_be
from ntkrun.store.paths import as_path

log = logging.getLogger(__name__)


def labelled(root: Path, labels: str) -> Listing:
    """Return the files that a csv with the columns file and label names, in its order.

    The path of the csv and those in it begin at `root` unless they are absolute. Labels are text: the classes
    are the different ones in natural order. Raises DataError for a file without these columns, empty labels
    and files named twice.
    """
    path = as_path(labels, root)
    if not path.is_file():
        remedy = "Its path begins at dataset.path."
        if (here := as_path(labels)).is_file():
            remedy += f" Set dataset.labels={shown(here)}."
        raise DataError(must_be("labels", "Folder", "an existing csv file", shown(path), remedy))
    import pandas as pd

    try:
        table = pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", index_col=False)
    except DAMAGED as error:
        raise DataError(f"{shown(path)} is not a csv: {shown(str(error).splitlines()[0])}.") from error
    columns = [str(name).strip() for name in table.columns]
    if columns.count("file") != 1 or columns.count("label") != 1:
        constraint = f"a csv whose first line names the columns file and label ({shown(path)})"
        raise DataError(must_be("labels", "Folder", constraint, shown(few(columns))))
    if rest := [name for name in columns if name not in ("file", "label")]:
        log.info("data       columns of %s that are not used: %s", shown(path), shown(few(rest)))
    table.columns = pd.Index(columns)
    words = [word.strip() for word in table["label"]]
    names = list(table["file"])
    seen: dict[str, int] = {}
    for row, (name, word) in enumerate(zip(names, words, strict=True), 1):
        if not word or not name.strip():
            raise DataError(f"{shown(path)}: row {row} has no {'file' if word else 'label'}.")
        if seen.setdefault(name, row) != row:
            raise DataError(f"{shown(path)}: {shown(name)} is in row {seen[name]} and in row {row}.")
    classes = sorted(set(words), key=natural)
    if len(classes) < 2:
        got = f"{shown(few(classes)) or 'no row'} in {shown(path)}"
        raise DataError(must_be("labels", "Folder", "a csv with at least two labels", got))
    index = {word: i for i, word in enumerate(classes)}
    files = [as_path(name, root) for name in names]
    return Listing(files, np.array([index[word] for word in words], np.int64), classes, None)
