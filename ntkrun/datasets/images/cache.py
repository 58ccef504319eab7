"""Decode image files once, side by side, and keep the pixels in a checked file."""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ntkrun import machine
from ntkrun.datasets.images.decode import VERSION, Broken, Form, decode, limits, stored_grey
from ntkrun.datasets.images.listing import shown
from ntkrun.errors import DataError, MachineError, must_be
from ntkrun.progress import progress
from ntkrun.store import lock
from ntkrun.store.atomic import remove_temporaries, write_atomic, write_json

log = logging.getLogger(__name__)

ON_ERROR = ("refuse", "skip")
CHUNK = 32  # files per task of a thread
PIXELS, RECORD = "pixels.bin", "record.json"


@dataclass(frozen=True)
class Pixels:
    """Decoded images.

    Attributes
    ----------
    x : np.ndarray
        (n, H, W, C), uint8, maybe read-only.
    rows : np.ndarray
        (n,), the number of each image's file in the list, ascending: broken files are left out.
    broken : list of (str, str)
        Those files, relative to their folder, and why.
    """

    x: np.ndarray
    rows: np.ndarray
    broken: list[tuple[str, str]]


def read(root: Path, files: list[Path], form: dict[str, Any], on_error: str, cache: Path | None) -> Pixels:
    """Return the pixels of `files`, decoded or from the cache.

    A cache is a folder in `cache` for one list of files, with their sizes and times of change, and one form.
    Its checksum is compared; a damaged one is made again.

    Parameters
    ----------
    root : Path
        Folder that the names in messages and in the cache's key begin at.
    files : list of Path
    form : {"size", "resize", "mode"}
        As in decode.Form; mode None takes grey if all files hold grey values.
    on_error : {"refuse", "skip"}
        Whether a broken file is an error, or left out with a line.
    cache : Path or None
        None keeps nothing.

    Raises
    ------
    DataError
        For a broken file, for images of unequal size without a size, and if no image is left.
    MachineError
        If the pixels do not fit into memory.
    """
    names = [os.path.relpath(file, root) for file in files]
    with contextlib.ExitStack() as stack:
        place = None
        if cache is not None:
            place = cache / _key(names, files, form)
            stack.enter_context(_alone(cache, place))
        pixels = _kept(place, len(files)) if place else None
        if pixels is None:
            pixels = _decoded(names, files, form, on_error)
            if place:
                pixels = _keep(place, pixels)
    if pixels.broken and on_error == "refuse":
        raise _refusal(*pixels.broken[0])
    if pixels.broken:
        name, reason = pixels.broken[0]
        text = "data       %d of %d images cannot be read and are left out: %s (%s)%s"
        more = ", ..." if len(pixels.broken) > 1 else ""
        log.warning(text, len(pixels.broken), len(files), shown(name), reason, more)
    return pixels


def _key(names: list[str], files: list[Path], form: dict[str, Any]) -> str:
    """Return a hash of the names, sizes and times of change of the files, and of the form."""
    digest = hashlib.sha256(json.dumps([VERSION, form], sort_keys=True).encode())
    for name, file in zip(names, files, strict=True):
        try:
            about = file.stat()
            digest.update(repr((name, about.st_size, about.st_mtime_ns)).encode())
        except (OSError, ValueError):  # absent, or a name that cannot be: told when it is decoded
            digest.update(repr(name).encode())
    return digest.hexdigest()[:32]


@contextlib.contextmanager
def _alone(cache: Path, place: Path) -> Iterator[None]:
    """Let one process at a time decode for a cache; all of them if no lock can be made there."""
    with contextlib.ExitStack() as stack:
        # without leave to write, or space, there will be no cache either: _keep says so
        with contextlib.suppress(OSError, MachineError):
            cache.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.held(cache / ".lock", "data_dir"))
            remove_temporaries(place)
        yield


def _kept(place: Path, count: int) -> Pixels | None:
    """Return the pixels of a cache, as a read-only map of its file; None without a sound one."""
    try:
        record = json.loads((place / RECORD).read_text())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        record = {}
    try:
        shape = tuple(int(n) for n in record["shape"])
        broken = [(str(name), str(reason)) for name, reason in record["broken"]]
        rows = np.delete(np.arange(count), [int(row) for row in record["left_out"]])
        with (place / PIXELS).open("rb") as file:
            sound = hashlib.file_digest(file, "sha256").hexdigest() == record["sha256"]
        if sound and len(shape) == 4 and len(rows) == shape[0]:
            return Pixels(np.memmap(place / PIXELS, np.uint8, "r", shape=shape), rows, broken)
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        pass
    log.warning("data       the decoded images in %s are damaged and are made again", place)
    return None


