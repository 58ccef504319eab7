"""Images to predict, from one file or a folder of files."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from ntkrun.datasets.images.cache import form_of, read
from ntkrun.datasets.images.listing import images_below, natural, shown
from ntkrun.datasets.inputs import Inputs
from ntkrun.datasets.new import New
from ntkrun.errors import DataError, must_be


def new_images(path: Path, inputs: Inputs, resize: str = "crop", on_error: str = "refuse") -> New:
    """Return the images of a file, or of a folder and those below it, brought to the size of training.

    They are called by their path in the folder. If each lies in a folder below it, that folder's name is its
    label. DataError for a broken file, and for a model of other inputs than bytes of one or three channels.
    """
    shape = inputs.image
    if shape is None or shape[2] not in (1, 3) or inputs.dtype != np.uint8:
        constraint = f"like the training data: {inputs.dtype} of shape {' x '.join(map(str, inputs.shape))}"
        remedy = "Give them as x in an .npz."
        raise DataError(must_be("data", "predict", constraint, f"images in {shown(path)}", remedy))
    root = path if path.is_dir() else path.parent
    files = images_below(path) if path.is_dir() else [path]
    if not files:
        raise DataError(must_be("data", "predict", "a folder with images", shown(path)))
    names = [file.relative_to(root).as_posix() for file in files]
    files = [files[i] for i in sorted(range(len(names)), key=lambda i: natural(names[i]))]
    form = form_of([shape[0], shape[1]], resize, "grey" if shape[2] == 1 else "rgb")
    pixels = read(root, files, form, on_error, None)
    kept = [files[i] for i in pixels.rows]
    nested = all(file.parent != root for file in kept)
    y = np.array([file.parent.name for file in kept]) if nested else None
    return New(inputs.of(pixels.x), y, [file.relative_to(root).as_posix() for file in kept])
