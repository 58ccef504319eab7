"""Optuna chooses the jobs of a sweep; launchers and sweepers that are not installed."""

import pytest
import yaml

from ntkrun.store import sweep_folder as sweep
from tests.cases.base import Case, rows
from tests.cases.test_sweeps import MEMORY, ROWS, nothing_left, sweep_folder, table

OPTUNA = "hydra/sweeper=optuna "


def without_plugin(kind, name):
    def make(stage):
        from hydra.core.config_store import ConfigStore
        from hydra.core.plugins import Plugins

        Plugins.instance()  # reads those that are there, once
        stage.monkeypatch.delitem(ConfigStore.instance().repo["hydra"][kind], f"{name}.yaml")

    return make


def best_is(stage, better, seen):
    """Optuna's best is the best job, by the number that it got."""
    folder = sweep_folder(stage)
    jobs = [job for job in sweep.outcomes(folder) if job["status"] == "ok"]
    assert len({job["valid"] for job in jobs}) > 1
    best = better(jobs, key=lambda job: job["valid"])
    found = yaml.safe_load((folder / "optimization_results.yaml").read_text())
    assert found["best_value"] == pytest.approx(seen(best["valid"]))
    assert all(f"{key}={value}" in best["title"] for key, value in found["best_params"].items())
    assert f"job {best['number']}: {best['metric']} {best['valid']:.4f}" in stage.out


def not_claimed(stage):
    assert not (sweep_folder(stage) / "optimization_results.yaml").exists()


CASES = [
    Case(
        "16.7",
        "trials of an Optuna sweep fail",
        "the others go on; the failed ones are never the best; the table, exit code 7",
        ROWS + OPTUNA + "hydra/sweeper/sampler=grid 'dataset.valid_fraction=choice(0.2,0.5,7)' "
        "'dataset.test_fraction=choice(0.2,7)'",
        before=table,
        code=7,
        says=["6 jobs: 2 ok, 4 failed", "4 jobs failed", "Optuna has minimised mse"],
        check=lambda stage: best_is(stage, min, lambda valid: valid),
    ),
    Case(
        "16.7",
        "trials of an Optuna sweep fail with `direction=maximize`",
        "the same; for an error Optuna gets -mse, so the smallest error is the best",
        ROWS + OPTUNA + "hydra.sweeper.direction=maximize hydra/sweeper/sampler=grid "
        "'dataset.valid_fraction=choice(0.2,0.5,7)'",
        before=table,
        code=7,
        says=["3 jobs: 2 ok, 1 failed", "Optuna has maximised -mse"],
        check=lambda stage: best_is(stage, min, lambda valid: -valid),
    ),
    Case(
        "16.7",
        "all trials of an Optuna sweep fail",
        "the table, one line, exit code 7; no best trial is claimed",
        ROWS + OPTUNA + "hydra.sweeper.n_trials=3 'dataset.valid_fraction=choice(7,8)'",
        before=table,
        code=7,
        says=["3 jobs: 0 ok, 3 failed", "all 3 jobs failed"],
        never=["best "],
        check=not_claimed,
    ),
    Case(
        "16.7",
        "an Optuna sweep over accuracy without a direction, which means minimize",
        "Optuna gets 1 - accuracy, and a line says so; the most accurate model is the best",
        "-m dataset=digits dataset.n_train=60 dataset.n_test=20 baseline=none method=rff "
        + MEMORY
        + OPTUNA
        + "hydra/sweeper/sampler=grid 'feature_dim=choice(2,64)'",
        says=["2 jobs: 2 ok", "Optuna has minimised 1 - accuracy"],
        check=lambda stage: best_is(stage, max, lambda valid: 1 - valid),
    ),
    Case(
        "16.7",
        "Optuna with two directions",
        "refused in one line before any trial",
        ROWS + OPTUNA + "'hydra.sweeper.direction=[minimize,maximize]'",
        before=table,
        code=2,
        says=["hydra.sweeper.direction of ntkrun must be one of minimize, maximize."],
        check=nothing_left,
    ),
    Case(
        "16.7",
        "Optuna with a misspelled direction, no trials and no processes",
        "all three are told in one line before any trial",
        ROWS + OPTUNA + "hydra.sweeper.direction=max hydra.sweeper.n_trials=0 hydra.sweeper.n_jobs=-1",
        before=table,
        code=2,
        says=["Got 'max' instead", "n_trials of ntkrun must be", "n_jobs of ntkrun must be"],
        check=nothing_left,
    ),
    Case(
        "16.7",
        "an Optuna study in a file: `hydra.sweeper.storage=sqlite:///study.db`",
        "Optuna 2 beside SQLAlchemy 2: refused before any trial, in a line that says what to install",
        ROWS + OPTUNA + "hydra.sweeper.storage=sqlite:///study.db 'seed=choice(0,1)'",
        before=table,
        code=2,
        says=["hydra.sweeper.storage of ntkrun must be null", 'pip install "sqlalchemy<2" "alembic<1.16"'],
        check=nothing_left,
    ),
    Case(
        "16.7",
        "Optuna over a study of a theorem, which has no score",
        "refused in one line before any trial",
        ROWS + OPTUNA + "study=theorem_1",
        before=table,
        code=2,
        says=["study of ntkrun must be null with Optuna"],
        check=nothing_left,
    ),
    Case(
        "16.7",
        "`hydra/sweeper=optuna` without its package",
        "one line that says what to install",
        ROWS + "hydra/sweeper=optuna",
        before=without_plugin("sweeper", "optuna"),
        code=2,
        says=["hydra/sweeper of ntkrun must be one of basic.", 'pip install "ntkrun[sweeps]"'],
        check=nothing_left,
    ),
    Case(
        "16.7",
        "`hydra/launcher=ray` without its package",
        "one line that says what to install",
        ROWS + "hydra/launcher=ray",
        code=2,
        says=["hydra/launcher of ntkrun must be one of basic", 'pip install "hydra-ray-launcher"'],
        check=nothing_left,
    ),
    Case(
        "16.7",
        "`hydra.launcher.n_jobs=2` without the launcher that has it",
        "one line that says where the keys are listed",
        ROWS + "hydra.launcher.n_jobs=2",
        code=2,
        says=["'hydra.launcher.n_jobs' is not a key", "ntkrun --cfg hydra"],
        check=nothing_left,
    ),
    Case(
        "16.7",
        "`interval(0,1)` without an optimiser",
        "one line that names the optimiser",
        ROWS + "'dataset.valid_fraction=interval(0.1,0.3)'",
        before=table,
        code=2,
        says=["Add hydra/sweeper=optuna"],
        check=nothing_left,
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
