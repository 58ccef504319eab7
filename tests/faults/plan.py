"""How many trials: a part in `make test`, all in `make test-faults`; counts are kept for the record."""

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
    """Write down that `trials` trials have passed; scripts/reliability.py makes the page of it."""
    if RECORD:
        entry = {"group": group, "what": what, "trials": trials, "exhaustive": exhaustive}
        entry |= {"seed": SEED, "full": FULL, "time": time.time()}
        with Path(RECORD).open("a") as file:
            file.write(json.dumps(entry) + "\n")
