"""Measure commands on a large output folder: 10,000 runs and 100,000 shards by default.

    python -m benchmarks.store                     # about three minutes, 600 MB in a temporary folder
    python -m benchmarks.store runs=1000 shards=10000

The run folders differ in seed, columns and score; the shards are small files with their receipts.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.base import machine_line
from ntkrun.cli.main import main as ntkrun
from ntkrun.store.shards import Receipt, ShardStore, content_key, write_shard

STORES = 20
COMMANDS = (["verify"], ["list"], ["report"], ["clean", "--dry-run"])


def make_runs(root: Path, count: int, keys: list[str]) -> None:
    """Make finished runs without model and figures."""
    about = {"python": "3.11", "cpu": "one", "cores": 2, "threads": 2, "packages": {"torch": "2.13.0"}}
    for i in range(count):
        columns, seed = 32 * 2 ** (i // 5 % 6), i % 5
        folder = root / "runs" / f"2026-01-01_00-00-00_digits-rff_{i:05x}"
        folder.mkdir(parents=True)
        config: dict[str, Any] = {"feature_dim": columns, "seed": seed, "shard_rows": 512 + i // 30}
        config |= {"dataset": {"name": "digits", "n_train": 80, "split_seed": 0}}
        config |= {"method": {"name": "rff", "n_components": columns, "random_state": seed}}
        config |= {"solver": {"name": "ridge", "lambda_count": 28}, "executor": {"name": "serial"}}
        config |= {"tracking": {"uri": None, "experiment": "ntkrun"}, "output_dir": str(root)}
        result: dict[str, Any] = {"run_name": f"rff {columns} s{seed} digits", "dataset": "digits"}
        result |= {"method": "rff", "n_train": 80, "n_test": 30, "kind": "features", "feature_dim": columns}
        result |= {"test/accuracy": 0.5 + i / count / 2, "valid/accuracy": 0.5, "memory/peak_rss_mb": 400.0}
        result |= {f"time/{phase}_s": 0.1 for phase in ("featurize", "solve", "predict", "total")}
        result |= {"features_key": keys[i % len(keys)], "run_folder": str(folder)}
        status = {"status": "FINISHED", "started": 1.7e9 + i, "finished": 1.7e9 + i + 1}
        documents = {"config": config, "result": result, "status": status, "environment": about}
        for name, document in documents.items():
            (folder / f"{name}.json").write_text(json.dumps(document))


def make_shards(root: Path, count: int) -> tuple[list[str], float]:
    """Make folders of small shards; return their keys and the seconds to add all receipts."""
    x, y, keys, seconds = np.ones((4, 8), np.float32), np.zeros(4), list[str](), 0.0
    write_shard(root, "one.h5", "train", 0, x, y, 0.1)
    data = (root / "one.h5").read_bytes()
    (root / "one.h5").unlink()
    sha, sizes = hashlib.sha256(data).hexdigest(), [count // 2, *[count // 2 // (STORES - 1)] * (STORES - 1)]
    for number, size in enumerate(sizes):
        spec = {"number": number}
        keys.append(content_key(spec))
        folder = root / "features" / keys[-1]
        folder.mkdir(parents=True)
        store = ShardStore(folder, spec)
        names = [f"train-{i:06d}-of-{size:06d}.h5" for i in range(size)]
        for name in names:
            (folder / name).write_bytes(data)
        receipts = [Receipt(n, "train", 4 * i, 4 * i + 4, sha, len(data), 0.1) for i, n in enumerate(names)]
        with timed() as took:
            for receipt in receipts:
                store.add(receipt)
            store.flush()
        seconds += took()
    return keys, seconds


@contextlib.contextmanager
def timed() -> Iterator[Callable[[], float]]:
    """Yield a function that returns the seconds since the start."""
    start = time.perf_counter()
    yield lambda: time.perf_counter() - start


def measure(root: Path, runs: int, shards: int) -> Iterator[tuple[str, float]]:
    """Make the folder and yield (what, seconds)."""
    keys, seconds = make_shards(root, shards)
    make_runs(root, runs, keys[1:])
    yield "receipts added one by one", seconds
    with timed() as took:
        stores = [ShardStore(root / "features" / key, {}) for key in keys]
    yield "manifests read", took()
    with timed() as took:
        assert all(store.valid(name) for store in stores for name in store.receipts)
    yield "shards checked, as a run does before it goes on", took()
    for words in COMMANDS:
        with timed() as took, contextlib.redirect_stdout(io.StringIO()):
            code = ntkrun([words[0], str(root), *words[1:]])
        assert code == 0, words
        yield f"ntkrun {' '.join(words)}", took()


def main(words: list[str]) -> int:
    """Print a table and return the exit code."""
    sizes = {"runs": 10_000, "shards": 100_000}
    sizes |= {key: int(value) for key, value in (word.split("=", 1) for word in words)}
    print(
        f"{machine_line()}\n{sizes['runs']:,} runs, {sizes['shards']:,} shards in {STORES} sets of features\n"
    )
    print("| | seconds |\n|---|---|", flush=True)
    with tempfile.TemporaryDirectory(dir=os.environ.get("TMPDIR")) as folder:
        for what, seconds in measure(Path(folder), **sizes):
            print(f"| {what} | {seconds:.1f} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
