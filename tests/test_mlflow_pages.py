"""Test what MLflow's pages show of runs and sweeps, and which page `ntkrun ui` opens."""

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import urllib.request

import pytest

from ntkrun.cli import main as cli
from ntkrun.cli.commands import ui
from ntkrun.store.runs import load, scan
from ntkrun.tracking import logged_model, pages, publish, shown, view
from ntkrun.tracking.tracker import Tracker
from scripts.browser import MISSING, Browser, installed
from tests.server import pretend

TINY = ["dataset.n_train=60", "dataset.n_test=20", "feature_dim=48", "depth=2", "baseline=none"]


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    for name in ("MLFLOW_TRACKING_URI", "MLFLOW_EXPERIMENT_NAME", "NTKRUN_OUTPUT_DIR"):
        monkeypatch.delenv(name, raising=False)


def client_of(out):
    from mlflow.tracking import MlflowClient

    return MlflowClient(f"sqlite:///{out / 'mlflow.db'}")


def only(out):
    """Return the only run folder."""
    (folder,) = (out / "runs").iterdir()
    return folder


def test_a_run_has_a_description_a_data_set_and_a_model(ntkrun, monkeypatch):
    import mlflow

    assert ntkrun(*TINY, "tracking.experiment=mine")[0] == 0
    client, folder = client_of(ntkrun.out), only(ntkrun.out)
    result = json.loads((folder / "result.json").read_text())
    run = client.get_run(result["mlflow/run_id"])
    note = run.data.tags["mlflow.note.content"].splitlines()
    assert note[0].startswith(f"test accuracy {result['test/accuracy']:.4f} (held-out rows: ")
    assert "Data: digits, 60 training rows and 20 test rows, SHA-256 " in note[2]
    assert shlex.split(note[4].strip("`"))[:2] == ["ntkrun", TINY[0]]
    assert note[6] == f"`ntkrun rerun {folder}`"

    data = run.inputs.dataset_inputs[0].dataset
    assert (data.name, data.source_type) == ("digits", "local")
    assert json.loads(data.source) == {"uri": "scikit-learn's digits"}
    assert json.loads(data.profile) == {"training_rows": 60, "test_rows": 20}

    (model,) = client.search_logged_models([run.info.experiment_id])
    assert (model.source_run_id, str(model.status), model.name) == (run.info.run_id, "READY", "model")
    assert model.params["feature_dim"] == "48"
    scores = {metric.key: metric.value for metric in model.metrics}
    assert scores["test/accuracy"] == result["test/accuracy"]
    assert run.outputs.model_outputs[0].model_id == model.model_id
    names = {p.name for p in (ntkrun.out / "mlartifacts" / "mine" / run.info.run_id / "artifacts").iterdir()}
    assert "model" not in names  # it is not copied twice
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{ntkrun.out / 'mlflow.db'}")
    for place in (f"runs:/{run.info.run_id}/model", f"models:/{model.model_id}"):
        assert "ntkrun" in str(mlflow.pyfunc.load_model(place).metadata.flavors)


def test_parameters_that_nobody_compares_are_tags_and_floats_are_short(ntkrun):
    assert ntkrun(*TINY, "solver.lambda_min=1.23456789e-9")[0] == 0
    folder = only(ntkrun.out)
    result = json.loads((folder / "result.json").read_text())
    data = client_of(ntkrun.out).get_run(result["mlflow/run_id"]).data
    assert data.params["solver.lambda_min"] == "1.23457e-09"
    assert {"feature_dim", "seed", "depth", "method.name", "dataset.name", "dtype"} <= set(data.params)
    beside = {"output_dir", "executor.name", "skip_finished", "baseline", "shard_rows", "features"}
    assert beside <= set(data.tags)
    assert not beside & set(data.params)
    assert "None" not in data.params.values()
    assert not any(key.startswith("study") for key in (*data.params, *data.tags))
    assert data.metrics["system/process_memory_peak_megabytes"] == result["memory/peak_rss_mb"]
    assert 0 < data.metrics["system/cpu_utilization_percentage"] <= 101
    # what a sweep varies is compared, whatever it is
    params, tags = shown.compared(load(folder), varies=["shard_rows"])
    assert params["shard_rows"] == "512"
    assert "shard_rows" not in tags


