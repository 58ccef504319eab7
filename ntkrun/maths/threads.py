"""Threads of OpenMP that wait without spinning, in a process whose libraries are loaded already."""

from __future__ import annotations

import functools
import os
import threading

import torch

# more numbers than torch adds up in one thread
MANY = 1 << 16


@functools.cache
def wait_passively() -> None:
    """Keep torch's idle threads from spinning, once per process.

    A thread that spins holds the core that the thread it waits for needs, if others want the cores too. The
    variable OMP_WAIT_POLICY is read when torch is loaded, so here it is too late for it. But libgomp, torch's
    OpenMP, spins a thousand times less once it has more threads than there are cores. So a second team of
    threads is started, by a thread that then sleeps for ever. Nothing is done if that variable is set, as by
    the command line, or if torch has one thread.
    """
    if "OMP_WAIT_POLICY" in os.environ or torch.get_num_threads() == 1:
        return
    ready = threading.Event()

    def own_a_team() -> None:
        torch.ones(MANY).add_(1)
        ready.set()
        threading.Event().wait()

    threading.Thread(target=own_a_team, name="ntkrun-team", daemon=True).start()
    ready.wait()
