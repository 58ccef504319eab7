"""Run the stages in order: data, featurize, regress, score, publish."""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

from ntkrun import NUMBERS, machine
from ntkrun.config import RunConfig, as_typed
from ntkrun.datasets import rows
from ntkrun.datasets.split import Split
from ntkrun.errors import ConfigError
from ntkrun.executors.base import Executor
from ntkrun.maths.method import METHODS
from ntkrun.maths.method.base import Method
from ntkrun.maths.scores import described
from ntkrun.model import Model
from ntkrun.progress import saying
from ntkrun.report import run_figures
from ntkrun.stages import baseline, data, featurize, memory, plan, regress, score, summed
from ntkrun.stages.tasks import Task, task_of
from ntkrun.store import modes, predictions
from ntkrun.store.features import Features
from ntkrun.store.run_folder import RunFolder
from ntkrun.store.runs import finished_like
from ntkrun.store.shards import content_key
from ntkrun.studies import STUDIES
from ntkrun.studies.base import Size, measure
from ntkrun.tracking import mlmodel, publish

log = logging.getLogger(__name__)


Tell = Callable[[dict[str, Any]], None]


def run(config: RunConfig, scored: Tell | None = None, finished: Tell | None = None) -> dict[str, Any]:
    """Do the run or the study and return its result, the content of result.json.

    With `skip_finished`, return the result of a finished run with the same numbers, if there is one, and set
    "skipped" in it. `scored` is called with the result of a new run as soon as it is there, before the exact
    kernel, which may take minutes; `finished` with all of it before publishing.
    """
    own_peak, load = machine.reset_peak_rss(), machine.Load()
    outputs = config.output_dir
    made = RunFolder(outputs, config.sweep, config.command)
    with modes.like(outputs), as_typed(config.record), made as folder:
        config, split, facts = prepared(config)
        if config.skip_finished and (done := finished_like(outputs, config.record, facts)):
            return {**done.result, "run_folder": str(done.folder), "skipped": True}
        with config.executor:
            if config.study:
                result = _study(config, split, folder)
            else:
                facts |= {"memory/peak_of": "run" if own_peak else "process"}
                result = _experiment(config, split, folder, lambda found: scored and scored(found | facts))
        result |= facts | _machine(load)
        result["run_folder"] = str(folder.path)
        folder.finish(result)
        if finished:
            finished(result)
        with saying("MLflow     publishing the run"):
            result["mlflow/run_id"] = publish.attempt(folder.path, config.tracker)
        folder.write("result.json", result)
        return result


def prepared(config: RunConfig) -> tuple[RunConfig, Split, dict[str, Any]]:
    """Load the data; return the configuration with their method, the split, and what decides the numbers."""
    split = data.run(config.source)
    config = _chosen(config, split)
    return config, split, _facts(config, split)


def _chosen(config: RunConfig, split: Split) -> RunConfig:
    """Return the configuration with the method for rows if it has one and the data are rows; say so.

    Raises ConfigError if the method that is taken has wrong parameters.
    """
    if config.rows_method is None or config.study is not None:
        return config
    are_rows = split.train.x.ndim == 2
    if faults := config.faults["rows" if are_rows else "images"]:
        raise ConfigError(" ".join(faults))
    if not are_rows:
        return config
    given, known = config.record["method"], config.rows_method.get_params()
    default = METHODS.get(given["name"])().get_params()
    changed = [k for k in default if k not in known and given.get(k, default[k]) != default[k]]
    log.info("method     %s, as the data are rows (method=NAME takes another)", config.rows_method.name)
    if changed:
        log.warning("method     %s does not know %s", config.rows_method.name, ", ".join(changed))
    return replace(config, method=config.rows_method)


def _facts(config: RunConfig, split: Split) -> dict[str, Any]:
    """Return checksum and code version, which decide the numbers together with the configuration."""
    code = f"ntkrun {NUMBERS}"
    if config.study is None:
        code += f", {config.method.code()}"
    return {"data_sha256": split.sha256, "code": code}


def _machine(load: machine.Load) -> dict[str, Any]:
    """Return the load of this run and of other programs, and warn if the latter slowed the run down."""
    own, beside = {"machine/cpu_percent": load.percent()}, load.beside()
    if beside is None:
        return own
    if beside.slows:
        log.warning(
            "machine    load of other processes on %.1f of %d cores made the times above longer",
            beside.busy,
            machine.cores(),
        )
    return own | {"machine/load_beside": beside.busy}


def _study(config: RunConfig, split: Split, folder: RunFolder) -> dict[str, Any]:
    name = str(config.study)
    path = folder.open(f"{split.name}-{name}", config.record)
    return measure(STUDIES.get(name)(), split, Size(**config.study_size), path)


