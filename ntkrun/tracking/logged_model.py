"""Publish the model of a run as a logged model, which MLflow lists under Models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

NAME = "model"  # `runs:/<id>/model` finds the logged model by this name


def log(client: Any, experiment: str, run_id: str, folder: Path, params: dict[str, str]) -> str | None:
    """Copy a saved model to MLflow and return its id; None if the server is too old to know logged models.

    `folder` holds the model. The run must be RUNNING: if this process is killed, `remove` finds what it left.
    """
    from mlflow.entities import LoggedModelOutput
    from mlflow.exceptions import MlflowException

    try:
        model = client.create_logged_model(experiment, NAME, source_run_id=run_id, params=params)
    except MlflowException as error:
        if error.get_http_status_code() != 404:
            raise
        return None
    client.log_model_artifacts(model.model_id, str(folder))
    client.finalize_logged_model(model.model_id, "READY")
    client.log_outputs(run_id, [LoggedModelOutput(model.model_id, 0)])
    return model.model_id


def remove(client: Any, experiment: str, run_id: str) -> None:
    """Delete the logged models of a run whose publisher was killed."""
    from mlflow.exceptions import MlflowException

    try:
        left = client.search_logged_models([experiment], filter_string=f"source_run_id = '{run_id}'")
    except MlflowException as error:
        if error.get_http_status_code() != 404:
            raise
        return
    for model in left:
        client.delete_logged_model(model.model_id)
