"""Measure each method on each number of rows, once, in a process of its own; see the package."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks.base import machine_line, show
from benchmarks.scale import data, sparse, theirs
from ntkrun import machine
from ntkrun.errors import ConfigError, NtkrunError, must_be
from ntkrun.store.paths import as_path

DEFAULTS = {
    "rows": "100000,1000000,10000000",
    "feature_dim": "1024",
    "dir": "outputs/scale",
    "out": "docs/benchmarks/scale.md",
    "sparse_rows": "20000",
    "theirs": "1000000",  # most rows for scikit-learn, which takes an hour for ten times as many
}
OURS = ("ntk_random_features", "ntk_sketch")
HEADER = ["rows", "method", "rows/s", "seconds", "peak MiB", "MiB written", "MiB left", "test mse", "test r2"]


@dataclass(frozen=True)
class Cost:
    """Cost of one process, with its children: seconds of wall time, peak resident MiB, MiB written."""

    seconds: float
    peak_mib: float
    written_mib: float


def measured(command: list[str], log: Path) -> Cost:
    """Run a command, with its output in `log`; RuntimeError if it fails."""
    begin = time.perf_counter()
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdout=out, stderr=subprocess.STDOUT)
        _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(command)} failed; see {log}")
    return Cost(time.perf_counter() - begin, usage.ru_maxrss / 1024, usage.ru_oublock * 512 / (1 << 20))


def ours(method: str, file: Path, columns: int, folder: Path) -> dict[str, Any]:
    """Run ntkrun with summed features and return its scores and cost."""
    outputs = folder / f"{file.stem}-{method}"
    shutil.rmtree(outputs, ignore_errors=True)
    words = [f"dataset.path={file}", f"method={method}", f"feature_dim={columns}", f"output_dir={outputs}"]
    fixed = ["dataset=hdf5", "dataset.task=regression", "features=summed", "baseline=none"]
    command = [sys.executable, "-m", "ntkrun", *fixed, *words]
    cost = measured(command, folder / f"{file.stem}-{method}.log")
    result = json.loads(next(outputs.rglob("result.json")).read_text())
    left = sum(path.stat().st_size for path in outputs.rglob("*") if path.is_file()) / (1 << 20)
    return {"mse": result["test/mse"], "r2": result["test/r2"], "left_mib": left} | asdict(cost)


def beside(name: str, file: Path, columns: int, folder: Path) -> dict[str, Any]:
    """Run scikit-learn's map `name` with SGDRegressor and return its scores and cost."""
    log = folder / f"{file.stem}-{name}.log"
    words = [name, str(file), str(columns)]
    cost = measured([sys.executable, "-W", "ignore", "-m", "benchmarks.scale.theirs", *words], log)
    return json.loads(log.read_text().splitlines()[-1]) | {"left_mib": 0.0} | asdict(cost)


def table(counts: list[int], columns: int, folder: Path, most: int) -> Iterator[list[Any]]:
    """Yield one row of the page per method and number of rows; scikit-learn gets at most `most` rows.

    The file of each number is removed when its methods are done.
    """
    for rows in counts:
        file = data.file_of(folder, rows)
        for name in (*OURS, *theirs.NAMES) if rows <= most else OURS:
            found = (ours if name in OURS else beside)(name, file, columns, folder)
            label = f"`{name}`" if name in OURS else f"{name} + SGDRegressor"
            cost = (found["seconds"], found["peak_mib"], found["written_mib"], found["left_mib"])
            yield [f"{rows:,}", label, rows / found["seconds"], *cost, found["mse"], found["r2"]]
        file.unlink()


def markdown(header: list[str], rows: list[list[Any]]) -> str:
    """Return a table."""
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(map(show, row)) + " |" for row in rows])


def main(words: list[str]) -> int:
    """Measure, write the page and return the exit code."""
    try:
        given = dict(word.split("=", 1) for word in words if "=" in word)
        for word in given:
            if word not in DEFAULTS:
                raise ConfigError(must_be("key", "scale", f"one of {', '.join(DEFAULTS)}", word))
        options = DEFAULTS | given
        counts, columns = [int(n) for n in options["rows"].split(",")], int(options["feature_dim"])
        folder, out = as_path(options["dir"]), as_path(options["out"])
        folder.mkdir(parents=True, exist_ok=True)
        machine.tune()
        about, rows = machine_line(), []
        for row in table(counts, columns, folder, int(options["theirs"])):
            rows.append(row)
            print(*map(show, row), sep="  ", flush=True)
        text = PAGE.format(columns=columns, words=" ".join(words), about=about, rows=markdown(HEADER, rows))
        if int(options["sparse_rows"]):
            text += sparse.page(int(options["sparse_rows"]), columns)
        out.write_text(text)
    except NtkrunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


PAGE = """# Rows by the million

{about} `python -m benchmarks.scale {words}`, each line a process of its own, one after the other.

Rows of 90 columns in the shape of MillionSongs, generated (benchmarks/scale/data.py), one HDF5 file; 20,000
test rows; {columns} columns of features. `ntk_random_features` and `ntk_sketch` are runs of `ntkrun` with
`features=summed` and its defaults: a fifth of the rows is held out to choose lambda, and the final fit
takes all. The others pass over the rows once after a pass for means and variances;
`SGDRegressor.partial_fit` with three regularisers, of which the first 10,000 rows choose one. Seconds are
wall time of the whole process, imports included; MiB written is what the kernel counted for the process,
MiB left is what the output folder holds at the end.

{rows}
"""

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
