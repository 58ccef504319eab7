"""Generated rows in the shape of MillionSongs: 90 correlated columns, a known function and noise."""

from __future__ import annotations

import os
from pathlib import Path

import h5py
import numpy as np

COLUMNS, TEST, BLOCK = 90, 20_000, 50_000
NOISE = 0.5  # standard deviation; that of the function is about 1
FORM = 1  # raise it if the rows change


def file_of(folder: Path, rows: int) -> Path:
    """Return the HDF5 file of so many training rows, and write it unless it is there."""
    path = folder / f"songs-{rows}-v{FORM}.h5"
    if path.exists():
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".unfinished")
    with h5py.File(unfinished, "w") as file:
        for part, count in (("train", rows), ("test", TEST)):
            x = file.create_dataset(f"x_{part}", (count, COLUMNS), np.float32, chunks=(4096, COLUMNS))
            y = file.create_dataset(f"y_{part}", (count,), np.float32)
            for number, start in enumerate(range(0, count, BLOCK)):
                stop = min(count, start + BLOCK)
                x[start:stop], y[start:stop] = block(part, number, stop - start)
    os.replace(unfinished, path)
    return path


def block(part: str, number: int, rows: int) -> tuple[np.ndarray, np.ndarray]:
    """Return block `number` of a part: x (rows, 90) and y (rows,), float32."""
    rng = np.random.default_rng([part == "test", number])
    mix, waves, phases = _function()
    hidden = rng.standard_normal((rows, COLUMNS), np.float32)
    x = hidden @ mix
    clean = np.sqrt(2 / len(waves)) * np.cos(hidden[:, : waves.shape[1]] @ waves.T + phases).sum(1)
    y = clean + NOISE * rng.standard_normal(rows)
    return x.astype(np.float32), y.astype(np.float32)


def _function() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the mixture (90, 90) of the columns, and waves (16, 6) and phases (16,) of the function."""
    rng = np.random.default_rng(0)
    scales = (
        np.arange(1, COLUMNS + 1) ** -0.5
    )  # variances of principal components fall like 1 / k; the function depends on six
    turn, _ = np.linalg.qr(rng.standard_normal((COLUMNS, COLUMNS)))
    mix = (scales[:, None] * turn).astype(np.float32)
    waves = (0.8 * rng.standard_normal((16, 6))).astype(np.float32)
    return mix, waves, rng.uniform(0, 2 * np.pi, 16).astype(np.float32)
