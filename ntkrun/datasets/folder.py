"""Data set of the user's image files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun import checks
from ntkrun.datasets.base import DataSource
from ntkrun.datasets.images.cache import ON_ERROR, form_of, read
from ntkrun.datasets.images.decode import MODES, RESIZE
from ntkrun.datasets.images.labels import labelled
from ntkrun.datasets.images.listing import listing, shown
from ntkrun.datasets.images.new import new_images
from ntkrun.datasets.inputs import Inputs
from ntkrun.datasets.labels import Labels
from ntkrun.datasets.new import New
from ntkrun.datasets.parts import test_rows
from ntkrun.datasets.split import Split, make_split
from ntkrun.errors import DataError, must_be
from ntkrun.store.paths import as_path

LARGEST = 4096  # pixels of a side


@dataclass(frozen=True, kw_only=True)
class Folder(DataSource):
    """Images in files, one folder per class; or below train/ and test/; or named by a csv.

    PNG, JPEG, BMP, WebP, GIF, TIFF (first frame) and PPM; see docs/images.md. Pixels are kept in
    data_dir/folders, and decoded again only if a file or a parameter below has changed.

    Parameters
    ----------
    path : str
        Folder that holds the folders of the classes, or train/ and test/ with those in each.
    labels : str or None
        csv with the columns file and label, paths relative to `path`; then folders do not matter.
    test_folder : str or None
        Folder beside train/ that is the test part; None takes test/, and without one a share of the images.
    test_fraction : float
        That share, stratified by class and drawn by split_seed.
    size : int, list of two int, or None
        Side, or [height, width], to which images are brought; None wants images of one size.
    resize : {"crop", "stretch", "pad"}
        crop: the shorter side is scaled and the middle taken; stretch: each side is scaled; pad: the longer
        side is scaled, with black around.
    mode : {"rgb", "grey"} or None
        Channels; None takes grey if all files hold grey values.
    on_error : {"refuse", "skip"}
        What to do about a file that cannot be read: stop, or leave it out and count it.
    """

    name = "folder"
    holds = "images"

    path: str | None = None
    labels: str | None = None
    test_folder: str | None = None
    test_fraction: float = 0.2
    size: int | list[int] | None = None
    resize: str = "crop"
    mode: str | None = None
    on_error: str = "refuse"

    def problems(self) -> list[str]:
        """Return one sentence for every wrong parameter."""
        out = super().problems()
        if not self.path:
            out.append(must_be("path", "Folder", "a folder of images", self.path, "Set dataset.path=DIR."))
        out += checks.real("Folder", "test_fraction", self.test_fraction, 0, 0.9)
        out += checks.choice("Folder", "resize", self.resize, RESIZE)
        out += checks.choice("Folder", "on_error", self.on_error, ON_ERROR)
        if self.mode is not None:
            out += checks.choice("Folder", "mode", self.mode, MODES)
        sides = self.size if isinstance(self.size, list | tuple) else [self.size, self.size]
        wrong = [s for s in sides if checks.integer("Folder", "size", s, 1, LARGEST)]
        if self.size is not None and (wrong or len(sides) != 2):
            constraint = f"null, a number in [1, {LARGEST}] or [HEIGHT,WIDTH]"
            out.append(must_be("size", "Folder", constraint, self.size))
        if self.labels is not None and self.test_folder is not None:
            out.append(must_be("test_folder", "Folder", "null if labels is set", self.test_folder))
        return out

    def new(self, path: Path, inputs: Inputs) -> New:
        """Return images to predict, brought to the size of training as those were."""
        return new_images(path, inputs, self.resize, self.on_error)

    def load(self) -> Split:
        """Return the split; DataError for a folder of another form or a broken file."""
        root = as_path(str(self.path))
        if not root.is_dir():
            remedy = "Unpack it first." if root.is_file() else ""
            remedy = "Set dataset.path=DIR dataset.labels=FILE.csv." if root.suffix == ".csv" else remedy
            raise DataError(must_be("path", "Folder", "an existing folder", shown(root), remedy))
        try:
            found = labelled(root, self.labels) if self.labels else listing(root, self.test_folder)
        except OSError as error:  # a folder that may be listed but not entered
            raise DataError(f"{shown(error.filename or root)} cannot be read: {error.strerror}.") from error
        form = form_of(self.size, self.resize, self.mode)
        pixels = read(root, found.files, form, self.on_error, self.cache() / "folders")
        y, classes = found.labels[pixels.rows], len(found.class_names)
        rows: tuple[Any, Any]
        if found.n_train is None:
            test = test_rows(y, classes, self.test_fraction, self.split_seed)
            rows = ~test, test
        else:
            cut = int(np.searchsorted(pixels.rows, found.n_train))
            rows = slice(cut), slice(cut, None)  # no copies
        parts = [(pixels.x[part], y[part]) for part in rows]
        labels = Labels(list(found.class_names))
        return make_split(root.name or "folder", *parts, classes=classes, labels=labels, **self.subset())
