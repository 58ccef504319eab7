"""Data read by the slice: workers die, bits rot, conversions are killed, a file is larger than memory."""

import os
import pickle
import random
import resource
import signal
import subprocess
import sys
import time

import h5py
import numpy as np
import psutil
import pytest

from ntkrun.datasets.hdf5 import Hdf5
from ntkrun.errors import IntegrityError
from tests.faults import harness
from tests.faults.plan import SEED, count, record
from tests.faults.test_rot import cut, flip, page
from tests.faults.test_workers import WORKERS, manifest, options, wait_for, workers_of


def as_hdf5(toy, **options):
    """Write the toy's arrays as HDF5, once, and return the words that read them."""
    path = toy.folder / "toy.h5"
    if not path.exists():
        with np.load(toy.data) as arrays, h5py.File(path, "w") as file:
            for name in arrays.files:
                file.create_dataset(name, data=arrays[name], **(options if name.startswith("x") else {}))
    return [
        *("dataset=hdf5", f"dataset.path={path}"),
        *(word for word in toy.words if not word.startswith("dataset")),
    ]


def start(words, out):
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NTKRUN_OFFLINE": "1"}
    command = [sys.executable, "-m", "ntkrun", *words, f"output_dir={out}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["serial", *WORKERS])
def test_rows_of_a_file_give_the_shards_of_memory(toy, name):
    more = options(name) if name != "serial" else []
    size = ["shard_rows=250"] if name == "submitit" else []  # each shard is a job that starts Python
    memory, out = toy.fresh(), toy.fresh()
    assert toy.start(memory, *size).code == 0
    run = start([*as_hdf5(toy), *more, *size], out)
    try:
        text, _ = run.communicate(timeout=900)
    finally:
        run.kill()
    assert run.returncode == 0, text
    assert harness.state(out) == harness.state(memory)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["process", "dask"])
def test_a_worker_killed_over_a_file_costs_its_task(toy, name):
    trials = count(1, 10)
    for trial in range(trials):
        out = toy.fresh()
        run = start([*as_hdf5(toy), *options(name)], out)
        after = 1 + trial % 10
        wait_for(lambda out=out, after=after: manifest(out) >= after)
        known, before = harness.recorded(out), harness.stamps(out)
        wait_for(lambda run=run: workers_of(run, name))
        victims = workers_of(run, name)
        victims[trial % len(victims)].send_signal(signal.SIGKILL)
        text, _ = run.communicate(timeout=300)
        assert run.returncode == 0, text
        assert harness.state(out) == toy.oracle
        assert all(harness.stamps(out)[n] == before[n] for n in known)
        assert not harness.temporaries(out)
    record("K7", f"executor={name}, rows of an HDF5 file: a worker killed, the same bits", trials)


@pytest.mark.parametrize("harm", [flip, cut, page])
@pytest.mark.parametrize("packed", [False, True], ids=["plain", "packed"])
def test_damage_under_a_run_is_found_or_without_effect(harm, packed, tmp_path):
    rng, trials, path = random.Random(SEED), count(60, 1000), tmp_path / "a.h5"
    numbers = np.random.default_rng(0)
    x, y = numbers.normal(size=(2000, 20)), np.arange(2000) % 2
    options = {"chunks": (100, 20), "compression": "gzip"} if packed else {}
    with h5py.File(path, "w", libver="latest") as file:
        for part in ("train", "test"):
            file.create_dataset(f"x_{part}", data=x, **options)
            file[f"y_{part}"] = y
    whole, about = path.read_bytes(), path.stat()
    split = Hdf5(path=str(path)).load()
    parts = [split.train.x, split.valid.x, split.test.x]
    sound = [part[:] for part in parts]
    handed = pickle.dumps(parts)
    for part in parts:
        part.stored._file.close()
    found = silent = 0
    for _ in range(trials):
        data = harm(whole, rng)
        path.write_bytes(data)
        os.utime(path, ns=(about.st_atime_ns, about.st_mtime_ns))
        others = pickle.loads(handed)
        try:
            for part, expected in zip(others, sound, strict=True):
                silent += not np.array_equal(part[:], expected)
        except IntegrityError as error:
            found += "\n" not in str(error)
        for part in others:
            if part.stored._file is not None:
                part.stored._file.close()
    assert silent == 0
    assert found > 0.3 * trials
    form = "packed" if packed else "plain"
    record("D12", f"{harm.__name__} of a {form} HDF5 file under a run: found, or no row is another", trials)