def _experiment(config: RunConfig, split: Split, folder: RunFolder, scored: Tell) -> dict[str, Any]:
    start = time.perf_counter()
    solver, executor, shard_rows = config.solver, config.executor, config.shard_rows
    solver.check(split.classes)
    task = task_of(split, config.method, config.features_dtype)
    plan.check(config.features, task, solver)
    memory.plan(task, shard_rows, solver, executor, config.features != "summed")
    task.fit()
    root = config.output_dir / "features"
    needs = plan.complete(config.features, task, root, shard_rows, solver, executor)
    planned = max(machine.peak_rss_mb(), machine.rss_mb() + needs.here / (1 << 20))
    # an error before this line leaves nothing behind
    key = content_key(featurize.spec_of(task, shard_rows))
    path = folder.open(f"{split.name}-{task.method.name}", config.record, key)
    if split.inputs.table:
        folder.write("columns.json", {"columns": split.inputs.table.record()})

    with _features(task, root, shard_rows, executor, needs.stored) as features:
        fit = regress.run(features.train, features.valid, task.method, solver, executor)
        with saying(f"score      predicting {len(split.test):,} test rows"):
            scores = score.run(fit, features.test)
        peak = machine.peak_rss_mb()
        predictions.write(path, _kept(scores, split))
        mlmodel.save(_model(task, fit), path / "model")

        result = _named(task.method, features, split)
        result |= _scored(features, fit, scores) | {"memory/peak_rss_mb": peak, "memory/planned_mb": planned}
        scored(result | {"run_folder": str(path)})
        if reference := task.reference():
            exact = baseline.run(split, reference, root, config.baseline, shard_rows, solver)
            if exact is not None:
                result |= _compared(exact, scores, result["time/total_s"])
                lam = fit.predictor.lam
                with saying("baseline   comparing the kernels of a few held-out rows"):
                    result |= baseline.kernel_errors(features.valid, split, reference, exact, lam)
    result["kind"] = task.kind
    result["time/wall_s"] = time.perf_counter() - start
    lambda_path = {"metric": fit.metric, "relative_lambda": fit.relative, "valid_scores": fit.valid_scores}
    folder.write("lambda_path.json", lambda_path)
    with saying("figures    drawing"):
        run_figures.draw(path / "figures", fit, scores, split.class_names, result)
    return result


def _features(
    task: Task, root: Path, shard_rows: int, executor: Executor, stored: bool
) -> AbstractContextManager[Features]:
    """Return the features, all computed or to be computed when they are read."""
    if stored:
        return nullcontext(featurize.compute(task, root, shard_rows, executor))
    return summed.opened(task, root, shard_rows, executor)


def _model(task: Task, fit: regress.Fit) -> Model:
    """Return the predictor with the training rows that its method needs."""
    split = task.split
    names = None if split.classes is None else split.class_names
    sample = task.model_rows()
    return Model(
        task.method,
        split.preprocess,
        fit.predictor,
        sample,
        split.views,
        names,
        split.inputs,
        split.labels,
        fit.confidence,
    )


def _kept(scores: score.Scores, split: Split) -> predictions.Predictions:
    """Return the test predictions that the run folder keeps."""
    names, digest = [] if split.classes is None else split.class_names, hashlib.sha256()
    rows.update(digest, split.test.x)
    return predictions.of(scores.prediction.numpy(), scores.labels.numpy(), names, digest)


def _named(method: Method, features: Features, split: Split) -> dict[str, Any]:
    """Return the name and the sizes of the run, under the keys that MLflow shows."""
    name = f"{method.name} {features.columns}"
    if "random_state" in method.get_params():
        name += f" s{method.get_params()['random_state']}"
    return {
        "run_name": f"{name} {split.name}",
        "dataset": split.name,
        "method": method.name,
        "n_train": split.n_train,
        "n_test": len(split.test.y),
        "feature_dim": features.columns,
        "features_key": features.store.folder.name,
    }


def _scored(features: Features, fit: regress.Fit, scores: score.Scores) -> dict[str, Any]:
    """Return scores and times.

    time/featurize_s includes shards that earlier runs computed, so times and speed-ups do not depend on the
    cache. time/wall_s, set elsewhere, is the duration of this run, baseline included.
    """
    out = {
        f"test/{scores.metric}": scores.value,
        f"valid/{fit.metric}": fit.valid_scores[fit.best],
        "lambda": fit.predictor.lam,
        "relative_lambda": fit.relative[fit.best],
        "time/featurize_s": features.seconds,
        "time/solve_s": fit.seconds,
        "time/predict_s": scores.seconds,
        "time/total_s": features.seconds + fit.seconds + scores.seconds,
        "cache/shards_reused": features.reused,
        "cache/features": "stored" if features.train.stored else "summed",
    }
    held = described(fit.prediction, fit.labels, fit.classes, fit.confidence.temperature)
    more = {f"test/{k}": v for k, v in scores.more.items()} | {f"valid/{k}": v for k, v in held.items()}
    if fit.confidence.temperature is not None:
        more["temperature"] = fit.confidence.temperature
    return out | {k: v for k, v in more.items() if k not in out}


def _compared(exact: baseline.Exact, scores: score.Scores, total: float) -> dict[str, Any]:
    """Return the cost of the exact kernel and the speed-up over it."""
    out: dict[str, Any] = {
        "exact/time_s": exact.seconds,
        "exact/time_kind": exact.kind,
        "exact/entries_per_s": exact.entries_per_s,
        "speedup": exact.seconds / total,
    }
    if exact.value is None:
        return out | {"exact/time_low_s": exact.low, "exact/time_high_s": exact.high}
    return out | {f"exact/{scores.metric}": exact.value, "exact/features_key": exact.key}
