"""Test the load beside a run, its memory peak, and threads that wait without spinning."""

import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from ntkrun import machine
from ntkrun.maths import threads

PROC = pytest.mark.skipif(not Path("/proc/stat").exists(), reason="only Linux tells of its load")
BUSY = "import time; end = time.monotonic() + {}\nwhile time.monotonic() < end: pass"


def stat(monkeypatch, looks):
    """Make the system report these (busy, idle, own, clock) seconds, one per look."""
    looks = iter(looks)
    monkeypatch.setattr(machine.Load, "_look", staticmethod(lambda: next(looks)))
    monkeypatch.setattr(machine, "cores", lambda: 2)


@pytest.mark.parametrize(
    ("busy", "idle", "own", "beside", "slow"),
    [
        (20, 0, 10, 1.0, True),  # others had half of both cores
        (20, 0, 20, 0.0, False),  # all of it was this run's
        (10, 10, 2, 0.8, False),  # others were busy, on cores that the run did not need
        (20, 0, 18, 0.2, False),  # too little to matter
    ],
)
def test_load_beside_a_run(monkeypatch, busy, idle, own, beside, slow):
    stat(monkeypatch, [(5, 5, 5, 100), (5 + busy, 5 + idle, 5 + own, 110)])
    found = machine.Load().beside()
    assert found.busy == pytest.approx(beside)
    assert found.slows is slow


def test_load_is_unknown_without_a_count_and_over_less_than_a_second(monkeypatch):
    stat(monkeypatch, [None, (1, 1, 1, 9)])
    assert machine.Load().beside() is None
    stat(monkeypatch, [(1, 1, 1, 9), (2, 1, 1, 9.5)])
    assert machine.Load().beside() is None


@PROC
@pytest.mark.slow
def test_busy_processes_are_seen():
    load = machine.Load()
    others = [subprocess.Popen([sys.executable, "-c", BUSY.format(3)]) for _ in range(machine.cores())]
    time.sleep(2)
    assert load.beside().busy > 0.5 * machine.cores()
    for other in others:
        other.wait()


@PROC
def test_the_peak_of_a_job_is_its_own():
    big = np.ones((256 << 20) // 8)
    assert machine.peak_rss_mb() > 256
    del big
    assert machine.reset_peak_rss() is True
    first = machine.peak_rss_mb()
    block = np.ones((64 << 20) // 8)
    assert 60 < machine.peak_rss_mb() - first < 90
    del block


@PROC
def test_what_earlier_jobs_have_freed_is_given_back():
    machine.tune()  # under which the C library keeps freed memory
    machine.reset_peak_rss()
    before = machine.rss_mb()
    many = [b"x" * (1 << 20) for _ in range(200)]  # below the size that glibc maps separately
    assert machine.rss_mb() > before + 150
    del many
    machine.reset_peak_rss()
    assert machine.peak_rss_mb() < before + 60


def test_a_peak_that_cannot_be_reset_says_whose_it_is(monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "not permitted")

    monkeypatch.setattr(Path, "write_text", refuse)
    assert machine.reset_peak_rss() is False


def test_a_small_system_is_solved_by_one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        for columns, expected in ((threads.SMALL, 1), (threads.SMALL + 1, 2)):
            with threads.worth(columns):
                assert torch.get_num_threads() == expected
            assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_starting_compiled_threads_leaves_torch_its_own():
    """numba's threads start once per process, hence another process."""
    code = """
import torch
from ntkrun.maths.dual.cpu import as_many_threads_as_torch
print(torch.get_num_threads(), as_many_threads_as_torch(), torch.get_num_threads())
"""
    limits = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "NUMBA_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, "-c", code], env=os.environ | limits, capture_output=True, text=True
    )
    assert run.stdout.split() == ["1", "1", "1"], run.stderr
