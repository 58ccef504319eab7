"""scikit-learn's streaming estimators: python -m benchmarks.scale.theirs NAME FILE COLUMNS."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from typing import Any

import h5py
import numpy as np
from sklearn.kernel_approximation import Nystroem, RBFSampler
from sklearn.linear_model import SGDRegressor
from sklearn.preprocessing import StandardScaler

NAMES = ("RBFSampler", "Nystroem")
SLICE = 10_000
ALPHAS = (1e-6, 1e-5, 1e-4)  # regularisers tried beside each other; the first slice chooses
SAMPLE = 20_000  # rows that fit the map


def main(name: str, path: str, columns: int) -> dict[str, float]:
    """Fit a map and SGDRegressor.partial_fit in one pass over the rows; return mse, r2 and seconds.

    The regulariser is chosen on the first slice, which no regressor is fitted to.
    """
    begin = time.perf_counter()
    with h5py.File(path) as file:
        scaler = StandardScaler()
        for x, _ in slices(file, "train"):
            scaler.partial_fit(x)
        some = scaler.transform(file["x_train"][:SAMPLE])
        gamma = 1 / (2 * median_square(some[:512]))
        kinds: dict[str, Any] = {"RBFSampler": RBFSampler, "Nystroem": Nystroem}
        features = kinds[name](gamma=gamma, n_components=columns, random_state=0).fit(some)
        models = [SGDRegressor(alpha=alpha, random_state=0) for alpha in ALPHAS]
        held: tuple[np.ndarray, np.ndarray] | None = None
        for x, y in slices(file, "train"):
            z = features.transform(scaler.transform(x))
            if held is None:
                held = z, y
                continue
            for model in models:
                model.partial_fit(z, y)
        assert held is not None
        best = min(models, key=lambda model: float(np.mean((model.predict(held[0]) - held[1]) ** 2)))
        parts = [(best.predict(features.transform(scaler.transform(x))), y) for x, y in slices(file, "test")]
    prediction, truth = (np.concatenate(side) for side in zip(*parts, strict=True))
    mse = float(np.mean((prediction - truth) ** 2))
    return {"mse": mse, "r2": 1 - mse / float(truth.var()), "seconds": time.perf_counter() - begin}


def slices(file: h5py.File, part: str) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield slices of x and y."""
    for start in range(0, len(file[f"y_{part}"]), SLICE):
        yield file[f"x_{part}"][start : start + SLICE], file[f"y_{part}"][start : start + SLICE]


def median_square(x: np.ndarray) -> float:
    """Return the squared median distance between rows, the bandwidth that `rff` takes."""
    from scipy.spatial.distance import pdist

    return float(np.median(pdist(x))) ** 2


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
