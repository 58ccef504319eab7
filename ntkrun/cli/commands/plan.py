"""ntkrun plan: say what a run would do and take, without doing it."""

from __future__ import annotations

import argparse
import sys
import textwrap
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ntkrun.errors import ConfigError, must_be
from ntkrun.progress import human, size

if TYPE_CHECKING:
    from ntkrun.config import RunConfig
    from ntkrun.datasets.split import Split
    from ntkrun.stages import memory, plan, times
    from ntkrun.stages.tasks import Task
    from ntkrun.store.shards import ShardStore

WIDTH = 110  # characters of a line
ABOUT = """
It takes the words of a run. The data are read, as a run reads them. No feature is computed, no method is
fitted, and nothing is written to output_dir. Times come from finished runs in output_dir, on a machine with
the same processor and threads, and are scaled. Loading libraries and publishing take a few seconds more.
  ntkrun plan dataset=cifar10 feature_dim=8192
  ntkrun plan dataset=csv dataset.path=mine.csv features=summed
"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = ABOUT.strip()
    about = "as for a run; without any, the default run"
    parser.add_argument("words", nargs="*", metavar="key=value", help=about)
    parser.add_argument("-cd", "--config-dir", help="folder with more yaml files, as for a run")
    parser.add_argument("-m", "--multirun", action="store_true", help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    """Print the plan; raise the run's error if it could not start."""
    from ntkrun.cli.launch import launch

    words = list(options.words)
    if options.multirun or any(word.startswith("hydra.mode=") for word in words):
        remedy = "Leave -m out and give each key one value."
        raise ConfigError(must_be("words", "ntkrun plan", "those of one job", "a sweep", remedy))
    if options.config_dir:
        words += ["--config-dir", options.config_dir]
    return launch(words, _single)


def _single(config: Any) -> None:
    """Print the plan of one composed configuration, then raise MachineError if it does not fit."""
    from ntkrun.cli.launch import checked
    from ntkrun.config import as_typed

    built = checked(config)
    if built.study is not None:
        remedy = "Add study=null; the sizes of a study are in study_size."
        raise ConfigError(must_be("study", "ntkrun plan", "null, since it plans runs", built.study, remedy))
    with as_typed(built.record):
        found = looked(built)
        sys.stdout.write("\n".join(lines(found)) + "\n")
        sys.stdout.flush()
        _check(found)


@dataclass(frozen=True)
class Found:
    """What is known of a run before it starts."""

    config: RunConfig
    split: Split
    task: Task
    store: ShardStore | None
    pieces: list[Any]
    disk: plan.Disk
    memory: memory.Plan
    loaded: float  # MiB of this process with the data
    read_seconds: float
    times: times.Times
    missing: float  # share of the features to compute
    exact_missing: float  # share of the exact kernel to compute
    done: str | None  # folder of the finished run that skip_finished would return


def looked(config: RunConfig) -> Found:
    """Read the data and look at the features, the machine and earlier runs; raise the run's errors."""
    from ntkrun import machine, pipeline
    from ntkrun.stages import featurize, memory, plan, times
    from ntkrun.stages.tasks import task_of
    from ntkrun.store.runs import finished_like, scan

    begin = time.perf_counter()
    config, split, facts = pipeline.prepared(config)
    read_seconds = time.perf_counter() - begin
    outputs, solver, executor = config.output_dir, config.solver, config.executor
    solver.check(split.classes)
    root, rows = outputs / "features", config.shard_rows
    task = task_of(split, config.method, config.features_dtype)
    plan.check(config.features, task, solver)
    task.method.check_shape(task.method.shape_of(split.train.x.shape[1:]))
    store = featurize.found(task, root, rows)
    disk = plan.disk(config.features, task, root, rows, solver, store.receipts if store else ())
    runs = times.comparable(list(scan(outputs)), config.record)
    done = finished_like(outputs, config.record, facts) if config.skip_finished else None
    reference, exact_missing = task.reference(), 1.0
    if reference is not None:
        exact = task_of(split, reference)
        exact_missing = _missing(exact, featurize.found(exact, root, rows), featurize.pieces(split, rows))
    every = featurize.pieces(split, rows)
    return Found(
        config=config,
        split=split,
        task=task,
        store=store,
        pieces=every,
        disk=disk,
        memory=memory.needs(task, rows, solver, executor, disk.stored),
        loaded=machine.rss_mb(),
        read_seconds=read_seconds,
        times=times.Times(runs, config.record, task, disk.stored),
        missing=_missing(task, store, every),
        exact_missing=exact_missing,
        done=str(done.folder) if done else None,
    )


def _missing(task: Task, store: ShardStore | None, every: list[Any]) -> float:
    """Return the share of the work whose shards are not there."""
    there = store.receipts if store else {}
    units = {piece.name: task.units(piece) for piece in every}
    return sum(n for name, n in units.items() if name not in there) / sum(units.values())


def _check(found: Found) -> None:
    """Raise the MachineError with which the run would end."""
    from ntkrun.stages import memory

    config, task = found.config, found.task
    for stored in (config.features != "summed", found.disk.stored):
        memory.plan(task, config.shard_rows, config.solver, config.executor, stored)
    found.disk.check(config.output_dir / "features")


