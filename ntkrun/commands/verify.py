"""ntkrun verify: is everything on the disk what its record says?"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from ntkrun.commands import add_folder
from ntkrun.errors import IntegrityError
from ntkrun.progress import progress
from ntkrun.store.database import lost, settle
from ntkrun.store.runs import load
from ntkrun.store.shards import ShardStore


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_folder(parser, "output_dir with features/ and runs/")


def run(options: argparse.Namespace) -> int:
    """Check everything, name what is damaged; exit code 4 if anything is."""
    root = Path(options.folder)
    bad: list[str] = []
    stores = sorted(p.parent for p in (root / "features").glob("*/manifest.json"))
    shards = 0
    for folder in stores:
        store = ShardStore(folder, {})
        if not store.receipts:
            bad.append(f"{store.manifest} is damaged; its shards will be computed again")
        with progress("verify    ", len(store.receipts), "shards") as advance:
            for name in store.receipts:
                shards += 1
                try:
                    store.read_bytes(name)
                except IntegrityError as error:
                    bad.append(str(error))
                advance(1)
    runs = sorted(p for p in (root / "runs").glob("*") if p.is_dir())
    for folder in runs:
        try:
            load(folder)
        except (IntegrityError, ValueError) as error:
            bad.append(str(error))
    home = root.absolute()
    settle(home)
    try:
        bad += [
            f"{run.place} is not there: MLflow's copy of {run.folder}. ntkrun sync makes it again"
            for run in lost(home)
        ]
    except IntegrityError as error:
        bad.append(str(error))
    for message in bad:
        sys.stdout.write(message + "\n")
    sys.stdout.write(
        f"{len(stores)} sets of features with {shards} shards and {len(runs)} run folders: "
        f"{len(bad) or 'nothing'} damaged\n"
    )
    return IntegrityError.exit_code if bad else 0
