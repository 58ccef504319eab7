"""L6-L10: many shards, many runs in one process, long paths, small stacks."""

import json
import os
import resource
import subprocess
import sys
import time

import numpy as np
import pytest

from ntkrun.store.shards import ShardStore, write_shard
from tests.faults import harness
from tests.faults.plan import count, record

TINY = ["dataset.n_train=60", "dataset.n_test=20", "feature_dim=48", "baseline=none"]


def program(words, **how):
    """Run ntkrun in a separate process with one thread."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(harness.ROOT)}
    command = [sys.executable, "-m", "ntkrun", *words]
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=120, **how)


@pytest.mark.slow
def test_ten_thousand_shards_are_looked_at_in_seconds(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "fsync", lambda _: None)  # only reading is timed
    store, x, y = ShardStore(tmp_path, {}), np.ones((2, 8), np.float32), np.zeros(2)
    made = [write_shard(tmp_path, f"train-{i:05d}.h5", "train", 2 * i, x, y, 0.1) for i in range(10_000)]
    store.receipts = {receipt.name: receipt for receipt in made[1:]}
    store.add(made[0])
    begin = time.monotonic()
    again = ShardStore(tmp_path, {})
    assert all(again.valid(receipt.name) for receipt in made)
    assert time.monotonic() - begin < 10
    record("L7", "10,000 shards looked at, before a run goes on, in less than 10 s", 1)


MANY = """
import json, os, psutil, sys
from ntkrun.cli import main as cli
me, seen = psutil.Process(), []
for seed in range(int(sys.argv[1])):
    assert cli.main([*sys.argv[2:], f"seed={seed}"]) == 0
    seen.append((me.memory_info().rss, me.num_fds(), me.num_threads()))
print(json.dumps(seen))
"""


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_many_runs_in_one_process_do_not_pile_up(tmp_path):
    runs = count(40, 100)
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(harness.ROOT)}
    words = [*TINY, f"output_dir={tmp_path}"]
    done = subprocess.run(
        [sys.executable, "-c", MANY, str(runs), *words], capture_output=True, text=True, env=env
    )
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    (early, files, threads), (late, files_late, threads_late) = seen[runs * 3 // 10], seen[-1]
    assert late < 1.05 * early, seen
    assert files_late == files, seen
    assert threads_late <= threads, seen
    record(
        "L8", "runs in a row in one process: memory grows by less than 5 %, open files and threads stay", runs
    )


@pytest.mark.slow
def test_long_paths(tmp_path):
    out = tmp_path / ("p" * 250)
    done = program([*TINY, f"output_dir={out}"])
    assert done.returncode == 0, done.stderr
    assert "run folder is complete" not in done.stderr
    assert len(list(out.glob("runs/*/result.json"))) == 1
    record("L9", "a folder whose name has 250 characters", 1)


@pytest.mark.slow
def test_a_deep_network_on_a_small_stack(tmp_path):
    words = [*TINY, "depth=50", "method=ntk_sketch", f"output_dir={tmp_path}"]
    done = program(words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_STACK, (1 << 20, 1 << 20)))
    assert done.returncode == 0, done.stderr
    record("L10", "depth 50 on a stack of 1 MB", 1)
