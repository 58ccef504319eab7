"""Import ntkrun once, then fork a child per trial: a thousand trials cost a thousand runs, but one start.

This runs as a program under LD_PRELOAD of the shim. It reads one request (JSON) per line and answers in
one line.
"""

from __future__ import annotations

import ctypes
import json
import os
import signal
import sys
import time
from importlib import import_module

# nothing below may start a thread before the fork
os.environ.update(OMP_NUM_THREADS="1", OPENBLAS_NUM_THREADS="1", MKL_NUM_THREADS="1", NUMBA_NUM_THREADS="1")
MODES = {"count": 0, "kill": 1, "fail": 2, "power": 3, "partly": 4}


def warm() -> None:
    """Import the modules that a run imports."""
    import matplotlib

    matplotlib.use("Agg")
    import h5py
    import hydra
    import mlflow.entities
    import mlflow.tracking
    import numba
    import torch
    from matplotlib import pyplot
    from matplotlib.figure import Figure

    from ntkrun import pipeline
    from ntkrun.maths.method import cntk_sketch, rff

    assert all((h5py, hydra, mlflow, numba, pyplot, pipeline, cntk_sketch, rff))
    torch.set_num_threads(1)
    # drawing takes half of a toy run: its files are written, but empty
    Figure.savefig = lambda self, file, **how: file.write("picture" if how["format"] == "svg" else b"picture")


def child(request: dict, answer: int) -> None:
    """Do one run in this forked process and leave it."""
    from ntkrun.cli import main as cli

    for stream, key in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(request[key], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), stream)
    for name, value in request.get("patch", {}).items():
        module, _, key = name.rpartition(".")
        setattr(import_module(module), key, value)
    library = ctypes.CDLL(None)
    at, mode = request.get("at", -1), MODES[request.get("mode", "count")]
    library.fault_seed(ctypes.c_uint(request.get("dice", 1)))
    library.fault_arm(
        request["prefix"].encode(), ctypes.c_long(at), mode, request.get("error", 0), request.get("repeat", 0)
    )
    code = cli.main(request["words"])
    library.fault_count.restype = ctypes.c_long
    count = library.fault_count()
    library.fault_disarm()
    sys.stdout.flush()
    os.write(answer, str(count).encode())
    os._exit(code)


def start(request: dict) -> tuple[int, int]:
    """Fork a child for a request; return its process id and where its count can be read."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            child(request, write)
        finally:
            os._exit(99)
    os.close(write)
    return pid, read


def end(pid: int, read: int, begin: float) -> dict:
    """Wait for a child and return its answer."""
    _, status = os.waitpid(pid, 0)
    count = os.read(read, 32)
    os.close(read)
    code, seconds = os.waitstatus_to_exitcode(status), time.monotonic() - begin
    return {"code": code, "count": int(count or b"-1"), "seconds": seconds}


def serve() -> None:
    """Answer requests until the input ends: one run, or several at once."""
    warm()
    # as at a terminal, even if nohup or a shell's & makes the tests ignore them
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    say("ready")
    for line in sys.stdin:
        request, begin = json.loads(line), time.monotonic()
        if isinstance(request, list):
            children = [start(one) for one in request]
            say(json.dumps([end(pid, read, begin) for pid, read in children]))
            continue
        pid, read = start(request)
        if "after" in request:
            time.sleep(request["after"])
            os.kill(pid, request.get("signal", signal.SIGKILL))
        say(json.dumps(end(pid, read, begin)))


def say(text: str) -> None:
    """Write a line for the harness."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    serve()