def test_a_sweep_carries_its_report_and_says_what_it_varies(ntkrun):
    words = [w for w in TINY if "feature" not in w]
    assert ntkrun("-m", "feature_dim=48,64", "solver.lambda_max=0.1,0.30000000000000004", *words)[0] == 0
    client = client_of(ntkrun.out)
    runs = client.search_runs([client.get_experiment_by_name("ntkrun").experiment_id])
    (parent,) = (run for run in runs if "mlflow.parentRunId" not in run.data.tags)
    assert parent.info.run_name == "sweep feature_dim, solver.lambda_max"
    assert parent.info.status == "FINISHED"
    assert set(parent.data.params) == {"feature_dim", "solver.lambda_max"}
    assert parent.data.tags["baseline"] == "none"
    note = parent.data.tags["mlflow.note.content"]
    assert note.startswith("4 jobs: 4 ok; best accuracy ")
    assert "hydra.mode" not in note
    assert [item.path for item in client.list_artifacts(parent.info.run_id)] == ["report.html"]
    names = {run.info.run_name for run in runs} - {parent.info.run_name}
    assert names == {
        f"cntk_sketch {dim} s0 digits, lambda_max={end}" for dim in (48, 64) for end in ("0.1", "0.3")
    }


def test_what_a_killed_publisher_left_is_removed(ntkrun, monkeypatch):
    assert ntkrun(*TINY, "tracking.uri=http://127.0.0.1:9/nowhere")[0] == 0
    folder, tracker = only(ntkrun.out), Tracker.of({}, ntkrun.out)

    def killed(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(shown, "metrics", killed)  # after the model, before the scores
        with pytest.raises(KeyboardInterrupt):
            publish.publish(folder, tracker)
    client = client_of(ntkrun.out)
    experiment = client.get_experiment_by_name("ntkrun").experiment_id
    (left,) = client.search_runs([experiment])
    assert left.info.status == "RUNNING"
    run_id = publish.publish(folder, tracker)
    assert [run.info.run_id for run in client.search_runs([experiment])] == [run_id]
    assert [m.source_run_id for m in client.search_logged_models([experiment])] == [run_id]
    assert publish.publish(folder, tracker) == run_id


def test_a_server_without_logged_models_gets_the_model_as_an_artifact(ntkrun, monkeypatch):
    monkeypatch.setattr(logged_model, "log", lambda *_: None)
    assert ntkrun(*TINY)[0] == 0
    result = json.loads((only(ntkrun.out) / "result.json").read_text())
    assert "model" in {item.path for item in client_of(ntkrun.out).list_artifacts(result["mlflow/run_id"])}


@pytest.mark.parametrize(
    ("dataset", "expected"),
    [
        ({"name": "csv", "path": "/a/b.csv", "source": "https://c"}, ("local", {"uri": "/a/b.csv"})),
        ({"name": "csv", "path": None, "source": "https://c"}, ("http", {"url": "https://c"})),
        ({"name": "idx", "mirrors": [{"url": "https://d"}]}, ("http", {"url": "https://d"})),
        ({"name": "sklearn", "title": "iris"}, ("local", {"uri": "scikit-learn's iris"})),
        ({"name": "emnist", "data_dir": "/e"}, ("local", {"uri": "/e"})),
        ({"name": "npy", "path": None, "x_train": "/x.npy"}, ("local", {"uri": "/x.npy"})),
    ],
)
def test_a_data_set_has_a_source(dataset, expected):
    assert shown.source(dataset) == expected


def test_the_list_shows_scores_times_and_what_differs(ntkrun):
    for depth in (2, 3):
        assert ntkrun(*(w for w in TINY if "depth" not in w), f"depth={depth}")[0] == 0
    runs = list(scan(ntkrun.out))
    found = view.columns(runs)
    metrics = ["metrics.`valid/accuracy`", "metrics.`test/accuracy`", "metrics.`time/total_s`"]
    assert found == [*metrics, *(f"params.`{k}`" for k in ("method.name", "feature_dim", "seed", "depth"))]
    page = pages.page("</script>", view.state(runs, ntkrun.out))
    assert page.count("</script>") == 1


def addresses(text):
    return re.findall(r"https?://\S+", text)


def test_ui_follows_mlflows_variables_below_its_own_words(ntkrun, monkeypatch, tmp_path, capsys):
    assert ntkrun(*TINY, "tracking.experiment=recorded")[0] == 0
    called = pretend(monkeypatch)

    def told(*words):
        assert cli.main(["ui", str(ntkrun.out), *words]) == 0
        words, env = called[-1]
        return words[-1], json.loads(env[pages.VARIABLE])["experiment"]

    home = f"sqlite:///{ntkrun.out / 'mlflow.db'}"
    assert told() == (home, "recorded")
    for name in ("other", "third"):
        (tmp_path / f"{name}.db").touch()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'other.db'}")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "named")
    assert told() == (f"sqlite:///{tmp_path / 'other.db'}", "named")
    uri = f"sqlite:///{tmp_path / 'third.db'}"
    assert told("--uri", uri, "--experiment", "own") == (uri, "own")
    capsys.readouterr()
    before = len(called)
    assert cli.main(["ui", str(ntkrun.out), "--uri", "http://127.0.0.1:9"]) == 0
    assert addresses(capsys.readouterr().out) == ["http://127.0.0.1:9/#/experiments"]
    assert len(called) == before  # somebody serves it


