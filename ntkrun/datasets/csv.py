"""A table in a .csv or .csv.gz file: the user's own, or a public regression set."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun import checks
from ntkrun.datasets.base import DataSource
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError, must_be


@dataclass(frozen=True, kw_only=True)
class Csv(DataSource):
    """Numbers with a header line; one column is the target, the others are inputs.

    The rows are permuted and a share is set aside as the test part.

    Parameters
    ----------
    path : str
        A file name; `file` of it is looked for in data_dir where path is not set.
    target : str or None
        Name of the target column; None takes the last.
    task : {"regression", "classification"}
        Classification wants integer labels 0..k-1.
    test_fraction : float
    file : str or None
        File name inside data_dir.
    """

    path: str | None = None
    target: str | None = None
    task: str = "regression"
    test_fraction: float = 0.2
    file: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        out += checks.choice("Csv", "task", self.task, ("regression", "classification"))
        out += checks.real("Csv", "test_fraction", self.test_fraction, 0, 0.9)
        if not self.path and not self.file:
            out.append(must_be("path", "Csv", "a .csv or .csv.gz file", self.path, "Set dataset.path=FILE."))
        return out

    def load(self) -> Split:
        """Return the split; DataError for a file that is not a table of finite numbers."""
        path = Path(self.path).expanduser() if self.path else self.cache() / str(self.file)
        if not path.is_file():
            raise DataError(must_be("path", "Csv", "an existing file", str(path), "Set dataset.path=FILE."))
        columns, values = _read(path)
        target = self.target or columns[-1]
        if target not in columns or len(columns) < 2:
            raise DataError(
                must_be("target", "Csv", "a column besides others: " + ", ".join(columns), target)
            )
        at = columns.index(target)
        x, y = np.delete(values, at, 1), values[:, at]
        classes = None
        if self.task == "classification":
            if not np.array_equal(y, np.round(y)) or y.min() < 0:
                raise DataError(must_be("target", "Csv", "labels 0..k-1 for classification", target))
            y = y.astype(np.int64)
            classes = max(2, int(y.max()) + 1)
        # the permutation that sets the test part aside is another than the one inside train
        order = np.random.default_rng(self.split_seed + 1).permutation(len(y))
        cut = round((1 - self.test_fraction) * len(y))
        train, test = order[:cut], order[cut:]
        name = path.name.removesuffix(".gz").removesuffix(".csv")
        return make_split(name, (x[train], y[train]), (x[test], y[test]), classes=classes, **self.subset())


def _read(path: Path) -> tuple[list[str], np.ndarray]:
    """Return column names and the numbers (rows, columns), float64."""
    import pandas as pd

    try:
        table = pd.read_csv(path)
        values = table.to_numpy(dtype=np.float64)
    except (ValueError, OSError, EOFError, pd.errors.ParserError) as error:
        raise DataError(
            f"{path} is not a table of numbers with a header: {str(error).splitlines()[0]}"
        ) from error
    if not np.isfinite(values).all():
        row, column = np.argwhere(~np.isfinite(values))[0]
        raise DataError(f"{path}: row {row + 1}, column {table.columns[column]} is not a finite number.")
    return [str(c) for c in table.columns], values
