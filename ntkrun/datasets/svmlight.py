"""Data set of sparse rows in the text format of SVMlight and LIBSVM."""

from __future__ import annotations

from dataclasses import dataclass

from ntkrun import checks
from ntkrun.datasets.base import LabelledSource
from ntkrun.datasets.split import Split
from ntkrun.datasets.svmlight_files import read_svmlight
from ntkrun.errors import must_be
from ntkrun.store.paths import as_path


@dataclass(frozen=True, kw_only=True)
class Svmlight(LabelledSource):
    """Sparse rows from text: a label, then index:value pairs with ascending indices; `#` begins a comment.

    Parameters
    ----------
    path : str
        File of training rows, plain, .gz or .bz2, or a folder of such files.
    test_path : str or None
        File or folder of test rows; None takes a share of `path`.
    test_fraction : float
        That share, drawn by split_seed and stratified by class.
    columns : int or None
        Number of columns; None takes the largest index in the files.
    zero_based : bool or None
        Whether the first column has the index 0, else it has 1. None takes 1 unless a file has an index 0.
    """

    name = "svmlight"
    holds = "rows"

    path: str | None = None
    test_path: str | None = None
    test_fraction: float = 0.2
    columns: int | None = None
    zero_based: bool | None = None
    preprocess: str = "none"

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        if not self.path:
            out.append(must_be("path", "Svmlight", "a file", self.path, "Set dataset.path=FILE."))
        if self.columns is not None:
            out += checks.integer("Svmlight", "columns", self.columns, 1, 2**31 - 1)
        if self.zero_based is not None:
            out += checks.boolean("Svmlight", "zero_based", self.zero_based)
        return out + checks.real("Svmlight", "test_fraction", self.test_fraction, 0, 0.9)

    def load(self) -> Split:
        """Return the split; DataError for a file that is not readable, with the number of the bad line."""
        paths = [as_path(str(path)) for path in (self.path, self.test_path) if path]
        parts, first = read_svmlight(paths, self.columns, self.zero_based)
        name = paths[0].name.partition(".")[0] or "svmlight"
        if len(parts) == 1:
            return self.divided(name, *parts[0], self.test_fraction, first=first)
        (x, y), (x_test, y_test) = parts
        return self.split(name, x, y, x_test, y_test, first=first)
