"""Check the settings of Optuna as a sweeper, and give it a number per job.

Optuna minimises by default, which would look for the worst accuracy, and it ends the sweep at a trial without
a number. So every job returns a number, and it fits the direction: a better model has a better number.
"""

from __future__ import annotations

import math
from importlib.metadata import version
from typing import Any

from ntkrun import checks
from ntkrun.errors import ConfigError, must_be
from ntkrun.log import redacted

RESULTS = "optimization_results.yaml"
# by direction and metric: name and formula of the number; `value` is the held-out score
NUMBERS = {
    ("minimize", "accuracy"): ("1 - accuracy", lambda value: 1 - value),
    ("maximize", "accuracy"): ("accuracy", lambda value: value),
    ("minimize", "mse"): ("mse", lambda value: value),
    ("maximize", "mse"): ("-mse", lambda value: -value),
}


def check(config: Any) -> str | None:
    """Return the direction of Optuna's sweep; None for another sweeper.

    `config` is Hydra's whole configuration. Raises ConfigError for settings that cannot work.
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
            problems.append(must_be("study", "ntkrun", "null with Optuna", config.study, remedy))
    if problems:
        raise ConfigError(" ".join(problems))
    return direction


def direction_of(sweeper: Any) -> Any:
    """Return `direction` from a sweeper's settings: "minimize", "maximize", or any other value given."""
    given = sweeper.get("direction")
    if not isinstance(given, str) and hasattr(given, "__len__"):
        given = given[0] if len(given) == 1 else list(given)
    return getattr(given, "name", given)  # Hydra may turn the word into an enumeration's member


def _storage(url: Any) -> list[str]:
    """Return a sentence for a database that Optuna 2 cannot use: under SQLAlchemy 2 it never commits."""
    if not isinstance(url, str) or url.startswith("redis"):
        return []
    ours = {name: version(name) for name in ("optuna", "sqlalchemy")}
    if int(ours["optuna"].split(".")[0]) > 2 or int(ours["sqlalchemy"].split(".")[0]) < 2:
        return []
    constraint = f"null with Optuna {ours['optuna']} and SQLAlchemy {ours['sqlalchemy']}"
    remedy = 'To keep studies: pip install "sqlalchemy<2" "alembic<1.16".'
    return [must_be("hydra.sweeper.storage", "ntkrun", constraint, redacted(url), remedy)]


def number(outcome: dict[str, Any], direction: str) -> float:
    """Return the number of a job for Optuna, from its score on held-out rows.

    Without a finite score it is the worst number there is.
    """
    valid = outcome.get("valid", math.nan)
    if not math.isfinite(valid):
        return math.inf if direction == "minimize" else -math.inf
    return float(NUMBERS[direction, outcome["metric"]][1](valid))


def best(outcomes: list[dict[str, Any]], direction: str) -> str | None:
    """Return a line about the best job of a sweep; None if no job has a score."""
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
