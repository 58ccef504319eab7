"""Decode one image file to bytes (H, W, C)."""

from __future__ import annotations

import logging
import struct
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

FORMATS = ("PNG", "JPEG", "BMP", "WEBP", "GIF", "TIFF", "PPM")  # no other parser of Pillow sees a file
GREY = ("1", "L", "LA", "La", "I;16", "I;16B", "I;16L", "I")
RESIZE, MODES = ("crop", "stretch", "pad"), ("rgb", "grey")
VERSION = 1  # raise it if pixels change: caches are then made again


class Broken(Exception):
    """A file is not a sound image; the text is the reason."""


@dataclass(frozen=True)
class Form:
    """Form of decoded images.

    Attributes
    ----------
    size : (int, int) or None
        Height and width; None keeps those of the file.
    resize : {"crop", "stretch", "pad"}
        crop: scaled until the shorter side fits, the middle is taken; stretch: each side scaled; pad: scaled
        until the longer side fits, black around.
    grey : bool
        One channel, else three.
    """

    size: tuple[int, int] | None
    resize: str
    grey: bool


@contextmanager
def limits() -> Iterator[None]:
    """Refuse images above Pillow's limit of 89 million pixels inside, and silence its other warnings."""
    from PIL import Image

    logging.getLogger("PIL").setLevel(logging.CRITICAL)  # what matters of a file is told by Broken
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decode(path: Path, form: Form) -> np.ndarray:
    """Return the first frame of an image, uint8 (H, W, 3) or (H, W, 1); Broken if that fails.

    The orientation in EXIF is applied. Transparent pixels show white. Of 16 bits per value the upper 8 stay.
    An image that has the size already keeps its values.
    """
    with _opened(path) as image:
        if form.size:
            # a JPEG is decoded at a fraction of its size that is still twice the wanted one
            image.draft(None, (2 * max(form.size), 2 * max(form.size)))
        out = _sized(_eight_bits(image, form.grey), form)
        array = np.asarray(out)
    return array[..., None] if form.grey else array


def stored_grey(path: Path) -> bool:
    """Return whether a file holds grey values, by its header; a broken file counts as grey."""
    try:
        with _opened(path) as image:
            return image.mode in GREY
    except Broken:
        return True


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    from PIL import Image

    try:
        # a pipe or device with the name of an image would never end
        if not path.is_file():
            raise Broken("it is absent, or no regular file")
        with Image.open(path, formats=FORMATS) as image:
            yield image
    except Broken:
        raise
    except Image.UnidentifiedImageError as error:
        empty = path.stat().st_size == 0
        kinds = ", ".join(FORMATS[:-1])
        raise Broken("it is empty" if empty else f"it is none of {kinds}") from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise Broken(f"it has more than {Image.MAX_IMAGE_PIXELS:,} pixels") from error
    except (struct.error, IndexError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise Broken("it is damaged") from error
    # a hostile file can raise nearly anything
    except Exception as error:
        text = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise Broken(str(text).splitlines()[0]) from error


def _eight_bits(image: Any, grey: bool) -> Any:
    """Return the upright image in mode L or RGB."""
    from PIL import Image, ImageOps

    kind = image.format
    image = ImageOps.exif_transpose(image)
    if image.mode in ("I", "F") and kind not in ("PNG", "PPM"):
        raise Broken(f"its values have 32 bits (mode {image.mode}); write it with 8 or 16")
    if image.mode.startswith("I"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("LA", "La", "PA", "RGBA", "RGBa") or "transparency" in image.info:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image)
    return image.convert("L" if grey else "RGB")


def _sized(image: Any, form: Form) -> Any:
    from PIL import Image, ImageOps

    if form.size is None or image.size == form.size[::-1]:
        return image
    size, filter_ = form.size[::-1], Image.Resampling.BICUBIC
    if form.resize == "stretch":
        return image.resize(size, filter_)
    return (ImageOps.fit if form.resize == "crop" else ImageOps.pad)(image, size, filter_)
