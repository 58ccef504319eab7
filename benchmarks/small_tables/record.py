"""Results in a file of one JSON object per line, which a killed run can go on with."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def read(record: Path) -> list[dict[str, Any]]:
    """Return the results so far; a line that a kill cut off is left out."""
    out = []
    for line in record.read_text().splitlines() if record.is_file() else []:
        try:
            out.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return out


def append(record: Path, result: dict[str, Any]) -> None:
    """Add a result, on a line of its own even if the last one was cut off."""
    record.parent.mkdir(parents=True, exist_ok=True)
    cut = record.is_file() and record.stat().st_size and not record.read_bytes().endswith(b"\n")
    with record.open("a") as file:
        file.write("\n" * bool(cut) + json.dumps(result) + "\n")
