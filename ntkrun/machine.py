"""Tune, measure and describe this machine."""

from __future__ import annotations

import atexit
import contextlib
import ctypes
import functools
import gc
import getpass
import os
import platform
import subprocess
import time
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any


@functools.cache
def tune() -> None:
    """Make runs faster and repeatable, once per process; call it before torch's first matrix product."""
    _tune_allocator()
    _same_bits_for_any_threads()


def _tune_allocator() -> None:
    """Let glibc keep freed buffers instead of returning each to the kernel.

    Fresh pages cost more than the arithmetic on them: measured 1.4x end to end on 32x32 images. Other C
    libraries are left alone.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
        libc.mallopt(-3, 32 << 20)  # M_MMAP_THRESHOLD, at its upper limit
        libc.mallopt(-1, 1 << 30)  # M_TRIM_THRESHOLD
    except (OSError, AttributeError):
        return


def _same_bits_for_any_threads() -> None:
    """Make MKL round the same way for any number of threads.

    Otherwise a large float32 product differs in its last bits between one thread and two, and so do the
    features of different workers. The cost is too small to measure. Only Intel processors are set, since MKL
    promises this for no others.
    """
    with contextlib.suppress(OSError):
        if "GenuineIntel" in Path("/proc/cpuinfo").read_text():
            os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")


def spin_little() -> None:
    """Let idle OpenMP threads sleep soon; call it before torch is loaded, which reads the setting once.

    By default they spin 300,000 times. If other programs want the cores, a spinning thread holds the core
    that the thread it waits for needs. Sleeping at once (OMP_WAIT_POLICY=PASSIVE) costs a fifth of the time
    on a quiet machine. Measured on two cores, featurizing CIFAR-10 alone, and digits beside four busy loops:
    9.2 s and 2.6 s by default, 11.1 s and .55 s with 1,000 spins, 9.2 s and .75 s with 10,000.
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", "10000")


@functools.cache
def end_soon() -> None:
    """Let the interpreter end without a last look for unreachable objects: 1.3 s after torch and MLflow."""
    atexit.register(gc.freeze)


def reset_peak_rss() -> bool:
    """Reset the memory peak, so that each job of a sweep in one process reports its own.

    Freed memory is returned to the system first. Returns whether the system allows the reset; if not, the
    peak stays that of the whole process.
    """
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def peak_rss_mb() -> float:
    """Return the largest resident set since `reset_peak_rss`, in MiB."""
    if (peak := _status_mb("VmHWM:")) is not None:
        return peak
    import resource

    maximum = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return maximum / (1 << 20) if platform.system() == "Darwin" else maximum / 1024


def rss_mb() -> float:
    """Return the current resident set in MiB; its peak if the current one is unknown."""
    now = _status_mb("VmRSS:")
    return peak_rss_mb() if now is None else now


def _status_mb(key: str) -> float | None:
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith(key):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return None


def available_memory() -> int | None:
    """Return the bytes that can be allocated without swapping; None if unknown."""
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return None


@dataclass(frozen=True)
class Beside:
    """Cores that other programs kept busy during a run, and whether that slowed the run down."""

    busy: float
    slows: bool


class Load:
    """Measure the load that other programs put on this machine's cores during a run.

    It is the system's count of busy seconds, minus those of this process and its ended children. Without
    /proc/stat it is unknown.
    """

    def __init__(self) -> None:
        self._begin, self._start = self._look(), self._own()

    def percent(self) -> float:
        """Return the share of the cores that this process and its ended children kept busy, in percent."""
        own, wall = (a - b for a, b in zip(self._own(), self._start, strict=True))
        return 100 * own / (wall * cores()) if wall > 0 else 0.0

    def beside(self) -> Beside | None:
        """Return the load since the start; None if it is unknown.

        Other programs slow a run down if they keep more than a quarter of the cores busy while less than a
        tenth is idle.
        """
        now = self._look()
        if self._begin is None or now is None:
            return None
        busy, idle, own, wall = (a - b for a, b in zip(now, self._begin, strict=True))
        if wall <= 1:
            return None
        others, unused = max(0.0, busy - own) / wall, idle / wall
        return Beside(others, others > cores() / 4 and unused < cores() / 10)

    @staticmethod
    def _look() -> tuple[float, float, float, float] | None:
        """Return seconds: busy and idle on this process's cores, used by this process, on the clock."""
        try:
            lines = [line.split() for line in Path("/proc/stat").read_text().splitlines()]
            mine = {f"cpu{i}" for i in os.sched_getaffinity(0)}
            tick = os.sysconf("SC_CLK_TCK")
        except (OSError, AttributeError, ValueError):
            return None
        ticks = [[int(n) for n in words[1:9]] for words in lines if words[0] in mine]
        idle = sum(t[3] + t[4] for t in ticks)  # idle, and waiting for a disk
        return (sum(map(sum, ticks)) - idle) / tick, idle / tick, *Load._own()

    @staticmethod
    def _own() -> tuple[float, float]:
        """Return seconds: used by this process, on the clock."""
        return sum(os.times()[:4]), time.monotonic()


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def describe() -> dict[str, Any]:
    """Return versions, cores, threads and the git state of the code, for the record."""
    return {**here(), **_git()}


def here() -> dict[str, Any]:
    """Return the same without the git state, which takes two other programs."""
    import torch

    packages = {}
    for name in (
        "ntkrun",
        "torch",
        "numpy",
        "scipy",
        "scikit-learn",
        "numba",
        "h5py",
        "mlflow",
        "hydra-core",
    ):
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            packages[name] = "absent"
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cpu": _cpu_name(),
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "packages": packages,
    }


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def _git() -> dict[str, Any]:
    """Return revision and dirty flag of the package's checkout; None outside a checkout."""
    root = Path(__file__).resolve().parent.parent
    if not (root / ".git").exists():
        return {"git_revision": None, "git_dirty": None}
    try:
        run = [
            subprocess.run(
                ["git", "-C", str(root), *args], capture_output=True, text=True, timeout=10, check=True
            )
            for args in (("rev-parse", "HEAD"), ("status", "--porcelain"))
        ]
    except (OSError, subprocess.SubprocessError):
        return {"git_revision": None, "git_dirty": None}
    return {"git_revision": run[0].stdout.strip(), "git_dirty": bool(run[1].stdout.strip())}


def user() -> str:
    """Return the user's name, or the number of a user without a name."""
    try:
        return getpass.getuser()
    except (ImportError, KeyError, OSError):
        return str(os.getuid())
