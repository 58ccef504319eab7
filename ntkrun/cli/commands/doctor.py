"""ntkrun doctor: check this machine and its folders."""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from ntkrun import machine
from ntkrun.cli.commands import PARTS, add_folder, named
from ntkrun.errors import MachineError
from ntkrun.progress import size
from ntkrun.store import lock
from ntkrun.store.atomic import write_atomic
from ntkrun.store.paths import as_path

LEAST = 1 << 30  # bytes that must be free on the disk

EXAMPLE = "ntkrun doctor /data/outputs"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_folder(parser, "output_dir to check")


def run(options: argparse.Namespace) -> int:
    """Print a description of the machine; return 5 if a run could not work."""
    import pooch
    import torch

    about = machine.describe()
    root = named(options.folder)
    lines = [f"{key:<14}{about[key]}" for key in ("python", "platform", "cpu", "cores", "threads")]
    memory = machine.available_memory()
    lines.append(f"{'memory':<14}{'unknown' if memory is None else f'{size(memory)} free'}")
    shown = torch.__config__.show().splitlines()
    blas = next((line.strip() for line in shown if "MKL" in line or "OpenBLAS" in line), "unknown")
    lines.append(f"{'BLAS':<14}{blas.lstrip('- ')}")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    lines.append(f"{'CUDA':<14}{gpu}")
    lines += [f"{name:<14}{version}" for name, version in about["packages"].items()]
    data = as_path(os.environ.get("NTKRUN_DATA_DIR") or pooch.os_cache("ntkrun"))
    trouble = []
    for key, path in (("output_dir", root), ("data_dir", data)):
        exists = next(p for p in (path, *path.parents) if os.path.lexists(p))
        places = [exists, *(path / part for part in PARTS if os.path.lexists(path / part))]
        wrong = next(filter(None, (attempt(place, key == "output_dir") for place in places)), "")
        free = "" if wrong else f", {size(shutil.disk_usage(exists).free)} free"
        there = "" if exists == path else ", not there yet: a run makes it"
        lines.append(f"{key:<14}{path}{free}{there}")
        if wrong:
            trouble.append(f"a run cannot {wrong}; choose another place: {key}=DIR or NTKRUN_{key.upper()}")
        elif shutil.disk_usage(exists).free < LEAST:
            trouble.append(f"less than 1 GiB is free in {exists}; choose another place: {key}=DIR")
    if memory is not None and memory < 2 << 30:
        trouble.append("less than 2 GiB of memory are free; lower feature_dim and dataset.n_train")
    lines += [f"{'trouble':<14}{text}" for text in trouble] or ["nothing stands in the way of a run"]
    sys.stdout.write("\n".join(lines) + "\n")
    return MachineError.exit_code if trouble else 0


def attempt(folder: Path, database: bool) -> str:
    """Try in a folder what a run does there; return what fails and why, "" if nothing does.

    It all happens in a temporary folder inside. `database` includes SQLite.
    """
    import sqlite3

    inside, step = "", "make a folder"
    try:
        inside = tempfile.mkdtemp(prefix=".doctor-", dir=folder)
        step = "write a file"
        write_atomic(Path(inside, "file"), b"ntkrun")
        step = "lock a file"
        with lock.held(Path(inside, "lock"), "output_dir"):
            step = "use SQLite"
            if database:
                with contextlib.closing(sqlite3.connect(Path(inside, "database"))) as opened, opened:
                    opened.execute("create table t (x)")
                    opened.execute("insert into t values (1)")
    except (OSError, MachineError, sqlite3.Error) as error:
        cause = error.__cause__ or error
        return f"{step} in {folder} ({getattr(cause, 'strerror', None) or cause})"
    finally:
        if inside:
            shutil.rmtree(inside, ignore_errors=True)
    return ""
