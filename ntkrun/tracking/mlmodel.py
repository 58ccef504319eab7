"""The files that make a saved model an MLflow `python_function`."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from ntkrun.datasets.inputs import Inputs
from ntkrun.model import Model
from ntkrun.store.atomic import write_atomic


def save(model: Model, folder: Path) -> None:
    """Write a model with the files that let MLflow load and serve it; MachineError if that fails."""
    model.save(folder)
    for name, text in mlflow_files(model.inputs, model.sample, model.class_names is not None).items():
        write_atomic(folder / name, text.encode())


def mlflow_files(inputs: Inputs, sample: np.ndarray, classes: bool) -> dict[str, str]:
    """Return the text of each file by its name.

    Parameters
    ----------
    inputs : Inputs
    sample : ndarray (s, ...)
        Raw training rows; the first is the example.
    classes : bool
        Whether predictions are labels, int64, rather than targets, float64.
    """
    example = inputs.of(sample[:1]).tolist()
    info = {"artifact_path": "input_example.json"}
    if inputs.columns:
        table = {"columns": inputs.columns, "data": example}
        info |= {"type": "dataframe", "pandas_orient": "split"}
        shown, served = table, {"dataframe_split": table}
    else:
        info |= {"type": "ndarray", "format": "tf-serving"}
        shown, served = example, {"inputs": example}
    output = {"name": "output", "type": "string", "default": "label", "shape": None}
    signature = {
        "outputs": json.dumps([_tensor(np.dtype(np.int64 if classes else np.float64), ())]),
        "params": json.dumps([output]),
    }
    if columns := _schema(inputs):
        signature = {"inputs": json.dumps(columns), **signature}
    document = {
        "flavors": {
            "python_function": {
                "loader_module": "ntkrun.serving",
                "data": ".",
                "python_version": platform.python_version(),
            }
        },
        "signature": signature,
        "metadata": {"inputs": f"{inputs.dtype.name} of shape (n, {', '.join(map(str, inputs.shape))})"},
        "saved_input_example_info": info,
    }
    return {
        "MLmodel": yaml.safe_dump(document, sort_keys=False),
        "input_example.json": json.dumps(shown),
        "serving_input_example.json": json.dumps(served),
        "requirements.txt": "ntkrun\n",
    }


def _schema(inputs: Inputs) -> list[dict[str, Any]]:
    """Return the form that MLflow demands of inputs before it hands them on; nothing for whole numbers.

    It casts numbers in JSON to the type of the signature: .5 would be 0 of uint8 before anybody could refuse
    it, and a signature of float64 would refuse arrays of uint8. Columns are of any type for the same reason:
    of double ones it refuses int64. What is no number `Inputs` refuses.
    """
    if inputs.columns:
        return [{"type": "any", "name": name, "required": True} for name in inputs.columns]
    return [] if inputs.dtype.kind in "ui" else [_tensor(inputs.dtype, inputs.shape)]


def _tensor(dtype: np.dtype, shape: tuple[int, ...]) -> dict[str, Any]:
    return {"type": "tensor", "tensor-spec": {"dtype": str(dtype), "shape": [-1, *shape]}}
