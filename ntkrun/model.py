"""Save, load and apply a trained predictor; its files are arrays and JSON, no code."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ntkrun.datasets.csr_files import packed, unpacked
from ntkrun.datasets.inputs import Inputs
from ntkrun.datasets.labels import Labels
from ntkrun.datasets.preprocess import PREPROCESS
from ntkrun.datasets.preprocess.base import Preprocess, prepared
from ntkrun.datasets.split import views_of
from ntkrun.errors import ConfigError, DataError, IntegrityError, MachineError
from ntkrun.maths import metrics
from ntkrun.maths.confidence import Confidence
from ntkrun.maths.method import METHODS
from ntkrun.maths.method.base import DTYPES, Method, torch_device
from ntkrun.maths.method.images import ImageMethod
from ntkrun.maths.ridge.dual import KernelPredictor
from ntkrun.maths.ridge.normal import Linear
from ntkrun.store.atomic import write_atomic, write_json

ARRAYS, RECORD = "model.npz", "model.json"
ROWS = 256


@dataclass(frozen=True)
class Model:
    """Predictor of one run: its preprocessing, features and ridge regression, all fitted.

    Attributes
    ----------
    method : Method
        Fitted.
    preprocess : Preprocess
    predictor : Linear or KernelPredictor
    sample : ndarray (s, ...), or csr_array (s, d) of sparse rows
        Raw training rows that `load` fits the method to again, which is deterministic: all rows for an exact
        kernel, one if the method only needs their shape.
    views : int
        2 if predictions average over an image and its mirror image, else 1.
    class_names : list of str or None
        None for regression.
    inputs : Inputs
        Expected form of inputs.
    labels : Labels or None
        The classes as they came in training; None for numbers 0..k-1 and for regression.
    confidence : Confidence or None
        How sure its predictions are; None for a model of an earlier version.
    """

    method: Method
    preprocess: Preprocess
    predictor: Linear | KernelPredictor
    sample: Any
    views: int
    class_names: list[str] | None
    inputs: Inputs
    labels: Labels | None = None
    confidence: Confidence | None = None

    def predict(self, x: Any) -> np.ndarray:
        """Return labels (n,) as they came in training, or targets (n,), float64; x as in `values`."""
        return self.named(self.values(x))

    def named(self, values: np.ndarray) -> np.ndarray:
        """Return the predictions behind `values` (n, k): labels (n,), a target (n,), or targets (n, k)."""
        if self.class_names is None:
            return values[:, 0] if values.shape[1] == 1 else values
        return self.labels.words(values.argmax(1)) if self.labels else values.argmax(1)

    def values(self, x: Any) -> np.ndarray:
        """Return regression values (n, k), float64, one per class, of n raw inputs.

        Inputs have the form of the training data, see `Inputs.array`; DataError for anything else.
        """
        x = self.inputs.array(x)
        parts = [self._values(x[start : start + ROWS]) for start in range(0, x.shape[0], ROWS)]
        return np.concatenate(parts) if parts else np.empty((0, self.predictor.weight.shape[1]))

    def codes(self, y: Any) -> np.ndarray:
        """Return labels (n,) as they came as numbers 0..k-1, int64; DataError for other ones."""
        if self.class_names is None:
            raise DataError(f"{self!r} has no classes.")
        labels = self.labels or Labels(list(range(len(self.class_names))))
        return labels.codes(y, "labels", "Model")

    def probabilities(self, x: Any) -> np.ndarray:
        """Return class probabilities (n, k), float64; x as in `values`, DataError for regression."""
        return self._confidence(classes=True).probabilities(torch.from_numpy(self.values(x))).numpy()

    def sets(self, x: Any) -> np.ndarray:
        """Return which classes may be true at the confidence's level, bool (n, k); DataError for regression.

        At least one per row. A share of rows near the level has its true class in its set.
        """
        return self._confidence(classes=True).sets(torch.from_numpy(self.values(x))).numpy()

    def intervals(self, x: Any) -> np.ndarray:
        """Return lower and upper ends (n, 2), or (n, k, 2) for k targets, float64; DataError for classes.

        A share of rows near the confidence's level has its truth between them.
        """
        ends = self._confidence(classes=False).intervals(torch.from_numpy(self.values(x))).numpy()
        return ends[:, 0] if ends.shape[1] == 1 else ends

    def _confidence(self, classes: bool) -> Confidence:
        if classes != (self.class_names is not None):
            has = "intervals" if self.class_names is None else "probabilities and sets of classes"
            raise DataError(f"{self!r} has {has} only.")
        if self.confidence is None:
            raise DataError(f"{self!r} is of an earlier version and lacks its confidence. Run it again.")
        return self.confidence

    def _values(self, x: Any) -> np.ndarray:
        z = self.method.transform(_prepared(views_of(x, self.views), self.preprocess, self.method))
        return metrics.averaged(self.predictor.predict(z).cpu(), self.views).numpy()

    def __repr__(self) -> str:
        rows = " x ".join(map(str, self.inputs.shape))
        out = "targets" if self.class_names is None else f"{len(self.class_names)} classes"
        return f"Model({self.method.name}, inputs {rows}, {out})"

    def save(self, folder: Path) -> None:
        """Write model.npz and model.json; MachineError if that fails."""
        arrays: dict[str, Any] = {f"preprocess{i}": a for i, a in enumerate(self.preprocess.arrays())}
        arrays |= packed("sample", self.sample)
        arrays |= {key: getattr(self.predictor, key).cpu().numpy() for key in ("weight", "bias")}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **arrays)
        data = buffer.getvalue()
        write_atomic(folder / ARRAYS, data)
        record = {
            "method": {"name": self.method.name, **self.method.compact()[0]},
            "preprocess": self.preprocess.name,
            "lambda": self.predictor.lam,
            "views": self.views,
            "class_names": self.class_names,
            "inputs": self.inputs.record(),
            **({"labels": self.labels.values} if self.labels else {}),
            "confidence": self.confidence and self.confidence.record(),
            "sha256": hashlib.sha256(data).hexdigest(),
        }
        write_json(folder / RECORD, record)

    @classmethod
    def load(cls, folder: Path, device: str = "auto") -> Model:
        """Return the model that `save` wrote.

        Raises DataError if there is none, IntegrityError if its arrays do not match the recorded checksum.
        """
        try:
            record = json.loads((folder / RECORD).read_text("utf-8"))
            data = (folder / ARRAYS).read_bytes()
        except (OSError, ValueError) as error:
            raise DataError(f"{folder} holds no model: {error}.") from error
        try:
            return cls._restored(folder, record, data, device)
        except (DataError, IntegrityError, MachineError):
            raise
        except ConfigError as error:
            raise DataError(f"{folder} holds no model: {error}") from error
        # a foreign record may lack anything; numpy refuses to unpickle object arrays
        except (KeyError, TypeError, IndexError, AttributeError, ValueError) as error:
            raise DataError(f"{folder} holds no model: {type(error).__name__}: {error}.") from error

    @classmethod
    def _restored(cls, folder: Path, record: Any, data: bytes, device: str) -> Model:
        if hashlib.sha256(data).hexdigest() != record["sha256"]:
            raise IntegrityError(f"{folder / ARRAYS} is not the file that was saved. Copy it again.")
        with np.load(io.BytesIO(data), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        scaling = PREPROCESS.get(record["preprocess"])
        preprocess = scaling.restore([arrays[f"preprocess{i}"] for i in range(len(scaling.fitted))])
        sample = unpacked("sample", arrays)
        options: dict[str, Any] = {k: v for k, v in record["method"].items() if k != "name"}
        made = METHODS.get(record["method"]["name"])
        if issubclass(made, ImageMethod):
            options["layout"] = options.get("layout") or "channels_last"  # as in the sample
        method = made(**options, device=device)
        method.fit(_prepared(sample, preprocess, method))
        weight, bias = (torch.from_numpy(arrays[k]).to(torch_device(device)) for k in ("weight", "bias"))
        predictor = made.predictor(weight, bias, record["lambda"])
        views, names = int(record["views"]), record["class_names"]
        # older records lack inputs: those were rows, or images with channels last
        inputs = Inputs.restored({"shape": sample.shape[1:]} | record.get("inputs", {}), sample)
        labels = Labels(list(record["labels"])) if record.get("labels") else None
        sure = record.get("confidence")  # older records lack it
        confidence = None if sure is None else Confidence.restored(sure, weight.shape[1])
        if confidence is not None and (confidence.temperature is None) != (names is None):
            raise ValueError("its record of confidence does not fit its classes")
        return cls(method, preprocess, predictor, sample, views, names, inputs, labels, confidence)


def _prepared(x: Any, preprocess: Preprocess, method: Method) -> Any:
    return prepared(x, preprocess, DTYPES[method.dtype], torch_device(method.device))