def _keep(place: Path, pixels: Pixels) -> Pixels:
    """Write a cache and return its pixels; the same pixels and a warning if it cannot be written."""
    try:
        data = pixels.x.reshape(-1).data
        write_atomic(place / PIXELS, data)
        left_out = np.setdiff1d(np.arange(len(pixels.rows) + len(pixels.broken)), pixels.rows)
        record = {
            "shape": pixels.x.shape,
            "sha256": hashlib.sha256(data).hexdigest(),
            "left_out": left_out.tolist(),
            "broken": pixels.broken,
        }
        write_json(place / RECORD, record)
    except MachineError as error:
        reason = str(error).split(". Free space", 1)[0]
        log.warning("data       the decoded images are not kept: %s. Set data_dir=DIR to keep them.", reason)
        return pixels
    x = np.memmap(place / PIXELS, np.uint8, "r", shape=pixels.x.shape)
    return Pixels(x, pixels.rows, pixels.broken)


def _decoded(names: list[str], files: list[Path], form: dict[str, Any], on_error: str) -> Pixels:
    """Decode all files by threads, into one array."""
    begin = time.monotonic()
    with limits(), ThreadPoolExecutor(machine.cores()) as pool:
        chunks = [range(i, min(i + CHUNK, len(files))) for i in range(0, len(files), CHUNK)]
        grey = form["mode"] == "grey"
        if form["mode"] is None:
            grey = all(pool.map(lambda chunk: all(stored_grey(files[i]) for i in chunk), chunks))
        wanted = Form(form["size"], form["resize"], grey)
        first, shape = _first(names, files, wanted, on_error)
        x = _allocated(len(files), shape)

        def fill(chunk: range) -> list[tuple[int, str]]:
            broken = []
            for i in chunk:
                try:
                    image = decode(files[i], wanted)
                except Broken as error:
                    if on_error == "refuse":
                        raise _refusal(names[i], str(error)) from error
                    broken.append((i, str(error)))
                    continue
                if image.shape != shape:
                    raise _unequal((names[first], shape), (names[i], image.shape))
                x[i] = image
            return broken

        broken: list[tuple[int, str]] = []
        with progress("decoding images", len(files), "files") as advance:
            for chunk, found in zip(chunks, pool.map(fill, chunks), strict=True):
                broken += found
                advance(len(chunk))
    rows = np.delete(np.arange(len(files)), [i for i, _ in broken])
    if broken:
        for to, row in enumerate(rows):  # in place: a second array could be too much
            x[to] = x[row]
    log.info("data       decoded %d images in %.1f s", len(rows), time.monotonic() - begin)
    return Pixels(x[: len(rows)], rows, [(names[i], reason) for i, reason in broken])


def _first(names: list[str], files: list[Path], form: Form, on_error: str) -> tuple[int, tuple[int, ...]]:
    """Return the number and the shape of the first sound image."""
    reason = ""
    for i, file in enumerate(files):
        try:
            return i, decode(file, form).shape
        except Broken as error:
            if on_error == "refuse":
                raise _refusal(names[i], str(error)) from error
            reason = reason or f"{shown(names[i])}: {error}"
    raise DataError(f"None of {len(files)} images can be read. The first is {reason}.")


def _allocated(count: int, shape: tuple[int, ...]) -> np.ndarray:
    size, free = count * math.prod(shape), machine.available_memory()
    if free is not None and size > free:
        form = " x ".join(map(str, shape))
        text = f"{count:,} images of {form} take {size / 2**30:.1f} GiB and {free / 2**30:.1f} GiB are free."
        raise MachineError(f"{text} Lower dataset.size.")
    return np.empty((count, *shape), np.uint8)


def _refusal(name: str, reason: str) -> DataError:
    remedy = "Replace it, or leave such files out: dataset.on_error=skip."
    return DataError(f"{shown(name)} cannot be read as an image: {reason}. {remedy}")


def _unequal(*images: tuple[str, tuple[int, ...]]) -> DataError:
    sides = [f"{shown(name)} has {shape[0]} x {shape[1]} pixels" for name, shape in images]
    constraint = f"set, as images differ: {' and '.join(sides)}"
    return DataError(must_be("size", "Folder", constraint, None, "Set dataset.size=32."))


def form_of(size: int | list[int] | None, resize: str, mode: str | None) -> dict[str, Any]:
    """Return the `form` for `read`; one number is the size of both sides."""
    sides = (size, size) if isinstance(size, int) else None if size is None else (size[0], size[1])
    return {"size": sides, "resize": resize, "mode": mode}
