"""Number of threads for small systems."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

# up to this many columns a second thread gains nothing: measured, .07 s with one thread and .06 s with two
SMALL = 512


@contextmanager
def worth(columns: int) -> Iterator[None]:
    """Use one torch thread inside for a system of at most SMALL columns.

    If another program wants the cores, its many short products spend more time waiting than computing: a
    thread that lost its core holds up the others, which spin. Measured for 512 columns on two cores beside
    four busy loops: 1 to 4 s with two threads, .17 s with one.
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
