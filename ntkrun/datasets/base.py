"""Base classes of the data sets in conf/dataset."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from ntkrun import checks
from ntkrun.datasets.fetch import obtain
from ntkrun.datasets.images.listing import SUFFIXES
from ntkrun.datasets.images.new import new_images
from ntkrun.datasets.inputs import Inputs
from ntkrun.datasets.labels import Labels, flat, labels_of
from ntkrun.datasets.new import New, new_rows, new_svmlight
from ntkrun.datasets.parts import test_rows
from ntkrun.datasets.preprocess import PREPROCESS
from ntkrun.datasets.rows import Rows, subset
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError, must_be
from ntkrun.maths.layout import LAYOUTS
from ntkrun.store.paths import as_path


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """Data set as configured in its yaml; `load` reads it.

    Parameters
    ----------
    n_train, n_test : int or None
        Rows to take, a stratified subset; None takes all.
    valid_fraction : float
        Share of the training rows held out to choose lambda.
    split_seed : int
        Seed of the subsets and the held-out part; a sweep over `seed` does not change it.
    preprocess : {"standardize", "contrast", "zca", "quantile", "scale", "tfidf", "none"}
        Fitted on train. standardize: zero mean and unit variance per channel or column; contrast: then
        equal brightness and contrast of all images; zca: whitening of images of unit norm; quantile: normal
        quantiles of the ranks in each column or channel; scale: division by the largest absolute value of
        each column or channel; tfidf: counts of words weighted by their rarity, rows of length 1; none:
        nothing. Sparse rows take the last three.
    augment : {"none", "flip"}
        flip: each image and its mirror image are separate rows; predictions average both.
    data_dir : str or None
        Folder for downloads; None takes $NTKRUN_DATA_DIR, else the system's cache folder.
    """

    name: ClassVar[str]
    holds: ClassVar[str | None] = None  # "images" or "rows", if it is known before the data are read

    n_train: int | None = None
    n_test: int | None = None
    valid_fraction: float = 0.2
    split_seed: int = 0
    preprocess: str = "standardize"
    augment: str = "none"
    data_dir: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter, without reading files."""
        me, out = type(self).__name__, []
        for key in ("n_train", "n_test"):
            value = getattr(self, key)
            if value is not None:
                out += checks.integer(me, key, value, 4 if key == "n_train" else 1)
        out += checks.real(me, "valid_fraction", self.valid_fraction, 0, 0.9)
        out += checks.integer(me, "split_seed", self.split_seed, 0, 2**32 - 1)
        out += checks.choice(me, "preprocess", self.preprocess, PREPROCESS.names)
        out += checks.choice(me, "augment", self.augment, ("none", "flip"))
        return out

    def load(self) -> Split:
        """Read the data and return its split; DataError or NetworkError if that fails."""
        raise NotImplementedError

    def new(self, path: Path, inputs: Inputs) -> New:
        """Return rows to predict: arrays, or images in files; DataError for a file of another kind."""
        if inputs.sparse and path.suffix not in (".npy", ".npz"):
            return new_svmlight(path, inputs)
        if path.is_dir() or path.suffix.lower() in SUFFIXES:
            return new_images(path, inputs)
        return new_rows(path)

    def subset(self) -> dict:
        """Return the arguments of `make_split` that all data sets share."""
        keys = ("n_train", "n_test", "valid_fraction", "split_seed", "preprocess", "augment")
        return {k: getattr(self, k) for k in keys}

    def cache(self) -> Path:
        """Return the folder for downloads."""
        import os

        import pooch

        return as_path(self.data_dir or os.environ.get("NTKRUN_DATA_DIR") or pooch.os_cache("ntkrun"))


@dataclass(frozen=True, kw_only=True)
class ArchiveSource(DataSource):
    """Published data set from an archive or unpacked folder, else from a download.

    Search order: `path`; $NTKRUN_DATA_DIR (or data_dir); the mirrors.

    Parameters
    ----------
    path : str or None
        Archive (.tar.gz), or the unpacked folder. Its checksum is not checked; that of an archive in data_dir
        or from a mirror is.
    mirrors : list of {url, hash}
        Downloads, tried in turn; hash is "md5:..." or "sha256:...".
    """

    path: str | None = None
    mirrors: tuple[dict[str, str], ...] = ()

    def found(self, title: str) -> Path:
        """Return the archive or folder of the data set `title`; DataError if `path` is not there."""
        if not self.path:
            return obtain(title, self.mirrors, self.cache())
        if not (path := as_path(self.path)).exists():
            raise DataError(must_be("path", type(self).__name__, "an existing archive or folder", str(path)))
        return path


@dataclass(frozen=True, kw_only=True)
class LabelledSource(DataSource):
    """Data set of the user's rows with labels.

    Parameters
    ----------
    task : {"classification", "regression"}
        Labels of classification are words or whole numbers, (n,) or (n, 1), or one-hot rows (n, k).
    classes : int or None
        k, if the labels are 0..k-1 and training lacks some of them; None takes those in training.
    """

    task: str = "classification"
    classes: int | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        out += checks.choice(type(self).__name__, "task", self.task, ("classification", "regression"))
        if self.classes is not None:
            out += checks.integer(type(self).__name__, "classes", self.classes, 2)
        return out

    def split(
        self, name: str, x: Rows, y: np.ndarray, x_test: Rows, y_test: np.ndarray, *, first: int = 0
    ) -> Split:
        """Return the split of these arrays; DataError for labels that do not fit."""
        y, classes, labels = self._coded(name, y)
        if classes is not None:
            y_test = flat(y_test, "y_test", name)
            y_test = labels.codes(y_test, "y_test", name) if labels else y_test
        parts = (x, y), (x_test, y_test)
        return make_split(name, *parts, classes=classes, labels=labels, first=first, **self.subset())

    def divided(self, name: str, x: Rows, y: np.ndarray, fraction: float, *, first: int = 0) -> Split:
        """Return the split of arrays without a test part: a `fraction` of the rows becomes one."""
        y, classes, labels = self._coded(name, y)
        if x.ndim and len(y) != x.shape[0]:
            raise DataError(must_be("y", name, f"one label for each of {x.shape[0]} rows", y.shape))
        mask = test_rows(y, classes, fraction, self.split_seed)
        parts = (subset(x, ~mask), y[~mask]), (subset(x, mask), y[mask])
        return make_split(name, *parts, classes=classes, labels=labels, first=first, **self.subset())

    def _coded(self, name: str, y: np.ndarray) -> tuple[np.ndarray, int | None, Labels | None]:
        """Return labels of training (n,), how many classes they have, and the classes unless 0..k-1."""
        if self.task != "classification":
            return y, None, None
        y = flat(y, "y_train", name)
        if self.classes is not None:
            return y, self.classes, None
        if labels := labels_of(y, "y_train", name):
            return labels.codes(y, "y_train", name), len(labels.values), labels
        return y, len(np.unique(y)), None


@dataclass(frozen=True, kw_only=True)
class ArraySource(LabelledSource):
    """Data set of the user's arrays.

    Parameters
    ----------
    layout : {"channels_last", "channels_first"} or None
        Position of the channels of images: (n, H, W, C) or (n, C, H, W). None takes the first and refuses
        shapes that look like the second. (n, H, W) are grey images in any case.
    """

    layout: str | None = None

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        if self.layout is not None:
            out += checks.choice(type(self).__name__, "layout", self.layout, LAYOUTS)
        return out

    def subset(self) -> dict:
        """Return the arguments of `make_split` that all data sets share, and the layout."""
        return super().subset() | {"layout": self.layout}
