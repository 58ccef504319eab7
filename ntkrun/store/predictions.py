"""Keep the test predictions of a run in its folder, for confusion matrices and paired comparisons.

<run folder>/predictions.npz
    predicted   (n,) uint16 codes of classes, or (n, k) float64 values
    labels      (n,) uint16 codes of classes, or (n, k) float64 values
    names       (classes,) text, empty for values
    sha256      text, hash of the test rows as the run took them in, and of their labels
"""

from __future__ import annotations

import io
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun.errors import IntegrityError
from ntkrun.store.atomic import write_atomic

NAME = "predictions.npz"


@dataclass(frozen=True)
class Predictions:
    """Predictions for the test rows, their labels, and the names of the classes (empty for values)."""

    predicted: np.ndarray
    labels: np.ndarray
    names: list[str]
    sha256: str

    @property
    def loss(self) -> np.ndarray:
        """Loss of every row (n,), float64: 1 for a wrong class, else the mean squared error over targets."""
        if self.names:
            return (self.predicted != self.labels).astype(np.float64)
        return np.square(self.predicted - self.labels).reshape(len(self.labels), -1).mean(1)


def of(prediction: np.ndarray, labels: np.ndarray, names: list[str], digest: Any) -> Predictions:
    """Return the predictions to keep, of scores or values (n, k).

    Labels are (n,) or (n, k). Of scores of classes only the place of the largest is kept. `digest` is a
    sha256 of hashlib that was fed with the rows; it takes the labels too.
    """
    kind = np.uint16 if names else np.float64
    found = prediction.argmax(1) if names else prediction
    shape = (len(labels),) if names else (len(labels), -1)
    truth = labels.astype(kind).reshape(shape)
    digest.update(f"{truth.dtype.str} {truth.shape}".encode())
    digest.update(np.ascontiguousarray(truth).data)
    return Predictions(found.astype(kind), truth, names, digest.hexdigest())


def write(folder: Path, kept: Predictions) -> None:
    """Write the predictions into a run folder, atomically."""
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer,
        predicted=kept.predicted,
        labels=kept.labels,
        names=np.array(kept.names, dtype=str),
        sha256=np.array(kept.sha256),
    )
    write_atomic(folder / NAME, buffer.getbuffer())


def read(folder: Path) -> Predictions | None:
    """Return the predictions of a run folder; None if it keeps none, as those of older versions.

    Raises IntegrityError for a damaged file.
    """
    path = folder / NAME
    try:
        with np.load(path, allow_pickle=False) as file:
            kept = {key: file[key] for key in ("predicted", "labels", "names", "sha256")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise IntegrityError(
            f"{path} cannot be read: {error}. Repeat the run: ntkrun rerun {folder}."
        ) from error
    shapes = {kept["predicted"].shape, kept["labels"].shape}
    if len(shapes) > 1 or kept["labels"].ndim != (1 if kept["names"].size else 2):
        raise IntegrityError(
            f"{path} is damaged: its arrays do not fit. Repeat the run: ntkrun rerun {folder}."
        )
    return Predictions(kept["predicted"], kept["labels"], kept["names"].tolist(), str(kept["sha256"]))
