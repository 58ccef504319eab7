"""Write a page of the kinds of columns that dataset=csv found in many tables, from run folders.

ntkrun -m dataset=csv dataset.path=A.dat,B.dat baseline=none
python -m scripts.detected outputs docs/results/keel.md
"""

from __future__ import annotations

import sys
from pathlib import Path

from ntkrun.errors import NtkrunError
from ntkrun.report.collect import runs_of
from ntkrun.report.page import machines
from ntkrun.store.atomic import write_atomic
from ntkrun.store.paths import as_path
from ntkrun.store.runs import Run, read_json

MARK = "data       "
STARTS = ("dates", "missing", "left out")
HEAD = ["table", "rows", "features", "task", "labels", "columns", "method"]


def row(run: Run) -> list[str]:
    """Return the cells of a table's line."""
    result, model = run.result, read_json(run.folder / "model" / "model.json")
    names = model["class_names"]
    labels = "-" if names is None else ", ".join(names[:4]) + (", ..." if len(names) > 4 else "")
    said = [line.partition(MARK)[2] for line in _log(run) if MARK in line]
    kinds = "; ".join(line for line in said if line.startswith(STARTS) or " levels" in line)
    shape = model["inputs"]["shape"]
    return [
        Path(run.config["dataset"]["path"]).name,
        f"{result['n_train'] + result['n_test']:,}",
        str(shape[0]),
        "regression" if names is None else f"{len(names)} classes",
        labels,
        kinds or "numbers",
        result["method"],
        f"{result[f'test/{run.metric}']:.4f}",
    ]


def _log(run: Run) -> list[str]:
    return (run.folder / "run.log").read_text("utf-8").splitlines()


def page(runs: list[Run], command: str) -> str:
    """Return the page."""
    (where, packages, _), *_ = machines(runs)
    rows = sorted(row(run) for run in runs)
    score = f"test {runs[0].metric}"
    text = [
        "# Tables of KEEL, as dataset=csv reads them",
        "",
        f"`{command}`. {where}; {packages}.",
        "",
        "No key but the path was given; none of the files has a header. Nothing is tuned: the page shows how",
        "each file is read.",
        "[small_tables](small_tables.md) compares methods.",
        "",
        "| " + " | ".join([*HEAD, score]) + " |",
        "|" + "---|" * (len(HEAD) + 1),
        *("| " + " | ".join(cells) + " |" for cells in rows),
    ]
    return "\n".join(text) + "\n"


def main(words: list[str]) -> int:
    """Write the page and return the exit code."""
    if len(words) != 2:
        print("Type: python -m scripts.detected OUTPUT_DIR PAGE.md", file=sys.stderr)
        return 2
    try:
        runs = [run for run in runs_of(as_path(words[0])) if run.metric]
    except NtkrunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    write_atomic(as_path(words[1]), page(runs, f"python -m scripts.detected {' '.join(words)}").encode())
    print(f"{len(runs)} tables in {words[1]}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
