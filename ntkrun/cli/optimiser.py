"""Optuna as the sweeper: which settings it may have, and the number that it gets from each job.

Optuna minimises unless it is told otherwise, which would look for the worst accuracy, and it ends the sweep
at a trial without a number. So a job's number always fits the direction: the better the model, the better.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any

from ntkrun import checks
from ntkrun.errors import ConfigError, must_be
from ntkrun.log import redacted

RESULTS = "optimization_results.yaml"
# per direction: the number that is best where `value` is the held-out score, and its name
NUMBERS = {
    ("minimize", "accuracy"): ("1 - accuracy", lambda value: 1 - value),
    ("maximize", "accuracy"): ("accuracy", lambda value: value),
    ("minimize", "mse"): ("mse", lambda value: value),
    ("maximize", "mse"): ("-mse", lambda value: -value),
}


def check(config: Any) -> str | None:
    """Return the direction of a sweep that Optuna chooses the jobs of; None for another sweeper.

    `config` is Hydra's whole configuration. Raises ConfigError for settings with which no job could count.
    """
    sweeper, direction, problems = config.hydra.sweeper, None, []
    for key in ("max_batch_size", "n_trials", "n_jobs"):
        if sweeper.get(key) is not None:
            problems += checks.integer("ntkrun", f"hydra.sweeper.{key}", sweeper[key], 1)
    if "optuna" in sweeper._target_:
        direction = direction_of(sweeper)
        problems += checks.choice("ntkrun", "hydra.sweeper.direction", direction, ["minimize", "maximize"])
        problems += _storage(sweeper.storage)
        if config.study is not None:
            remedy = "A study has no score to choose by. Add study=null, or leave hydra/sweeper=optuna out."
            problems.append(must_be("study", "ntkrun", "null beside Optuna", config.study, remedy))
    if problems:
        raise ConfigError(" ".join(problems))
    return direction


def direction_of(sweeper: Any) -> Any:
    """Return the `direction` of a sweeper's settings: "minimize", "maximize", or whatever else is given."""
    given = sweeper.get("direction")
    if not isinstance(given, str) and hasattr(given, "__len__"):
        given = given[0] if len(given) == 1 else list(given)
    return getattr(given, "name", given)  # Hydra turns the words into an enumeration, or leaves them


def _storage(url: Any) -> list[str]:
    """Return a sentence for a database that Optuna 2 cannot open: it never commits under SQLAlchemy 2."""
    if not isinstance(url, str) or url.startswith("redis"):
        return []
    ours = {name: version(name) for name in ("optuna", "sqlalchemy")}
    if int(ours["optuna"].split(".")[0]) > 2 or int(ours["sqlalchemy"].split(".")[0]) < 2:
        return []
    constraint = f"null with Optuna {ours['optuna']} beside SQLAlchemy {ours['sqlalchemy']}"
    remedy = 'To keep studies: pip install "sqlalchemy<2" "alembic<1.16".'
    return [must_be("hydra.sweeper.storage", "ntkrun", constraint, redacted(url), remedy)]


def number(outcome: dict[str, Any], direction: str) -> float:
    """Return the number of a job for Optuna, from its score on held-out rows.

    A job without a finite score gets the worst number there is, so it is never the best.
    """
    valid = outcome.get("valid", math.nan)
    if not math.isfinite(valid):
        return math.inf if direction == "minimize" else -math.inf
    return float(NUMBERS[direction, outcome["metric"]][1](valid))


def best(outcomes: list[dict[str, Any]], direction: str) -> str | None:
    """Return a line about the best of a sweep's jobs; None where no job has a score."""
    scored = [job for job in outcomes if math.isfinite(job.get("valid", math.nan))]
    if not scored:
        return None
    first = min(scored, key=lambda job: number(job, "minimize"))
    name = NUMBERS[direction, first["metric"]][0]
    done = direction.replace("ize", "ised")
    return (
        f"best          job {first['number']}: {first['metric']} {first['valid']:.4f} on held-out rows   "
        f"(Optuna has {done} {name})"
    )
