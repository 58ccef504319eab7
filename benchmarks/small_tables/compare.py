"""Statistics of several classifiers over several data sets (Demsar 2006)."""

from __future__ import annotations

import math

import numpy as np
from scipy.stats import friedmanchisquare, rankdata, studentized_range


def ranks(scores: np.ndarray) -> np.ndarray:
    """Return the rank of each method on each set, (sets, methods): 1 for the highest score, ties share."""
    return rankdata(-np.round(scores, 12), axis=1)


def friedman(scores: np.ndarray) -> tuple[float, float]:
    """Return the statistic and p-value of the Friedman test, corrected for ties; scores (sets, methods >= 3).

    Its hypothesis: all methods have the same average rank.
    """
    found = friedmanchisquare(*np.round(scores, 12).T)
    return float(found.statistic), float(found.pvalue)


def nemenyi(methods: int, sets: int, alpha: float = 0.05) -> float:
    """Return the critical difference of average ranks: q_alpha sqrt(k (k + 1) / (6 N))."""
    q = float(studentized_range.ppf(1 - alpha, methods, np.inf)) / math.sqrt(2)
    return q * math.sqrt(methods * (methods + 1) / (6 * sets))


def groups(average: np.ndarray, critical: float) -> list[tuple[float, float]]:
    """Return the ends of the largest runs of average ranks that differ by less than `critical`."""
    ordered, out = np.sort(average), []
    for i, low in enumerate(ordered):
        j = int(np.searchsorted(ordered, low + critical, side="left")) - 1
        if j > i and (not out or ordered[j] > out[-1][1]):
            out.append((float(low), float(ordered[j])))
    return out


def share_of_best(scores: np.ndarray, part: float) -> np.ndarray:
    """Return the share of sets on which a method has at least `part` of the best accuracy, (methods,).

    P90 and P95 of Fernandez-Delgado et al. (2014).
    """
    return (scores >= part * scores.max(1, keepdims=True) - 1e-12).mean(0)


def percent_of_best(scores: np.ndarray) -> np.ndarray:
    """Return the mean over sets of accuracy / best accuracy, (methods,): PMA."""
    return (scores / scores.max(1, keepdims=True)).mean(0)


def wins(scores: np.ndarray) -> np.ndarray:
    """Return the number of sets on which a method is best or equal to the best, (methods,)."""
    return (scores >= scores.max(1, keepdims=True) - 1e-12).sum(0)