def lines(found: Found) -> list[str]:
    """Return the lines of the plan."""
    parts = [("data", _data(found)), ("method", _method(found)), ("features", _features(found))]
    parts += [("there", _there(found)), ("memory", _memory(found)), ("disk", _disk(found)), *_times(found)]
    if found.done:
        parts.insert(0, ("skipped", f"the same run has finished in {found.done}; the rest is for a new one"))
    out: list[str] = []
    for name, text in parts:
        out += textwrap.wrap(
            text,
            WIDTH,
            initial_indent=f"{name:<14}",
            subsequent_indent=" " * 14,
            break_long_words=False,
            break_on_hyphens=False,
        )
    return out


def _data(found: Found) -> str:
    split = found.split
    shape = " x ".join(str(n) for n in split.train.x.shape[1:])
    kind = "numbers" if split.classes is None else f"{split.classes} classes"
    train, valid, test = (len(part) for part in (split.train, split.valid, split.test))
    rows = f"{train:,} rows to train, {valid:,} held out for lambda, {test:,} to test"
    form = "sparse" if split.sparse else "dense"
    return f"{split.name}: {rows}; {form} rows of {shape}, {kind}; read in {human(found.read_seconds)}"


def _method(found: Found) -> str:
    method = found.task.method
    given = ", ".join(f"{key}={value}" for key, value in method.get_params(deep=False).items())
    return f"{method.name}: {given}"


def _features(found: Found) -> str:
    task, disk = found.task, found.disk
    dtype = task.features_dtype or str(task.dtype).removeprefix("torch.")
    what = "kernel values" if task.kind == "kernel" else "columns"
    how = f"stored in {len(found.pieces)} files" if disk.stored else "only summed"
    if not disk.stored and found.config.features == "auto":
        how += f", as files would take {size(disk.files)}"
    key = found.store.folder.name if found.store else "known after the fit"
    return f"{task.columns:,} {what} of {dtype}, {how} of up to {found.config.shard_rows} rows; key {key}"


def _there(found: Found) -> str:
    names = set(found.store.receipts) if found.store else set()
    hits = sum(piece.name in names for piece in found.pieces)
    out = f"{hits} of {len(found.pieces)} files of features"
    if not found.disk.stored and found.store:
        sums = len(list(found.store.folder.glob("*.sums")))
        out += f", {sums} file{'s' * (sums != 1)} of sums"
    if found.task.reference() is not None and found.config.baseline != "none":
        out += f", {1 - found.exact_missing:.0%} of the exact kernel"
    return out + " are there"


def _memory(found: Found) -> str:
    from ntkrun import machine

    task, config = found.task, found.config
    stages = {"fit": task.fit_bytes()}
    stages |= task.stage_bytes(config.shard_rows, config.solver, found.disk.stored)
    workers, have = config.executor.workers_here, machine.available_memory()
    each = ", ".join(f"{name} {size(count)}" for name, count in stages.items() if count >= 1 << 16)
    beside = f" and {workers} workers of {size(found.memory.worker)}" if workers else ""
    peak = found.loaded * (1 << 20) + max(found.memory.total(workers), stages["fit"])
    free = "unknown" if have is None else f"{size(have)} are free"
    return (
        f"{each}{beside}, beside {size(found.loaded * (1 << 20))} of program and data: "
        f"{size(peak)} at the peak; {free}"
    )


def _disk(found: Found) -> str:
    what = f"{size(found.disk.write)} to write" if found.disk.write else "no features to write"
    return f"{what} to {found.config.output_dir}; {size(found.disk.free)} are free"


def _times(found: Found) -> list[tuple[str, str]]:
    """Return the lines about time: one per stage, the exact kernel, and all together."""
    task, known = found.task, found.times
    guesses = [
        ("featurize" if task.kind == "features" else "kernel", known.featurize(found.missing)),
        ("solve", known.solve(found.config.solver)),
        ("predict", known.predict()),
    ]
    out = [("time", f"{name:<11}{_guess(one)}") for name, one in guesses]
    if exact := _exact(found):
        out.append(("", f"{'baseline':<11}{exact}"))
    seconds = [one.seconds for _, one in guesses if one.seconds is not None]
    if seconds:
        least = "" if len(seconds) == len(guesses) else "at least "
        out.append(("", f"{'together':<11}{least}{human(sum(seconds))}, without the baseline"))
    return [out[0], *(("", text) for _, text in out[1:])]


def _guess(one: times.Guess) -> str:
    return one.source if one.seconds is None else f"{human(one.seconds)}, {one.source}"


def _exact(found: Found) -> str:
    """Return the words about the exact kernel; "" if it is left out."""
    from ntkrun.stages import rate

    wanted = found.config.baseline
    reference = found.task.reference()
    if wanted == "none" or reference is None:
        return ""
    full, guess = found.times.exact(wanted, reference, found.config.output_dir / rate.FOLDER)
    how = {True: "run in full", False: "extrapolated from a block", None: "run in full if that is quick"}[
        full
    ]
    return f"the exact kernel, {how}: {_guess(guess)}"
