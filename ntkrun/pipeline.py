"""One run, from a checked configuration to a tracked result: data, featurize, regress, score, track."""

from __future__ import annotations

import logging
import logging.handlers
import time
from pathlib import Path
from typing import Any

from ntkrun import machine
from ntkrun.config import RunConfig
from ntkrun.datasets.split import Split
from ntkrun.stages import baseline, data, featurize, figures, regress, score, track
from ntkrun.stages.baseline import Exact

log = logging.getLogger(__name__)


def run(config: RunConfig) -> dict[str, Any]:
    """Do the run and return its result, the content of result.json."""
    machine.reset_peak_rss()
    wall, started = time.perf_counter(), time.time()
    # nothing is written before the data are known to be good: early log lines wait in memory
    early = logging.handlers.MemoryHandler(10_000, flushLevel=logging.CRITICAL + 1)
    root_log = logging.getLogger("ntkrun")
    root_log.addHandler(early)
    folder, file_log = None, None
    try:
        split = data.run(config.source)
        features_root = config.output_dir / "features"
        method = config.method
        features = None
        method.fit(split.batch("train", 0, 1, featurize.DTYPES[method.dtype]))
        featurize.check_memory(split, method, config.shard_rows)
        folder = track.new_folder(config.output_dir, f"{split.name}-{config.method_name}")
        file_log = logging.FileHandler(folder / "run.log")
        file_log.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        early.setTarget(file_log)
        early.flush()
        root_log.addHandler(file_log)
        track.write_json(folder / "config.json", config.record)
        track.write_json(folder / "environment.json", machine.describe())
        track.write_json(folder / "status.json", {"status": "RUNNING", "started": started})

        features = featurize.run(split, method, features_root, config.shard_rows)
        solve = regress.run_kernel if method.kind == "kernel" else regress.run
        fit = solve(features, split.classes, config.solver)
        scores = score.run(fit, features, split.classes)
        peak = machine.peak_rss_mb()
        reference = method.reference()
        exact = None
        if reference is not None:
            exact = baseline.run(
                config.baseline, split, reference, config.solver, features_root, config.shard_rows
            )
        result = _result(config, split, features, fit, scores, exact, peak, time.perf_counter() - wall)
        result["run_folder"] = str(folder)
        track.write_json(
            folder / "lambda_path.json",
            {"metric": fit.metric, "relative_lambda": fit.relative, "valid_scores": fit.valid_scores},
        )
        figures.draw(folder / "figures", fit, scores, split.class_names, result)
        finished = {"status": "FINISHED", "started": started, "finished": time.time()}
        track.write_json(folder / "status.json", finished)
        track.write_json(folder / "result.json", result)
        result["mlflow/run_id"] = track.publish(
            folder, config.tracking_uri, config.tracking_experiment, config.output_dir / "mlartifacts"
        )
        track.write_json(folder / "result.json", result)
        return result
    except BaseException as error:
        if folder is not None:
            killed = isinstance(error, KeyboardInterrupt)
            log.debug("the run ended early", exc_info=True)
            _mark(folder, {"status": "KILLED" if killed else "FAILED", "error": str(error).splitlines()[:1]})
        raise
    finally:
        for handler in (early, file_log):
            if handler is not None:
                root_log.removeHandler(handler)
                handler.close()


def _mark(folder: Path, status: dict[str, Any]) -> None:
    try:
        track.write_json(folder / "status.json", status)
    except track.MachineError:  # the disk that ended the run may be full
        log.warning("the status of %s could not be written", folder)


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
    columns = split.n_train if method.kind == "kernel" else int(method.get_params()["n_components"])
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
        "n_test": len(split.test),
        "feature_dim": columns,
        "data_sha256": split.sha256,
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
