"""Other work on the machine, and memory of earlier jobs."""

import os
import subprocess
import sys

import pytest

from ntkrun import machine
from tests.cases.base import TABLE, Case, rows

OK = TABLE + "dataset.path={cases}/ok.csv tracking.uri=sqlite:///:memory: "
BUSY = "import time; end = time.monotonic() + 60\nwhile time.monotonic() < end: pass"
FITS = f"""
import subprocess, sys, time
import numpy as np, torch
torch.set_num_threads(max(2, torch.get_num_threads()))
from ntkrun import NTKRidgeRegressor
rng = np.random.default_rng(0)
z, y = rng.normal(size=(150, 384)), rng.normal(size=150)
def slowest():
    times = []
    for _ in range(4):
        start = time.perf_counter()
        NTKRidgeRegressor("passthrough").fit(z, y)
        times.append(time.perf_counter() - start)
    return max(times[1:])
quiet = slowest()
busy = [subprocess.Popen([sys.executable, "-c", {BUSY!r}]) for _ in range(torch.get_num_threads())]
time.sleep(.2)
beside = slowest()
[b.kill() for b in busy]
print(quiet, beside)
"""


def python(code, **variables):
    """Run code in a process that has no word about threads but these; return what it prints."""
    env = {k: v for k, v in os.environ.items() if not k.startswith(("OMP", "KMP", "GOMP"))} | variables
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=env, timeout=100)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def fits_beside_busy_loops(stage):
    """cases/contention.py, with a bound that other work on this machine does not break."""
    quiet, beside = map(float, python(FITS))
    assert beside < 6 * quiet + 0.3  # spinning, it took 30 to 90 times as long


def threads_of_the_command_line(stage):
    code = (
        "import os, sys; from ntkrun.cli.main import main; main(['--version'])\n"
        "assert 'torch' not in sys.modules\n"
        "print(os.environ.get('GOMP_SPINCOUNT'))"
    )
    assert python(code)[-1] == "10000"
    assert python(code, GOMP_SPINCOUNT="7")[-1] == "7"
    assert python(code, OMP_WAIT_POLICY="active")[-1] == "None"


def load(busy, idle, own):
    """Let ten seconds pass in a run, in which two cores were busy, idle, or at work for it so long."""

    def before(stage):
        looks = iter([(5, 5, 5, 100), *[(5 + busy, 5 + idle, 5 + own, 110)] * 2])
        stage.monkeypatch.setattr(machine.Load, "_look", staticmethod(lambda: next(looks)))
        stage.monkeypatch.setattr(machine, "cores", lambda: 2)

    return before


def no_reset(stage):
    stage.monkeypatch.setattr(machine, "reset_peak_rss", lambda: False)


CASES = [
    Case(
        "16.17",
        "a fit in Python beside one busy loop per core",
        "a small system is solved by one thread, so the fit is not slowed out of proportion",
        call=fits_beside_busy_loops,
        slow=True,
    ),
    Case(
        "16.17",
        "the command line is started",
        "OpenMP's threads spin for a short time only, unless its own variables say otherwise",
        call=threads_of_the_command_line,
    ),
    Case(
        "16.17",
        "other work takes half of the cores during a run",
        "a line tells of the load, since the times are longer for it",
        OK,
        before=load(20, 0, 10),
        says=["load of other processes on 1.0 of 2 cores"],
    ),
    Case(
        "16.17",
        "other work on cores that the run does not need",
        "nothing is said",
        OK,
        before=load(10, 10, 2),
        never=["load of other processes"],
    ),
    Case(
        "16.16",
        "the peak memory of a job, on a system that does not let it be reset",
        "the line says that the peak is that of the whole process",
        OK,
        before=no_reset,
        says=["peak resident, of the whole process"],
    ),
    Case(
        "16.16",
        "the peak memory of a job after a larger one in the same process",
        "it is that job's own",
        OK,
        never=["of the whole process"],
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
