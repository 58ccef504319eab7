"""Write the files that make a saved model an MLflow `python_function`."""

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
    for name, text in mlflow_files(model.inputs, model.sample, *_output(model)).items():
        write_atomic(folder / name, text.encode())


def _output(model: Model) -> tuple[np.dtype, tuple[int, ...]]:
    """Return the type and the shape of a prediction."""
    if model.class_names is None:
        k = model.predictor.weight.shape[1]
        return np.dtype(np.float64), () if k == 1 else (k,)
    return model.labels.words(np.zeros(1, np.int64)).dtype if model.labels else np.dtype(np.int64), ()


def mlflow_files(
    inputs: Inputs, sample: np.ndarray, output: np.dtype, shape: tuple[int, ...]
) -> dict[str, str]:
    """Return the text of each MLflow file by its name.

    Parameters
    ----------
    inputs : Inputs
    sample : ndarray (s, ...)
        Raw training rows; the first is the example.
    output, shape : dtype, tuple of int
        Type of the predictions, and the shape of one of them.
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
    choice = {"name": "output", "type": "string", "default": "label", "shape": None}
    signature = {
        "outputs": json.dumps([_tensor(output, shape)]),
        "params": json.dumps([choice]),
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
    """Return the input schema that MLflow enforces; nothing for whole numbers.

    MLflow casts JSON numbers to the type of the schema: uint8 would turn .5 into 0 before it can be refused,
    and float64 would refuse arrays of uint8. Columns have any type because double would refuse int64.
    `Inputs` refuses values that are not numbers.
    """
    if inputs.columns:
        return [{"type": "any", "name": name, "required": inputs.table is None} for name in inputs.columns]
    return [] if inputs.dtype.kind in "ui" else [_tensor(inputs.dtype, inputs.shape)]


def _tensor(dtype: np.dtype, shape: tuple[int, ...]) -> dict[str, Any]:
    name = "str" if dtype.kind == "U" else str(dtype)
    return {"type": "tensor", "tensor-spec": {"dtype": name, "shape": [-1, *shape]}}
