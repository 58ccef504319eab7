"""What MLflow loads a run's model with: `mlflow.pyfunc.load_model` and `mlflow models serve` call this."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.errors import ConfigError, must_be
from ntkrun.model import Model


class Served:
    """A model behind MLflow's predict: labels or targets, with output="values" the numbers behind them."""

    def __init__(self, model: Model):
        self.model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Return labels or targets (n,) of raw inputs (n, ...), or values (n, k)."""
        output = (params or {}).get("output", "label")
        if output not in ("label", "values"):
            raise ConfigError(must_be("output", "predict", "one of label, values", output))
        x = np.asarray(model_input)
        return self.model.values(x) if output == "values" else self.model.predict(x)


def _load_pyfunc(path: str) -> Served:
    return Served(Model.load(Path(path)))
