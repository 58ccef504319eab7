"""Load a run's model for `mlflow.pyfunc.load_model` and `mlflow models serve`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from mlflow.exceptions import MlflowException

from ntkrun.errors import DataError, must_be
from ntkrun.model import Model

# methods of the model by the name of what they give
OUTPUTS = {
    "label": "predict",
    "values": "values",
    "probabilities": "probabilities",
    "intervals": "intervals",
}


class Served:
    """Model behind MLflow's predict: labels or targets, or what `output` names."""

    def __init__(self, model: Model):
        self.model = model

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> np.ndarray:
        """Return labels or targets (n,) of raw inputs (n, ...), or what params["output"] names.

        "values" gives the numbers behind them, (n, k), "probabilities" those of classes (n, k), "intervals"
        the ends around a target (n, 2).

        Raises MlflowException for inputs that do not fit; a server then answers 400 with the reason.
        """
        output = (params or {}).get("output", "label")
        if output not in OUTPUTS:
            raise MlflowException.invalid_parameter_value(
                must_be("output", "predict", f"one of {', '.join(OUTPUTS)}", output)
            )
        try:
            return getattr(self.model, OUTPUTS[output])(model_input)
        except DataError as error:
            raise MlflowException.invalid_parameter_value(str(error)) from error


def _load_pyfunc(path: str) -> Served:
    return Served(Model.load(Path(path)))
