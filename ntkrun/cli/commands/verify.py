"""ntkrun verify: check the files on the disk against their records."""

from __future__ import annotations

import argparse
import sys

from ntkrun.cli.commands import add_place, located, unreadable
from ntkrun.errors import IntegrityError, MachineError
from ntkrun.progress import progress
from ntkrun.store import predictions
from ntkrun.store.runs import load
from ntkrun.store.shards import ShardStore, stores_in
from ntkrun.tracking.database import lost, settle

EXAMPLE = "ntkrun verify 3f2a   # one run and its features; without an id, everything"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_place(parser, "output_dir with features/ and runs/")


def run(options: argparse.Namespace) -> int:
    """Print everything that is damaged; return 4 if anything is, 5 if a part cannot be read."""
    root, one = located(options.folder)
    hidden = {} if one else unreadable(root)
    bad: list[str] = []
    keys = {one.result.get("features_key"), one.result.get("exact/features_key")} if one else None
    stores = [path for path in stores_in(root / "features") if keys is None or path.name in keys]
    shards = 0
    for folder in stores:
        store = ShardStore(folder, {})
        if store.damaged:
            bad.append(
                f"{store.manifest} has {store.damaged} damaged lines; their shards will be computed again"
            )
        if unlisted := store.unlisted():
            sys.stdout.write(
                f"{folder} holds {len(unlisted)} shards without a receipt, as a running or killed run "
                "leaves them; the same command computes them again\n"
            )
        with progress("verify    ", len(store.receipts), "shards") as advance:
            for name in store.receipts:
                shards += 1
                try:
                    store.read_bytes(name)
                except IntegrityError as error:
                    bad.append(str(error))
                advance(1)
    summed = sorted(
        path for path in (root / "features").glob("*/*.sums") if keys is None or path.parent.name in keys
    )
    if summed:
        from ntkrun.store import sums  # loads torch

        for path in summed:
            try:
                sums.read(path)
            except IntegrityError as error:
                bad.append(f"{error} Its sums are computed again")
    runs = sorted(p for p in (root / "runs").glob("*") if p not in hidden and p.is_dir())
    runs = [one.folder] if one else runs
    for folder in runs:
        try:
            load(folder)
            predictions.read(folder)
        except (IntegrityError, ValueError) as error:
            bad.append(str(error))
    settle(root)
    try:
        bad += [
            f"{run.place} is not there: MLflow's copy of {run.folder}. ntkrun sync makes it again"
            for run in lost(root)
            if one is None or run.folder == one.folder
        ]
    except IntegrityError as error:
        bad.append(str(error))
    for message in bad:
        sys.stdout.write(message + "\n")
    if not (stores or summed or runs or hidden):
        sys.stdout.write(f"{root} holds no run and no features: there is nothing to verify\n")
        return 0
    state = f"{len(bad)} damaged" if bad else "nothing damaged"
    if hidden:
        state = f"{len(bad)} damaged, and {len(hidden)} more that cannot be read"
    also = f", {len(summed)} files of sums" if summed else ""
    sys.stdout.write(
        f"{len(stores)} sets of features with {shards} shards{also} and {len(runs)} run folders: {state}\n"
    )
    if bad:
        return IntegrityError.exit_code
    return MachineError.exit_code if hidden else 0
