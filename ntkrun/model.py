"""A trained predictor by itself: raw inputs in, labels or targets out; kept as arrays and JSON, no code."""

from __future__ import annotations

import hashlib
import io
import json
import platform
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from torch import Tensor

from ntkrun.datasets.preprocess import PREPROCESS, Preprocess, prepared
from ntkrun.datasets.split import Part
from ntkrun.errors import DataError, IntegrityError, NtkrunError, must_be
from ntkrun.maths import method as methods
from ntkrun.maths import metrics
from ntkrun.maths.method.base import DTYPES, Method, torch_device
from ntkrun.maths.method.images import ImageMethod
from ntkrun.maths.ridge.normal import Dual, Linear
from ntkrun.store.atomic import write_atomic, write_json

ARRAYS, RECORD = "model.npz", "model.json"
ROWS = 256


@dataclass(frozen=True)
class Model:
    """Preprocessing, features and ridge regression, as one run fitted them.

    Attributes
    ----------
    name : str
        The method's name in its registry.
    method : Method
        Fitted.
    preprocess : Standardize, Contrast or ZCA
    predictor : Linear or Dual
    sample : ndarray (s, ...)
        Raw training rows that the method is fitted to: all of them for an exact kernel, one where it only
        needs their shape. Fitting is deterministic, so they stand for everything that it draws.
    views : int
        2 where predictions average over an image and its mirror image.
    class_names : list of str or None
        None for regression.
    """

    name: str
    method: Method
    preprocess: Preprocess
    predictor: Linear | Dual
    sample: np.ndarray
    views: int
    class_names: list[str] | None

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Return labels (n,), int64, or for regression the targets (n,), float64; x as for `values`."""
        values = self.values(x)
        return values[:, 0] if self.class_names is None else values.argmax(1)

    def values(self, x: np.ndarray) -> np.ndarray:
        """Return the regression's values (n, k), float64, one for each class; x (n, ...) are raw inputs.

        Images may be given as rows of their pixels. Raises DataError for another shape.
        """
        x, shape = np.asarray(x), self.sample.shape[1:]
        if x.ndim == 2 and x.shape[1] == np.prod(shape):
            x = x.reshape(len(x), *shape)
        if x.shape[1:] != shape or x.dtype.kind not in "buif":
            got = f"{x.dtype} of shape {x.shape}"
            raise DataError(must_be("x", "Model", f"numbers of shape (n, {', '.join(map(str, shape))})", got))
        parts = [self._values(x[start : start + ROWS]) for start in range(0, len(x), ROWS)]
        return np.concatenate(parts) if parts else np.empty((0, self.predictor.weight.shape[1]))

    def _values(self, x: np.ndarray) -> np.ndarray:
        part = Part(x, np.zeros(len(x)), self.views)
        x = part.rows(np.arange(len(part)))
        z = self.method.transform(_prepared(x, self.preprocess, self.method))
        values = self.predictor.predict(z).cpu()
        return metrics.per_example(values, torch.zeros(len(values)), self.views)[0].numpy()

    def save(self, folder: Path) -> None:
        """Write model.npz, model.json and what makes the folder MLflow's; MachineError where that fails."""
        arrays: dict[str, Any] = {f"preprocess{i}": a for i, a in enumerate(self.preprocess.arrays())}
        arrays |= {key: getattr(self.predictor, key).cpu().numpy() for key in ("weight", "bias")}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, sample=self.sample, **arrays)
        data = buffer.getvalue()
        write_atomic(folder / ARRAYS, data)
        names = {cls: name for name, cls in PREPROCESS.items()}
        record = {
            "method": {"name": self.name, **self.method.parameters()},
            "preprocess": names[type(self.preprocess)],
            "lambda": self.predictor.lam,
            "views": self.views,
            "class_names": self.class_names,
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        write_json(folder / RECORD, record)
        for name, text in _mlflow_files(self).items():
            write_atomic(folder / name, text.encode())

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Model:
        """Return the model that `save` wrote.

        Raises DataError where there is none, IntegrityError where its arrays are not those it was saved with.
        """
        try:
            record = json.loads((folder / RECORD).read_text())
            data = (folder / ARRAYS).read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"{folder} holds no model: {error}.") from error
        try:
            return cls._restored(folder, record, data, device)
        except NtkrunError:
            raise
        # a record from elsewhere may lack anything; arrays in it that hold objects are not unpickled
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            raise DataError(f"{folder} holds no model: {type(error).__name__}: {error}.") from error

    @classmethod
    def _restored(cls, folder: Path, record: Any, data: bytes, device: str) -> Model:
        if hashlib.sha256(data).hexdigest() != record["sha256"]:
            raise IntegrityError(f"{folder / ARRAYS} is not the file that was saved. Get it anew.")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        fitted = [arrays[f"preprocess{i}"] for i in range(2)]
        preprocess = PREPROCESS[record["preprocess"]].restore(fitted)
        options: dict[str, Any] = {k: v for k, v in record["method"].items() if k != "name"}
        name = record["method"]["name"]
        made = methods.get(name)
        if issubclass(made, ImageMethod):
            options.setdefault("layout", "channels_last")  # records from before there was a choice
        method = made(**options, device=device)
        method.fit(_prepared(arrays["sample"], preprocess, method))
        weight, bias = (torch.from_numpy(arrays[k]).to(torch_device(device)) for k in ("weight", "bias"))
        kind = Dual if method.kind == "kernel" else Linear
        predictor = kind(weight, bias, record["lambda"])
        views, names = int(record["views"]), record["class_names"]
        return cls(name, method, preprocess, predictor, arrays["sample"], views, names)


def _prepared(x: np.ndarray, preprocess: Preprocess, method: Method) -> Tensor:
    return prepared(x, preprocess, DTYPES[method.dtype], torch_device(method.device))


def _mlflow_files(model: Model) -> dict[str, str]:
    # MLflow's `python_function` flavour: `ntkrun.serving` reads the arrays, nothing is unpickled
    def tensor(dtype: Any, shape: Sequence[int]) -> str:
        spec = {"dtype": str(dtype), "shape": [-1, *shape]}
        return json.dumps([{"type": "tensor", "tensor-spec": spec}])

    out = np.int64 if model.class_names is not None else np.float64
    output = {"name": "output", "type": "string", "default": "label", "shape": None}
    document = {
        "flavors": {
            "python_function": {
                "loader_module": "ntkrun.serving",
                "data": ".",
                "python_version": platform.python_version(),
            }
        },
        "signature": {
            "inputs": tensor(model.sample.dtype, model.sample.shape[1:]),
            "outputs": tensor(np.dtype(out), ()),
            "params": json.dumps([output]),
        },
        "saved_input_example_info": {
            "artifact_path": "input_example.json",
            "type": "ndarray",
            "format": "tf-serving",
        },
    }
    return {
        "MLmodel": yaml.safe_dump(document, sort_keys=False),
        "input_example.json": json.dumps(model.sample[:1].tolist()),
        "serving_input_example.json": json.dumps({"inputs": model.sample[:1].tolist()}),
        "requirements.txt": "ntkrun\n",
    }
