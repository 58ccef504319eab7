"""K7, K8, P7: workers or their parent die in mid-run; any number of workers gives the same bits."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.faults import harness
from tests.faults.plan import FULL, count, record

WORKERS = {
    "process": "loky",  # texts in a worker's command line
    "dask": "from multiprocessing.spawn",
    "submitit": "submitit.core._submit",
}
HARM = {
    "exit": "os._exit(3)",
    "SIGKILL": "os.kill(os.getpid(), 9)",
    "segfault": "ctypes.string_at(0)",
}


def begin(toy, out, *words):
    """Start a run of 30 shards in a real process with one thread."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NTKRUN_OFFLINE": "1"}
    command = [sys.executable, "-m", "ntkrun", *toy.words, *words, f"output_dir={out}"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=env, text=True)


def workers_of(process, name):
    """Return the descendants of `process` that run tasks."""
    try:
        below = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    found = []
    for one in below:
        try:
            line = " ".join(one.cmdline())
            if WORKERS[name] in line and "resource_tracker import" not in line:
                found.append(one)
        except psutil.Error:
            continue
    return found


def wait_for(condition, seconds=90):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def manifest(out):
    return len(harness.recorded(out))


def options(name):
    return [f"executor={name}", "executor.workers=2", "executor.threads=1"]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", WORKERS)
def test_a_worker_killed_in_mid_run_costs_only_what_it_was_doing(toy, name):
    trials = count(1, 20 if name != "submitit" else 5)
    for trial in range(trials):
        out = toy.fresh()
        run = begin(toy, out, *options(name), *(["shard_rows=100"] if name == "submitit" else []))
        after = 1 + trial % (20 if name != "submitit" else 4)
        wait_for(lambda out=out, after=after: manifest(out) >= after)
        known, before = harness.recorded(out), harness.stamps(out)
        wait_for(lambda run=run: workers_of(run, name))
        victims = workers_of(run, name)
        victims[trial % len(victims)].send_signal(signal.SIGKILL)
        text, _ = run.communicate(timeout=300)
        assert run.returncode == 0, text
        if name != "submitit":  # shards that differ from the oracle's
            assert harness.state(out) == toy.oracle
        after_all = harness.stamps(out)
        assert all(after_all[n] == before[n] for n in known)
        assert not harness.temporaries(out)
    what = f"executor={name}: a worker killed in mid-run, finished shards untouched, the same bits"
    record("K7", what, trials)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("name", WORKERS)
def test_a_task_that_kills_every_worker_is_named_and_ends_the_run(name, harm, tmp_path):
    code = f"""
import ctypes, os, sys
from pathlib import Path
sys.path.insert(0, {str(tmp_path)!r})
from poison import poison
from ntkrun.executors import EXECUTORS
from ntkrun.executors.base import Call
from ntkrun.errors import MachineError
if __name__ == "__main__":
    workers = EXECUTORS.get({name!r})(workers=2)
    workers.folder = Path({str(tmp_path)!r})
    try:
        with workers:
            for number, result in workers.run(poison, [Call("good", ("good", 0)), Call("bad", ("bad", 1))]):
                print("done", number)
    except MachineError as error:
        print(error)
        sys.exit(error.exit_code)
"""
    (tmp_path / "poison.py").write_text(
        f"import ctypes, os\ndef poison(name, n):\n    if n:\n        {HARM[harm]}\n    return n\n"
    )
    (tmp_path / "main.py").write_text(code)
    env = {**os.environ, "PYTHONPATH": f"{harness.ROOT}:{tmp_path}"}
    done = subprocess.run(
        [sys.executable, str(tmp_path / "main.py")], capture_output=True, text=True, timeout=240, env=env
    )
    assert done.returncode == 5, done.stdout + done.stderr
    assert "bad has lost its worker 3 times" in done.stdout
    assert "Traceback" not in done.stdout
    record("K7", f"executor={name}: a task that ends its worker by {harm}: named after three", 1)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["process", "dask"])  # a job of a batch system runs by itself
def test_workers_do_not_outlive_their_parent(toy, name):
    trials = count(1, 20)
    for trial in range(trials):
        out = toy.fresh()
        run = begin(toy, out, *options(name))
        wait_for(lambda out=out, trial=trial: manifest(out) >= 1 + trial % 10)
        orphans = workers_of(run, name)
        run.kill()
        run.wait(30)
        killed = time.monotonic()
        wait_for(
            lambda orphans=orphans: not any(o.is_running() and o.status() != "zombie" for o in orphans), 10
        )
        assert time.monotonic() - killed < 10
        known, before = harness.recorded(out), harness.stamps(out)
        harness.check_resumed(toy, out, before, known, toy.start(out))
    record(
        "K8", f"executor={name}: parent killed; workers gone within 10 s, then a plain second start", trials
    )


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("name", ["process", "dask", "submitit"])
def test_any_number_of_workers_gives_the_same_bits(toy, name):
    numbers = [1, 2, 3, 8] if FULL and name != "submitit" else [2]
    for workers in numbers:
        out = toy.fresh()
        run = begin(toy, out, f"executor={name}", f"executor.workers={workers}", "executor.threads=1")
        text, _ = run.communicate(timeout=600)
        assert run.returncode == 0, text
        assert harness.state(out) == toy.oracle
        assert Path(out).is_dir()
    record(
        "P7",
        f"executor={name} with {', '.join(map(str, numbers))} workers: bits of the serial run",
        len(numbers),
    )
