"""What trained runs minimised: their ridge objective over their own shards, and how far apart they are.

    python scripts/objective.py RUNFOLDER RUNFOLDER ...

For each run (1/n) |Z w + b - Y|^2 + lambda |w|^2 over the rows that it was fitted to, train and valid. Runs
of the same features and the same lambda can be compared: `solver=ridge` has the minimum, `solver=ridge_cg`
comes within its tolerance of it.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import torch

from ntkrun.errors import DataError, NtkrunError
from ntkrun.maths import metrics
from ntkrun.model import Model
from ntkrun.store import runs
from ntkrun.store.shards import ShardStore


def objective(folder: Path) -> tuple[str, float]:
    """Return (key of the features and lambda, objective) of a run folder.

    Raises DataError where it is no finished run with features, IntegrityError where a shard is damaged.
    """
    run = runs.load(folder)
    result = run.result
    if result.get("kind") != "features":
        raise DataError(f"{folder} must be a finished run with features.")
    store = ShardStore(folder.parent.parent / "features" / result["features_key"], {})
    model = Model.load(folder / "model", "cpu")
    fit, classes = model.predictor, None if model.class_names is None else len(model.class_names)
    total, n = 0.0, 0
    for name, receipt in sorted(store.receipts.items()):
        if receipt.part != "test":
            x, labels = store.read(name)
            residual = fit.predict(torch.from_numpy(x)) - metrics.targets(torch.from_numpy(labels), classes)
            total, n = total + float(residual.square().sum()), n + len(x)
    penalty = fit.lam * float(fit.weight.square().sum())
    return f"{result['features_key']}, lambda {fit.lam:.6e}", total / n + penalty


def main(words: list[str]) -> int:
    """Print a line for each run and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("folders", type=Path, nargs="+", metavar="RUNFOLDER")
    least: dict[str, float] = {}
    try:
        found = [(folder, *objective(folder)) for folder in parser.parse_args(words).folders]
    except NtkrunError as error:
        print(f"objective: {error}", file=sys.stderr)
        return 5
    for _, key, value in found:
        least[key] = min(value, least.get(key, value))
    for folder, key, value in found:
        print(f"{folder.name}: {value:.9g} ({key}), {value / least[key] - 1:.2g} above the least")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
