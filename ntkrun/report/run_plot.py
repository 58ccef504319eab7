"""Show a finished run as one figure, from its folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ntkrun.errors import DataError
from ntkrun.report import panels
from ntkrun.store import predictions
from ntkrun.store.paths import as_path
from ntkrun.store.predictions import Predictions
from ntkrun.store.runs import load, read_json

if TYPE_CHECKING:
    from matplotlib.figure import Figure


def plot_run(folder: str | Path) -> Figure:
    """Return a figure of a finished run: score along lambda, test predictions, and time per phase.

    The predictions are a confusion matrix for classes (up to 100), else predicted against true targets. A
    notebook shows the figure as the value of a cell; elsewhere use its `savefig`.

    Parameters
    ----------
    folder : str or Path
        Run folder, as the run prints it: outputs/runs/<run>.

    Returns
    -------
    matplotlib.figure.Figure
        11 x 6.5 inches; no window is opened, and pyplot does not hold it.

    Raises
    ------
    DataError
        If the folder is not that of a finished run with a score.
    IntegrityError
        If a file in it is damaged.

    Examples
    --------
    >>> ntkrun.plot_run("outputs/runs/2026-01-31_12-00-00_digits-cntk_sketch_ab12").savefig("run.png")
    """
    run = load(as_path(folder))
    metric, path = run.metric, read_json(run.folder / "lambda_path.json")
    if metric is None or not path:
        state = "is a study" if run.result else f"has not finished ({run.state})"
        raise DataError(f"{run.folder} {state}: it has no score to draw. See ntkrun list.")
    result, kept = run.result, predictions.read(run.folder)
    # a notebook's backend has to be loaded, which shows figures; closing keeps it from showing this one twice
    from matplotlib import pyplot as plt

    with plt.rc_context({"axes.grid": True, "grid.alpha": 0.3, "axes.titlesize": 11}):
        figure = plt.figure(figsize=(11, 6.5), layout="constrained")
        places = figure.add_gridspec(2, 2, height_ratios=[4, 1])
        chosen = figure.add_subplot(places[0, 0])
        test = result.get(f"test/{path['metric']}")
        best = result["relative_lambda"]
        panels.lambdas(chosen, path["relative_lambda"], path["valid_scores"], path["metric"], best, test)
        _predictions(figure, places[0, 1], kept, result)
        times = figure.add_subplot(places[1, :])
        panels.phases(times, result)
        times.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), frameon=False)
        figure.suptitle(result["run_name"])
    plt.close(figure)
    return figure


def _predictions(figure: Any, place: Any, kept: Predictions | None, result: dict[str, Any]) -> None:
    """Draw the test predictions that a run has kept; nothing for earlier runs and more than 100 classes."""
    if kept is None or len(kept.names) > panels.MOST_CLASSES:
        return
    axes = figure.add_subplot(place)
    if not kept.names:
        panels.targets(axes, kept.labels, kept.predicted, result["test/mse"])
        return
    k = len(kept.names)
    pairs = kept.labels.astype(np.int64) * k + kept.predicted
    counts = np.bincount(pairs, minlength=k * k).reshape(k, k)
    axes.set_anchor("E")  # beside its scale
    image = panels.confusion(axes, counts, kept.names, result["test/accuracy"])
    figure.colorbar(image, ax=axes, pad=0.02, label="share of the true class")
