"""Find the image files of a folder, with their classes and their part."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.errors import DataError, few, must_be

log = logging.getLogger(__name__)

# endings of the formats in decode.FORMATS
SUFFIXES = (
    *(".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".bmp", ".dib", ".webp"),
    *(".gif", ".tif", ".tiff", ".pgm", ".ppm", ".pbm", ".pnm"),
)
TRAIN, TEST = ("train", "training"), ("test", "testing")
VALID = ("val", "valid", "validation", "dev")
JUNK = ("__macosx", "@eadir")  # folders that other systems leave


@dataclass(frozen=True)
class Listing:
    """Image files in the order of the rows, train before test.

    Attributes
    ----------
    files : list of Path
    labels : np.ndarray
        (n,), int64, an index of `class_names` for each file.
    class_names : list of str
    n_train : int or None
        Number of files of the train part; None if the files are not divided.
    """

    files: list[Path]
    labels: np.ndarray
    class_names: list[str]
    n_train: int | None


def natural(text: str) -> tuple[list[str | int], str]:
    """Return a sorting key that puts 2 before 10; upper and lower case are one letter."""
    parts = re.split("([0-9]+)", text.casefold())
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], text


def shown(path: Path | str) -> str:
    """Return a path as text that fits into one line of any terminal."""
    return "".join(c if c.isprintable() else "?" for c in str(path))


def listing(root: Path, test_folder: str | None) -> Listing:
    """Return the images of `root`: one folder per class, or a train and a test folder of those.

    Rows are in the natural order of file names, whatever their class: a set that was written out with
    running numbers keeps its order. Raises DataError for a folder of another form.
    """
    ignored = _Ignored()
    train = _part(root, TRAIN)
    if train is None:
        if test_folder is not None:
            raise DataError(
                must_be("test_folder", "Folder", f"null, as {shown(root)} has no train/", test_folder)
            )
        if part := _part(root, TEST + VALID):
            constraint = "a folder with train/ if it has other parts"
            raise DataError(must_be("path", "Folder", constraint, f"{shown(part)} alone"))
        classes = _classes(root, ignored)
        _check(root, classes)
        ignored.tell(root)
        return _listed([classes], None)
    test = _part(root, TEST if test_folder is None else (test_folder.casefold(),))
    if test is None and test_folder is not None:
        constraint = f"a folder of classes in {shown(root)}"
        raise DataError(must_be("test_folder", "Folder", constraint, test_folder))
    rest = [p for p in _folders(root) if p not in (train, test)]
    for other in rest:
        hint = f" (to test on it: dataset.test_folder={other.name})" if other.name.lower() in VALID else ""
        log.info("data       %s is not used: it is not train or a test part of classes%s", shown(other), hint)
    parts = [_classes(train, ignored)] + ([_classes(test, ignored)] if test else [])
    _check(train, parts[0])
    if test is not None:
        if not parts[1]:
            raise DataError(f"{shown(test)} holds no image in a folder of a class. Fill it or move it away.")
        if unknown := sorted(parts[1].keys() - parts[0].keys(), key=natural):
            known = few(sorted(parts[0], key=natural))
            raise DataError(
                must_be(f"classes in {shown(test)}", "Folder", f"among {known}", shown(few(unknown)))
            )
    ignored.tell(root)
    return _listed(parts, len(parts) - 1 or None)


def _listed(parts: list[dict[str, list[Path]]], divided: int | None) -> Listing:
    names = sorted(parts[0], key=natural)
    index = {name: i for i, name in enumerate(names)}
    files: list[Path] = []
    labels: list[int] = []
    for part in parts:
        # equal names in several classes are in the order of the classes
        rows = sorted(
            (natural(file.name), index[name], str(file)) for name, found in part.items() for file in found
        )
        files += [Path(row[2]) for row in rows]
        labels += [row[1] for row in rows]
    n_train = sum(map(len, parts[0].values())) if divided else None
    return Listing(files, np.array(labels, np.int64), names, n_train)


def _check(folder: Path, classes: dict[str, list[Path]]) -> None:
    """Raise DataError unless there are two classes."""
    if len(classes) >= 2:
        return
    if not classes and any(_is_image(p) for p in _entries(folder)):
        remedy = "Move the images into folders of their classes, or name them: dataset.labels=FILE.csv."
        raise DataError(must_be("path", "Folder", "one folder per class", shown(folder), remedy))
    got = f"{shown(folder)} with {few([shown(c) for c in classes]) or 'none'}"
    raise DataError(must_be("path", "Folder", "a folder of at least two folders with images", got))


def _part(root: Path, names: tuple[str, ...]) -> Path | None:
    """Return the folder of `root` that is called so and holds folders, not images: a part, not a class."""
    for folder in _folders(root):
        if folder.name.casefold() in names and _folders(folder) and not any(map(_is_image, _entries(folder))):
            return folder
    return None


def _classes(folder: Path, ignored: _Ignored) -> dict[str, list[Path]]:
    """Return the images below each folder of `folder`, in the order of the folders."""
    out = {}
    for entry in _entries(folder):
        if not entry.is_dir():
            ignored.add(entry)
            continue
        if not _plain(entry):
            ignored.folders.append(entry)
            continue
        if entry.name != entry.name.encode(errors="replace").decode():
            raise DataError(
                must_be("path", "Folder", "of folders named in UTF-8", shown(entry), "Rename it.")
            )
        if images := _images(entry, ignored):
            out[entry.name] = images
        else:
            log.warning("data       %s holds no image and is left out", shown(entry))
    return out


def _images(top: Path, ignored: _Ignored) -> list[Path]:
    """Return the images in a folder and the folders below it.

    Each folder counts once, links included. A link to a folder above is not followed: it would bring the
    images of other classes.
    """
    above = {_identity(folder) for folder in top.resolve().parents}
    out, seen, queue = [], above, [top]
    while queue:
        folder = queue.pop()
        if (identity := _identity(folder)) in seen:
            continue
        seen.add(identity)
        for entry in _entries(folder):
            if entry.is_dir() and _plain(entry):
                queue.append(entry)
            elif _is_image(entry):
                out.append(entry)
            else:
                ignored.add(entry)
    return out


def images_below(top: Path) -> list[Path]:
    """Return the images in a folder and those below it, with a line about other files."""
    ignored = _Ignored()
    out = _images(top, ignored)
    ignored.tell(top)
    return out


def _identity(folder: Path) -> tuple[int, int]:
    about = folder.stat()
    return about.st_dev, about.st_ino


class _Ignored:
    """Count of files that are no images, for one line."""

    def __init__(self) -> None:
        self.count, self.first = 0, ""
        self.folders: list[Path] = []

    def add(self, path: Path) -> None:
        self.count += 1
        self.first = self.first or shown(path.name)

    def tell(self, root: Path) -> None:
        if self.count:
            log.info(
                "data       %d files of %s are no images, or in no class, and are ignored: %s%s",
                self.count,
                shown(root),
                self.first,
                ", ..." if self.count > 1 else "",
            )


def _entries(folder: Path) -> list[Path]:
    """Return what is in a folder, sorted; DataError if it cannot be read."""
    try:
        return sorted(folder.iterdir(), key=lambda p: natural(p.name))
    except OSError as error:
        raise DataError(f"{shown(folder)} cannot be read: {error.strerror}.") from error


def _folders(folder: Path) -> list[Path]:
    return [p for p in _entries(folder) if p.is_dir() and _plain(p)]


def _plain(path: Path) -> bool:
    return not path.name.startswith(".") and path.name.casefold() not in JUNK


def _is_image(path: Path) -> bool:
    """Return whether a path is a regular file, not hidden, with the ending of an image."""
    return path.suffix.lower() in SUFFIXES and not path.name.startswith(".") and path.is_file()
