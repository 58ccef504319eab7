"""Load a run's model for `mlflow.pyfunc.load_model` and `mlflow models serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException

from ntkrun.errors import DataError, must_be
from ntkrun.model import Model


class Served:
    """Model behind MLflow's predict: labels or targets, with output="values" the numbers behind them."""

    def __init__(self, model: Model):
        self.model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Return labels or targets (n,) of raw inputs (n, ...), or values (n, k).

        Raises MlflowException for inputs that do not fit; a server then answers 400 with the reason.
        """
        output = (params or {}).get("output", "label")
        if output not in ("label", "values"):
            raise MlflowException.invalid_parameter_value(
                must_be("output", "predict", "one of label, values", output)
            )
        try:
            return self.model.values(model_input) if output == "values" else self.model.predict(model_input)
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


def _load_pyfunc(path: str) -> Served:
    return Served(Model.load(Path(path)))
