"""Find the target of a table, and decide between regression and classification."""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from ntkrun.datasets.labels import Labels, labels_of
from ntkrun.datasets.table.columns import NUMBER, kind_of, numbers_of, words_of
from ntkrun.errors import DataError, few, must_be

log = logging.getLogger(__name__)

TASKS = ("auto", "regression", "classification")
# whole numbers are labels if they are at most this many, and each occurs this often on average
LABELS, OFTEN = 20, 5


def names(columns: Sequence[str], wanted: str | list[str] | None, declared: str | None) -> list[str]:
    """Return the names of the target columns, which may be given by name or number.

    None takes the one that the file declares, else the last. DataError if one is not there, or if no other
    column is left.
    """
    asked = [declared or columns[-1]] if wanted is None else wanted if isinstance(wanted, list) else [wanted]
    found = []
    for word in map(str, asked):
        at = int(word) if re.fullmatch(r"-?\d{1,6}", word) else len(columns)
        found.append(columns[at] if word not in columns and -len(columns) <= at < len(columns) else word)
    wrong = [name for name in found if name not in columns]
    if wrong or len(set(found)) >= len(columns) or not found:
        constraint = f"one of at least two columns: {few(list(columns))}"
        raise DataError(must_be("target", "Csv", constraint, (wrong or found or ["none"])[0]))
    return list(dict.fromkeys(found))


def values(frame: Any, targets: list[str]) -> np.ndarray:
    """Return the target (n,), float64 or words, or several (n, k), float64; DataError for words in these."""
    if len(targets) > 1:
        return np.stack([numbers_of(frame[name], name, "the table") for name in targets], 1)
    (name,) = targets
    if kind_of(frame[name], False).kind == NUMBER:
        return numbers_of(frame[name], name, "the table")
    return words_of(frame[name]).to_numpy(str)


def classed(
    targets: list[str], ys: list[np.ndarray], task: str
) -> tuple[int | None, Labels | None, list[np.ndarray]]:
    """Return the number of classes or None, labels unless they are 0..k-1, and the targets as numbers.

    `ys` are the targets of the training table and maybe of a test table. Raises DataError for words in a
    regression, and for fractions or several targets in a classification.
    """
    name = ", ".join(targets)
    whole = np.concatenate(ys)
    if task == "auto":
        task, why = ("regression", "are several") if len(targets) > 1 else task_of(whole)
        log.info("data       task %s: target %s %s", task, name, why)
    if task == "regression":
        words = [word for y in ys for word in y[:1].tolist() if y.dtype.kind != "f"]
        if words:
            constraint = f"numbers for regression (column {name} is not)"
            raise DataError(must_be("target", "Csv", constraint, words[0]))
        return None, None, ys
    if len(targets) > 1:
        raise DataError(must_be("target", "Csv", "one column for classification", name))
    labels = labels_of(whole, "target", "Csv")
    if labels is None:
        return len(np.unique(whole)), None, ys
    return len(labels.values), labels, [labels.codes(y, "target", "Csv") for y in ys]


def task_of(y: np.ndarray) -> tuple[str, str]:
    """Return the task of a target (n,), and why."""
    distinct = len(np.unique(y))
    if y.dtype.kind != "f":
        return "classification", f"has {distinct} words"
    if not np.array_equal(y, np.round(y)):
        return "regression", "has numbers with fractions"
    if distinct <= LABELS and len(y) >= OFTEN * distinct:
        return "classification", f"has {distinct} whole numbers (dataset.task=regression fits them)"
    return "regression", f"has {distinct} different numbers"
