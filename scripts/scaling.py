"""From the task times of a real run to ten million and a billion rows: machines, hours, bytes, losses.

    python scripts/scaling.py RUNFOLDER --out docs/scaling_figures.md

Replays the measured seconds of the run's shards on simulated clusters whose workers die at random. A lost
task is done again, as `ntkrun.executors` does it; everything else about the cluster is stated on the page.
"""

from __future__ import annotations

import argparse
import heapq
import json
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ntkrun.progress import human
from ntkrun.store.features import GROUPS
from ntkrun.store.paths import as_path
from ntkrun.store.shards import ShardStore

ROWS = (10**7, 10**9)
WORKERS = (16, 256, 4096)
HOURS_BETWEEN_LOSSES = 24.0  # of one worker: a pessimistic figure for machines that can be taken back
RESTART = 120.0  # seconds until a lost worker is replaced
SHARD_ROWS = 8192


@dataclass(frozen=True)
class Replay:
    """What became of a simulated featurizing: seconds until its end, tasks and worker seconds lost."""

    seconds: float
    losses: int
    wasted: float


def replay(times: np.ndarray, tasks: int, workers: int, scale: float, rng: np.random.Generator) -> Replay:
    """Hand out `tasks` tasks, their seconds drawn from `times` x scale, to workers that die at random."""
    free = [(0.0, w) for w in range(workers)]
    mean = HOURS_BETWEEN_LOSSES * 3600
    dies = rng.exponential(mean, workers)
    seconds = rng.choice(times, tasks) * scale
    end, losses, wasted, queue = 0.0, 0, 0.0, list(range(tasks))
    while queue:
        task = queue.pop()
        now, worker = heapq.heappop(free)
        if dies[worker] <= now:  # idle when it died
            now = max(now, dies[worker] + RESTART)
            dies[worker] = now + rng.exponential(mean)
        done = now + seconds[task]
        if dies[worker] < done:
            losses, wasted = losses + 1, wasted + dies[worker] - now
            queue.append(task)
            done = dies[worker] + RESTART
            dies[worker] = done + rng.exponential(mean)
        else:
            end = max(end, done)
        heapq.heappush(free, (done, worker))
    return Replay(end, losses, wasted)


def measured(folder: Path) -> tuple[dict, dict, np.ndarray, np.ndarray]:
    """Return result, environment, seconds per row and bytes per row of every full shard of a run."""
    result, environment = (json.loads((folder / f"{n}.json").read_text()) for n in ("result", "environment"))
    store = ShardStore(folder.parent.parent / "features" / result["features_key"], {})
    most = max(receipt.rows for receipt in store.receipts.values())
    full = [receipt for receipt in store.receipts.values() if receipt.rows == most]
    seconds, size = (np.array([getattr(r, key) for r in full]) / most for key in ("seconds", "bytes"))
    return result, environment, seconds, size


def gram_rate(columns: int) -> float:
    """Return the multiply-adds per second of a Gram update of this machine."""
    import time

    import torch

    from ntkrun.maths.ridge.normal import NormalEquations

    z, y = torch.randn(2048, columns), torch.randn(2048, 10)
    equations = NormalEquations()
    equations.add(z, y)
    start = time.perf_counter()
    equations.add(z, y)
    return 2048 * columns**2 / 2 / (time.perf_counter() - start)


def size(number: float) -> str:
    """Return bytes in a readable unit."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if number < 1000:
            return f"{number:.3g} {unit}"
        number /= 1000
    return f"{number:.3g} PB"


def page(folder: Path) -> str:
    """Return the tables."""
    result, about, seconds, bytes_a_row = measured(folder)
    m = result["feature_dim"]
    rate = gram_rate(m)
    gram = m * m / 2 / rate
    low, mean, high = (1e3 * float(f(seconds)) for f in (np.min, np.mean, np.max))
    head = ["rows", "workers", "featurize", "with losses", "tasks lost", "work lost", "Gram sums"]
    head += ["features on disk", "sums to the driver"]
    text = [
        "# From measured tasks to a billion rows",
        "",
        f"Measured: `{result['run_name']}`, {len(seconds)} shards, {mean:.2f} ms per row",
        f"(from {low:.2f} to {high:.2f}), {bytes_a_row.mean():,.0f} bytes per row;",
        f"Gram matrix {rate / 1e9:.1f} G multiply-adds per second, {1e3 * gram:.2f} ms per row.",
        f"One worker below is such a machine: {about['cpu']}, {about['cores']} cores.",
        "",
        f"Assumed: {SHARD_ROWS:,} rows per shard; a worker is lost every {HOURS_BETWEEN_LOSSES:.0f} h on",
        f"average and replaced after {RESTART:.0f} s. Seconds of tasks are drawn from the measured ones.",
        "",
        "| " + " | ".join(head) + " |",
        "|---" * len(head) + "|",
    ]
    rng = np.random.default_rng(0)
    for rows in ROWS:
        tasks = -(-rows // SHARD_ROWS)
        groups = min(GROUPS, max(1, rows // m))
        for workers in WORKERS:
            ideal = rows * seconds.mean() / workers
            found = replay(seconds, tasks, workers, SHARD_ROWS, rng)
            summing = rows * gram / min(workers, groups)
            text.append(
                f"| {rows:,} | {workers:,} | {human(ideal)} | {human(found.seconds)} | {found.losses:,} | "
                f"{100 * found.wasted / (rows * seconds.mean()):.2f} % | {human(summing)} | "
                f"{size(rows * bytes_a_row.mean())} | {size(groups * 8.0 * m * m)} |"
            )
    return "\n".join(text) + "\n"


def main(words: list[str]) -> int:
    """Write the tables and return the exit code."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="a run folder with its features still there")
    parser.add_argument("--out", required=True, type=Path)
    options = parser.parse_args(words)
    text = page(as_path(options.folder))
    options.out.write_text(text)
    print(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
