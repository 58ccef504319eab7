"""Count trials, a part in `make test` and all in `make test-faults`, and record them."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

FULL = os.environ.get("NTKRUN_FAULTS") == "full"
SEED = int(os.environ.get("NTKRUN_FAULTS_SEED", "20261124"))
RECORD = os.environ.get("NTKRUN_FAULTS_RECORD")


def count(part: int, full: int) -> int:
    """Return the trials of this run."""
    return full if FULL else part


def record(group: str, what: str, trials: int, exhaustive: bool = False) -> None:
    """Record that `trials` trials have passed; scripts/reliability.py turns the record into a page."""
    if RECORD:
        entry = {"group": group, "what": what, "trials": trials, "exhaustive": exhaustive}
        entry |= {"seed": SEED, "full": FULL, "time": time.time()}
        with Path(RECORD).open("a") as file:
            file.write(json.dumps(entry) + "\n")
