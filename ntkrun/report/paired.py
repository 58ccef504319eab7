"""Compare two results on the same test rows, from the predictions in their run folders."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ntkrun.errors import DataError, must_be
from ntkrun.store.predictions import Predictions, read
from ntkrun.store.runs import Run

LEVEL = 0.95
CHANCE = 0.05  # a difference with a smaller p is no chance


@dataclass(frozen=True)
class Paired:
    """Difference of two scores on the same rows, A minus B.

    Attributes
    ----------
    metric : str
        "accuracy" or "mse".
    rows : int
        Test rows.
    a, b : float
        The two scores; means over runs.
    difference, low, high : float
        a - b, and the ends of its 95 % interval.
    test : str
        Name of the test.
    p : float
        Probability of a difference as large, if both were equally good.
    only_a, only_b : int or None
        Rows that A alone, and B alone, gets right; None for values, and for several runs.
    same_inputs : bool
        Whether the inputs of the rows are also the same, and not the labels alone.
    """

    metric: str
    rows: int
    a: float
    b: float
    difference: float
    low: float
    high: float
    test: str
    p: float
    only_a: int | None
    only_b: int | None
    same_inputs: bool

    @property
    def verdict(self) -> str:
        """Say in a sentence which one is better, if one is."""
        if self.p >= CHANCE:
            return "These test rows do not tell which of the two is better."
        better = "A" if (self.difference > 0) == (self.metric == "accuracy") else "B"
        return f"{better} is better on rows like these."


Group = tuple[list[Predictions], list[Predictions]]  # predictions of A and of B for the same rows


def of_runs(a: list[Run], b: list[Run]) -> Paired:
    """Compare two configurations by one or more runs of each, seeds or folds.

    Raises DataError if a run keeps no predictions, or if one side has test rows that the other lacks;
    IntegrityError for a damaged file.
    """
    groups: dict[tuple[bytes, ...], Group] = {}
    names: dict[tuple[bytes, ...], Run] = {}
    for side, runs in enumerate((a, b)):
        for run in runs:
            found = kept(run)
            rows = (found.labels.tobytes(), *map(str.encode, found.names))
            groups.setdefault(rows, ([], []))[side].append(found)
            names[rows] = run
    for rows, (ours, theirs) in reversed(groups.items()):
        if not (ours and theirs):
            other = (b if ours else a)[0].folder.name
            constraint = f"those of {other}, with the same labels in the same order"
            remedy = "Compare runs of one data set with the same dataset.n_test, split_seed and fold."
            value = f"{len((ours or theirs)[0].labels)} others"
            raise DataError(must_be("test rows", names[rows].folder.name, constraint, value, remedy))
    same = all(len({found.sha256 for found in (*ours, *theirs)}) == 1 for ours, theirs in groups.values())
    return compared(list(groups.values()), same)


def kept(run: Run) -> Predictions:
    """Return the predictions of a run; DataError if it keeps none."""
    if (found := read(run.folder)) is None:
        raise DataError(
            f"{run.folder.name} keeps no predictions, because an older ntkrun wrote it. "
            f"Repeat it: ntkrun rerun {run.folder}."
        )
    return found


def compared(groups: list[Group], same_inputs: bool = True) -> Paired:
    """Compare predictions for groups of rows, such as folds.

    One run each of a classifier: McNemar's test in its exact form (a binomial test of the rows that one alone
    gets right), and the interval of Agresti and Min 2005 ("Simple improved confidence intervals for comparing
    matched proportions": a half is added to each of the four counts). Otherwise a paired t-test of the losses
    per row, means over the runs.
    """
    classes = bool(groups[0][0][0].names)
    ours, theirs = (np.concatenate([_mean_loss(group[side]) for group in groups]) for side in (0, 1))
    n = len(ours)
    gain = theirs - ours if classes else ours - theirs  # of accuracy, or of error
    mean_a, mean_b = (float(1 - x.mean() if classes else x.mean()) for x in (ours, theirs))
    test, only_a, only_b = "paired t", None, None
    low, high, p = paired_t(gain)
    if classes and all(len(side) == 1 for group in groups for side in group):
        test, only_a, only_b = "McNemar, exact", int((gain > 0).sum()), int((gain < 0).sum())
        p = mcnemar(only_a, only_b)
        low, high = matched_interval(only_a, only_b, n)
    metric = "accuracy" if classes else "mse"
    scores = mean_a, mean_b, float(gain.mean())
    return Paired(metric, n, *scores, low, high, test, p, only_a, only_b, same_inputs)


def _mean_loss(found: list[Predictions]) -> np.ndarray:
    """Return the loss per row, its mean over runs."""
    return np.asarray(np.mean([one.loss for one in found], axis=0))


def mcnemar(only_a: int, only_b: int) -> float:
    """Return the two-sided p of McNemar's exact test (McNemar 1947)."""
    from scipy.stats import binomtest

    return float(binomtest(only_a, only_a + only_b).pvalue) if only_a + only_b else 1.0


def matched_interval(only_a: int, only_b: int, n: int) -> tuple[float, float]:
    """Return the 95 % interval of a difference of matched proportions (Agresti and Min 2005)."""
    from scipy.stats import norm

    one, two, rows = only_a + 0.5, only_b + 0.5, n + 2
    centre = (one - two) / rows
    half = norm.ppf((1 + LEVEL) / 2) * np.sqrt(one + two - (one - two) ** 2 / rows) / rows
    return float(max(-1, centre - half)), float(min(1, centre + half))


def paired_t(gain: np.ndarray) -> tuple[float, float, float]:
    """Return the ends of the 95 % interval of the mean of differences (n,), and the p of a mean of zero."""
    from scipy.stats import ttest_1samp

    if len(gain) < 2 or np.ptp(gain) == 0:  # nothing varies: equal, or always as much apart
        value = float(gain.mean())
        return value, value, 1.0 if value == 0 else 0.0
    found = ttest_1samp(gain, 0.0)
    low, high = found.confidence_interval(LEVEL)
    return float(low), float(high), float(found.pvalue)


def wilson(share: float, n: int) -> tuple[float, float]:
    """Return the 95 % interval of an accuracy over n rows (Wilson 1927)."""
    from scipy.stats import norm

    z = norm.ppf((1 + LEVEL) / 2)
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return float(max(0, centre - half)), float(min(1, centre + half))


def interval_of(found: list[Predictions]) -> tuple[float, float]:
    """Return the 95 % interval of the mean loss per row over one or more runs, from its spread over rows."""
    low, high, _ = paired_t(_mean_loss(found))
    return low, high