def test_ui_names_what_keeps_it_from_starting(ntkrun, monkeypatch, capsys):
    assert ntkrun(*TINY)[0] == 0
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert cli.main(["ui", str(ntkrun.out), "--port", str(port)]) == 5
    assert f"port {port} of this machine cannot be used: Address already in use" in capsys.readouterr().err
    assert cli.main(["ui", str(ntkrun.out), "--port", "0"]) == 2
    real = subprocess.Popen
    monkeypatch.setattr(ui, "free", lambda port: None)
    code = "print('no module named x'); raise SystemExit(1)"
    monkeypatch.setattr(ui.subprocess, "Popen", lambda words, **m: real([sys.executable, "-c", code], **m))
    assert cli.main(["ui", str(ntkrun.out), "--port", str(port)]) == 5
    assert "MLflow's server did not start: no module named x." in capsys.readouterr().err


@pytest.fixture
def registered(tmp_path, monkeypatch):
    """An installation that names our page to MLflow, as this one may be of an earlier version."""
    folder = tmp_path / "installed" / "ntkrun-0.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text("Metadata-Version: 2.1\nName: ntkrun\nVersion: 0\n")
    (folder / "entry_points.txt").write_text("[mlflow.app]\nntkrun = ntkrun.tracking.pages:create_app\n")
    paths = [str(folder.parent), *filter(None, [os.environ.get("PYTHONPATH")])]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))


@pytest.mark.slow
@pytest.mark.pictures
def test_the_page_opens_the_list_of_the_training_view(ntkrun, registered):
    assert ntkrun("-m", "feature_dim=48,64", *(w for w in TINY if "feature" not in w))[0] == 0
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    words = [sys.executable, "-m", "ntkrun", "ui", str(ntkrun.out), "--port", str(port), "--no-browser"]
    process = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
    try:
        line = next(line for line in process.stdout if line.startswith("MLflow  "))
        address = f"http://127.0.0.1:{port}/ntkrun"
        assert addresses(line) == [address]
        with urllib.request.urlopen(address) as answer:
            assert "metrics.`test/accuracy`" in answer.read().decode()
        if not installed():
            pytest.skip(MISSING)
        with Browser() as browser:
            browser.address(address)
            browser.wait("return document.body.innerText.includes('cntk_sketch 64')")
            text = browser.run("return document.body.innerText")
            assert "GenAI" in text  # the switch between the two views
            assert "Evaluation runs" not in text
            assert "test/accuracy" in text
            assert "feature_dim" in text
            link = "[...document.querySelectorAll('a')].find(a => a.innerText.startsWith('cntk_sketch'))"
            browser.run(f"{link}.click()")
            browser.wait("return document.body.innerText.includes('test accuracy 0.')")
            assert "Evaluation runs" not in browser.run("return document.body.innerText")
    finally:
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    deadline = time.monotonic() + 20
    while ui._answers(port):
        assert time.monotonic() < deadline, "the server outlived its command"
