"""Run the comparison, or go on with it, and write its page; see the package."""

from __future__ import annotations

import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.small_tables import explore, keel, page
from benchmarks.small_tables.methods import CONTENDERS, Contender
from benchmarks.small_tables.record import append, read
from benchmarks.small_tables.splits import CAP, Fold, inner, outer
from ntkrun import machine
from ntkrun.errors import ConfigError, DataError, NtkrunError, must_be
from ntkrun.store.paths import as_path

DEFAULTS = {
    "record": "outputs/small_tables.jsonl",
    "out": "docs/results",
    "sets": "",
    "methods": "",
    "cap": str(CAP),
    "explored": "outputs/explore.jsonl",
}


def measure(contender: Contender, fold: Fold) -> dict[str, Any]:
    """Choose a setting inside the rows to fit, fit it to all of them and read the rows to score once."""
    start = time.process_time()
    settings = contender.settings
    valid = np.mean(
        [[part.accuracy(p) for p in contender.predict(part, settings)] for part in inner(fold)], axis=0
    )
    best = int(np.argmax(np.round(valid, 12)))
    chosen = time.process_time()
    (predicted,) = contender.predict(fold, [settings[best]])
    return {
        "setting": settings[best],
        "valid": float(valid[best]),
        "valid_all": [round(float(v), 5) for v in valid],
        "test": fold.accuracy(predicted),
        "n_train": len(fold.fit),
        "n_test": len(fold.score),
        "choose_s": round(chosen - start, 3),
        "fit_s": round(time.process_time() - chosen, 3),
    }


def key(result: dict[str, Any]) -> tuple[Any, ...]:
    """Return what tells results apart."""
    return tuple(result[word] for word in ("set", "split", "method", "cap"))


def run(tables: list[Path], contenders: list[Contender], record: Path, cap: int) -> Iterator[dict[str, Any]]:
    """Yield each result that the record lacks, and append it there."""
    done = {key(result) for result in read(record)}
    for path in tables:
        table = keel.read(path)
        for split, fold in enumerate(outer(table, cap)):
            for contender in contenders:
                about = {"set": table.name, "split": split, "method": contender.name, "cap": cap}
                if key(about) in done:
                    continue
                result = about | measure(contender, fold)
                append(record, result)
                yield result


def chosen(word: str, given: str, known: list[str]) -> list[str]:
    """Return the names in a comma-separated list, all for an empty one; ConfigError for an unknown one."""
    asked = [name for name in given.split(",") if name] or known
    if unknown := [name for name in asked if name not in known]:
        raise ConfigError(must_be(word, "small_tables", f"among {', '.join(known)}", unknown[0]))
    return [name for name in known if name in asked]


def main(words: list[str]) -> int:
    """Run what is missing, write the page, return the exit code."""
    try:
        given = dict(word.split("=", 1) for word in words if "=" in word)
        chosen("key", ",".join(given), list(DEFAULTS))
        options = DEFAULTS | given
        record, cap = as_path(options["record"]), int(options["cap"])
        methods = chosen("methods", options["methods"], [c.name for c in CONTENDERS])
        if "page" not in words:
            where = keel.folder()
            sets = chosen("sets", options["sets"], keel.names(where))
            machine.tune()
            contenders = [c for c in CONTENDERS if c.name in methods]
            # a class of three rows is missing in a fold; SVC stops at its limit of iterations
            warnings.simplefilter("ignore")
            for result in run([where / f"{name}.dat" for name in sets], contenders, record, cap):
                shown = f"{result['set']:16s} {result['split']} {result['method']:20s}"
                spent = result["choose_s"] + result["fit_s"]
                print(f"{shown} valid {result['valid']:.4f}  {spent:.1f} s  {result['setting']}", flush=True)
        results = [r for r in read(record) if r["cap"] == cap and r["method"] in methods]
        results.sort(key=lambda result: methods.index(result["method"]))
        if not results:
            raise DataError(f"{record} holds no results with cap={cap}.")
        explored = explore.show(path) if (path := as_path(options["explored"])).is_file() else ""
        command = "python -m benchmarks.small_tables " + " ".join(words)
        page.write(results, as_path(options["out"]), command, explored)
    except NtkrunError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
