"""Open MLflow's list of runs with the columns that matter.

MLflow keeps in the browser which of its two views it shows (for language models or for training), whether
its assistant is open, and the columns of each list. `create_app` is MLflow's server with one page more,
/ntkrun, which sets what the reader has not chosen yet, and goes on to the list. pyproject.toml names it for
`mlflow server --app-name ntkrun`. `link` does without the page, for a server that others run: there the
columns are a shared view.
"""

from __future__ import annotations

import contextlib
import json
import os
from typing import Any

PATH = "/ntkrun"
VARIABLE = "NTKRUN_PAGES"  # JSON: the experiment's name, and the state of its list
# keys and values of the browser's storage, as MLflow 3 names them
VIEW = {"mlflow.workflowType_v1": "machine_learning", "mlflow.assistant.fab.autoOpenedOnFirstLoad_v1": True}
LIST = "MLflowLocalStorage-1.1-ExperimentPage-{}-ReactComponentState"
SHARED = "mlflow.sharedViewState."
RUNS = "/#/experiments/{}/runs?workflowType=machine_learning"

PAGE = """<!doctype html><meta charset="utf-8"><title>ntkrun</title><p id="said">Opening the list of runs.</p>
<script>
const given = %s;
const read = (key) => JSON.parse(localStorage.getItem(key));
const write = (key, value) => localStorage.setItem(key, JSON.stringify(value));
const open = async () => {
  const name = encodeURIComponent(given.experiment);
  const answer = await fetch("ajax-api/2.0/mlflow/experiments/get-by-name?experiment_name=" + name);
  if (!answer.ok) throw new Error("There is no experiment " + given.experiment + " in this store.");
  const id = (await answer.json()).experiment.experiment_id;
  for (const [key, value] of Object.entries(given.view)) if (read(key) === null) write(key, value);
  const list = given.list.replace("{}", JSON.stringify([id]));
  const old = read(list) || {}, ours = "ntkrun.columns." + id, state = given.state;
  const chosen = old.selectedColumns && JSON.stringify(old.selectedColumns) !== JSON.stringify(read(ours));
  const columns = chosen ? old.selectedColumns : state.selectedColumns;
  if (!chosen) write(ours, columns);
  const expanded = { ...state.runsExpanded, ...old.runsExpanded };
  write(list, { ...old, selectedColumns: columns, runsExpanded: expanded });
  location.replace("." + given.runs.replace("{}", id));
};
open().catch((error) => { document.getElementById("said").textContent = error.message; });
</script>
"""


def page(experiment: str, state: dict[str, Any]) -> str:
    """Return the page that opens an experiment's list of runs in the given state."""
    given = {"experiment": experiment, "state": state, "view": VIEW, "list": LIST, "runs": RUNS}
    return PAGE % json.dumps(given).replace("<", "\\u003c")


def create_app() -> Any:
    """Return MLflow's server as an ASGI application, with the page; uvicorn calls this."""
    from mlflow.server.fastapi_app import app
    from starlette.responses import HTMLResponse
    from starlette.routing import Route

    shown = page(**json.loads(os.environ[VARIABLE]))
    # first, since MLflow's pages take every path
    app.router.routes.insert(0, Route(PATH, lambda request: HTMLResponse(shown)))
    return app


def link(uri: str, experiment: str, state: dict[str, Any]) -> str:
    """Return the address of an experiment's list on a server; without the columns if it refuses them."""
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    from mlflow.exceptions import MlflowException
    from mlflow.tracking import MlflowClient

    base, client = uri.rstrip("/"), MlflowClient(uri)
    address = f"{base}/#/experiments"
    with contextlib.suppress(MlflowException):  # the server may be down, or let us only read
        if found := client.get_experiment_by_name(experiment):
            address = base + RUNS.format(found.experiment_id)
            client.set_experiment_tag(found.experiment_id, SHARED + "ntkrun", json.dumps(state))
            address += "&viewStateShareKey=ntkrun"
    return address
