"""One run, from a checked configuration to a tracked result: data, featurize, regress, score, track."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Any

from ntkrun import NUMBERS, machine, studies
from ntkrun.config import RunConfig
from ntkrun.datasets.split import Split
from ntkrun.model import Model
from ntkrun.stages import baseline, data, featurize, figures, memory, regress, score, track
from ntkrun.stages.baseline import Exact
from ntkrun.stages.folder import RunFolder
from ntkrun.store import modes
from ntkrun.store.runs import finished_like
from ntkrun.words import as_typed

log = logging.getLogger(__name__)


def run(config: RunConfig, finished: Callable[[dict[str, Any]], None] | None = None) -> dict[str, Any]:
    """Do the run, or the study, and return its result, the content of result.json.

    With `skip_finished` the result of a finished run that has the same numbers, if there is one; "skipped"
    is then set in it. `finished` is called with a new result before MLflow gets it, which may have to be
    waited for.
    """
    own_peak, load = machine.reset_peak_rss(), machine.Load()
    outputs = config.output_dir
    with modes.like(outputs), as_typed(config.record), RunFolder(outputs, config.sweep) as folder:
        split = data.run(config.source)
        facts = _facts(config, split)
        if config.skip_finished and (done := finished_like(outputs, config.record, facts)):
            return {**done.result, "run_folder": str(done.folder), "skipped": True}
        work = _experiment if config.study is None else _study
        with config.executor:
            result = work(config, split, folder)
        result |= facts | {"memory/peak_of": "run" if own_peak else "process"}
        result |= _machine(load)
        result["run_folder"] = str(folder.path)
        folder.finish(result)
        if finished:
            finished(result)
        result["mlflow/run_id"] = track.attempt(folder.path, config.tracker)
        folder.write("result.json", result)
        return result


def _facts(config: RunConfig, split: Split) -> dict[str, Any]:
    """Return what decides the numbers of a run beside its configuration."""
    code = f"ntkrun {NUMBERS}"
    if config.study is None:
        code += f", {type(config.method).__name__} {config.method.version}"
    return {"data_sha256": split.sha256, "code": code}


def _machine(load: machine.Load) -> dict[str, Any]:
    """Return the load that was beside the run, and say so if its times are longer for it."""
    beside = load.beside()
    if beside is None:
        return {}
    if load.slows():
        log.warning(
            "machine    load of other processes on %.1f of %d cores: the times above are longer for it",
            beside,
            machine.cores(),
        )
    return {"machine/load_beside": beside}


def _experiment(config: RunConfig, split: Split, folder: RunFolder) -> dict[str, Any]:
    wall, method = time.perf_counter(), config.method
    work = featurize.prepare(split, method, config.shard_rows, config.solver, config.executor)
    more = memory.plan(split, method, config.shard_rows, config.solver) / (1 << 20)
    planned = max(machine.peak_rss_mb(), machine.rss_mb() + more)
    path = folder.open(f"{split.name}-{config.method_name}", config.record)

    root = config.output_dir / "features"
    features = featurize.compute(work, root, config.shard_rows, config.executor)
    if method.kind == "kernel":
        fit = regress.run_kernel(features, split.classes, config.solver)
    else:
        fit = regress.run(features, split.classes, config.solver, config.executor)
    scores = score.run(fit, features, split.classes)
    peak = machine.peak_rss_mb()
    _model(config, split, fit).save(path / "model")
    reference, exact = method.reference(), None
    if reference is not None:
        exact = baseline.run(config, split, reference, root)
    error = (
        None
        if exact is None or reference is None
        else baseline.kernel_error(features, split, reference, exact)
    )
    result = _result(config, split, features, fit, scores, exact, peak, time.perf_counter() - wall)
    result["memory/planned_mb"] = planned
    result |= {} if error is None else {"kernel/error": error}
    lambda_path = {"metric": fit.metric, "relative_lambda": fit.relative, "valid_scores": fit.valid_scores}
    folder.write("lambda_path.json", lambda_path)
    figures.draw(path / "figures", fit, scores, split.class_names, result)
    return result


def _model(config: RunConfig, split: Split, fit: regress.Fit) -> Model:
    """Return the predictor by itself, with the training rows that its method cannot do without."""
    every = config.method.kind == "kernel"
    rows = split.fit_rows() if every else split.raw_sample(config.method.sample_rows)
    names = None if split.classes is None else split.class_names
    here = (config.method_name, config.method, split.preprocess, fit.predictor)
    return Model(*here, rows, split.views, names, split.inputs)


def _study(config: RunConfig, split: Split, folder: RunFolder) -> dict[str, Any]:
    from ntkrun.studies import base

    name = str(config.study)
    wall = time.perf_counter()
    size = base.Size(**config.study_size)
    path = folder.open(f"{split.name}-{name}", config.record)
    series = studies.get(name)(split, size)
    folder.write("study.json", base.as_record(series))
    base.draw(series, f"{name} on {split.name}", path / "figures" / f"{name}.png")
    result: dict[str, Any] = {
        "run_name": f"{name} {split.name}",
        "dataset": split.name,
        "method": name,
        "n_train": split.n_train,
        "n_test": len(split.test.y),
        "time/wall_s": time.perf_counter() - wall,
        "memory/peak_rss_mb": machine.peak_rss_mb(),
    }
    for s in series:
        promise = f" (promised {s.expected:+.1f})" if s.expected is not None else ""
        log.info("study      %s, %s: slope %+.2f%s", s.panel, s.label, s.slope, promise)
        # MLflow allows letters, digits and a few signs in metric names
        key = "".join(c if c.isalnum() or c in "_-. /" else "" for c in f"{s.panel} {s.label}")
        result["slope/" + key.replace(" ", "_")] = s.slope
    return result


def _result(
    config: RunConfig,
    split: Split,
    features: featurize.Features,
    fit: regress.Fit,
    scores: score.Scores,
    exact: Exact | None,
    peak_rss_mb: float,
    wall: float,
) -> dict[str, Any]:
    """Return the numbers of a run under the names that MLflow shows.

    time/featurize_s counts computing features even where it happened in an earlier run, so that times and
    speed-ups do not depend on the cache; time/wall_s is what this run took, baseline included.
    """
    total = features.seconds + fit.seconds + scores.seconds
    method = config.method
    columns = features.columns
    name = f"{config.method_name} {columns}"
    if "random_state" in method.get_params():
        name += f" s{method.get_params()['random_state']}"
    name += f" {split.name}"
    result: dict[str, Any] = {
        "run_name": name,
        "dataset": split.name,
        "method": config.method_name,
        f"test/{scores.metric}": scores.value,
        f"valid/{fit.metric}": fit.valid_scores[fit.best],
        "lambda": fit.predictor.lam,
        "relative_lambda": fit.relative[fit.best],
        "time/featurize_s": features.seconds,
        "time/solve_s": fit.seconds,
        "time/predict_s": scores.seconds,
        "time/total_s": total,
        "time/wall_s": wall,
        "memory/peak_rss_mb": peak_rss_mb,
        "cache/shards_reused": features.reused,
        "n_train": split.n_train,
        "n_test": len(split.test.y),
        "kind": method.kind,
        "feature_dim": columns,
        "features_key": features.store.folder.name,
    }
    if exact is not None:
        result |= {
            "exact/time_s": exact.seconds,
            "exact/time_kind": exact.kind,
            "exact/entries_per_s": exact.entries_per_s,
            "speedup": exact.seconds / total,
        }
        if exact.value is not None:
            result[f"exact/{scores.metric}"] = exact.value
    return result
