"""How many threads a small system is worth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# columns up to which a second thread brings nothing: measured, .07 s with one thread and .06 s with two
SMALL = 512


@contextmanager
def worth(columns: int) -> Iterator[None]:
    """Let torch use one thread inside if a system has at most SMALL columns.

    Its many short products cost more in waiting than in arithmetic as soon as another program wants the
    cores: a thread that has lost its core keeps the others, and they spin. Measured for 512 columns on two
    cores beside four busy loops: 1 to 4 s with two threads, .17 s with one.
    """
    threads = torch.get_num_threads()
    if columns > SMALL or threads == 1:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
