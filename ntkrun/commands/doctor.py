"""ntkrun doctor: what this machine has, and where things go."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from ntkrun import machine
from ntkrun.commands import add_folder


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_folder(parser, "output_dir to look at")


def run(options: argparse.Namespace) -> int:
    """Print the description; exit code 5 if something stands in the way of a run."""
    import pooch
    import torch

    about = machine.describe()
    root = Path(options.folder).absolute()
    lines = [f"{key:<14}{about[key]}" for key in ("python", "platform", "cpu", "cores", "threads")]
    memory = machine.available_memory()
    lines.append(f"{'memory':<14}{'unknown' if memory is None else f'{memory / 2**30:.1f} GiB free'}")
    shown = torch.__config__.show().splitlines()
    blas = next((line.strip() for line in shown if "MKL" in line or "OpenBLAS" in line), "unknown")
    lines.append(f"{'BLAS':<14}{blas.lstrip('- ')}")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    lines.append(f"{'CUDA':<14}{gpu}")
    lines += [f"{name:<14}{version}" for name, version in about["packages"].items()]
    data = Path(os.environ.get("NTKRUN_DATA_DIR") or pooch.os_cache("ntkrun"))
    trouble = []
    for name, path in (("output_dir", root), ("data_dir", data)):
        here = next(p for p in (path, *path.parents) if p.exists())
        writable = os.access(here, os.W_OK) and here.is_dir()
        free = shutil.disk_usage(here).free / 2**30
        lines.append(f"{name:<14}{path}, {free:.1f} GiB free{'' if writable else ', NOT WRITABLE'}")
        if not writable:
            trouble.append(f"{path} cannot be written to; choose another {name}")
    if memory is not None and memory < 2 << 30:
        trouble.append("less than 2 GiB of memory are free; lower feature_dim and dataset.n_train")
    lines += [f"{'trouble':<14}{text}" for text in trouble] or ["nothing stands in the way of a run"]
    sys.stdout.write("\n".join(lines) + "\n")
    return 5 if trouble else 0