CONVERT = """
import sys
from ntkrun.datasets.csv import Csv
from ntkrun.datasets.table import large
large.IN_MEMORY, large.CHUNK = 1000, 40_000
print(Csv(path=sys.argv[1], data_dir=sys.argv[2]).load().sha256)
"""


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_a_conversion_killed_at_any_time_is_made_again(tmp_path):
    table, trials, rng = tmp_path / "a.csv", count(3, 30), random.Random(SEED)
    x = np.random.default_rng(0).normal(size=(60_000, 12))
    np.savetxt(table, x, fmt="%.6f", delimiter=",", header=",".join("abcdefghijkl"), comments="")

    def convert(folder):
        command = [sys.executable, "-c", CONVERT, str(table), str(folder)]
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=harness.ROOT)

    oracle = convert(tmp_path / "whole").communicate(timeout=300)[0]
    killed = 0
    for trial in range(trials):
        folder = tmp_path / str(trial)
        run = convert(folder)
        wait_for(lambda folder=folder, run=run: list(folder.glob("converted/*")) or run.poll() is not None)
        time.sleep(rng.random() * 0.6)
        run.kill()
        killed += run.wait() != 0
        assert convert(folder).communicate(timeout=300)[0] == oracle
        assert not list(folder.glob("converted/*/.tmp-*"))
    assert killed > trials / 2
    record(
        "K9", "conversion of a large table killed at a random time; the next run makes it, the same", killed
    )


LIMIT = 1 << 30


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_no_worker_grows_with_the_file(tmp_path):
    """A file of 4 GB, mostly a hole, 1 GiB for each process, and the same with a sixteenth of the rows."""
    peak = {}
    for rows in (1_000_000, 62_500):
        path = tmp_path / f"{rows}.h5"
        sparse_file(path, rows, 1024)
        peak[rows] = limited(path, tmp_path / str(rows))
        path.unlink()
    large, small = peak[1_000_000], peak[62_500]
    assert 0 < large["worker"] < small["worker"] + (128 << 20)  # of 3.7 GB more
    assert max(large.values()) < LIMIT
    shown = " and ".join(f"{size >> 20} MiB in a {name}" for name, size in large.items())
    what = f"4 GB of rows, 1 GiB for each process (RLIMIT_DATA and resident): {shown}, as with 0.26 GB"
    record("L5", what, 1)


def sparse_file(path, rows, columns):
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    plist.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    numbers = np.random.default_rng(0)
    with h5py.File(path, "w") as file:
        x = file.create_dataset("x", (rows, columns), "f4", dcpl=plist)
        for first in range(0, rows, rows // 10):
            x[first : first + 100] = numbers.normal(size=(100, columns))
        file["y"] = numbers.normal(size=rows)
    assert path.stat().st_size > 4 * rows * columns


def limited(path, out):
    """Run with two workers, each process limited, and return the largest resident sizes that were seen."""
    words = (
        f"dataset=hdf5 dataset.path={path} dataset.task=regression method=rff feature_dim=16 baseline=none"
    )
    more = "solver.lambda_count=3 shard_rows=8192 executor=process executor.workers=2 executor.threads=1"
    limit = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, limit[1]))
    try:
        run = start([*words.split(), *more.split()], out)
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, limit)
    peak = {"driver": 0, "worker": 0}
    while run.poll() is None:
        for name, found in (("driver", [psutil.Process(run.pid)]), ("worker", workers_of(run, "process"))):
            for one in found:
                try:
                    peak[name] = max(peak[name], one.memory_info().rss)
                except psutil.Error:
                    continue
        time.sleep(0.1)
    text = run.communicate()[0]
    assert run.returncode == 0, text
    return peak
