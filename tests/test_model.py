"""Test that a saved model predicts as its run did: through ntkrun, through MLflow, over HTTP."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request

import numpy as np
import pytest

from ntkrun.cli import main as cli
from ntkrun.datasets.cifar10 import Cifar10
from ntkrun.errors import DataError, IntegrityError
from ntkrun.model import Model
from ntkrun.stages import score
from tests.faults.plan import record


@pytest.fixture
def trained(tmp_path, tiny_npz, monkeypatch):
    """Run with some words; return the run folder and the predictions of its test stage."""
    kept, run = [], score.run

    def keep(*arguments):
        kept.append(run(*arguments))
        return kept[-1]

    monkeypatch.setattr(score, "run", keep)

    def start(*words):
        fixed = ["dataset=npz", f"dataset.path={tiny_npz}", "feature_dim=64", "depth=2", "baseline=none"]
        assert cli.main([*fixed, *words, f"output_dir={tmp_path / 'out'}"]) == 0
        (folder,) = (tmp_path / "out").glob("runs/*")
        return folder, kept[0].prediction.numpy()

    return start


@pytest.mark.parametrize(
    "words",
    [
        ["method=cntk_sketch"],
        ["method=cntk_nystrom", "dataset.preprocess=zca", "dataset.augment=flip"],
        ["method=rff", "dataset.preprocess=contrast"],
        ["method=random_patches"],
        ["method=ntk_nystrom"],
        ["method=ckn"],
        ["method=union"],
        ["method=exact_ntk"],
        ["method=exact_cntk", "dataset.augment=flip", "dataset.n_train=40"],
    ],
    ids=lambda words: words[0],
)
def test_a_saved_model_predicts_what_its_run_did(trained, tiny_npz, words):
    folder, predicted = trained(*words)
    model = Model.load(folder / "model")
    x = np.load(tiny_npz)["x_test"]
    order = [int(np.abs(predicted - row).sum(1).argmin()) for row in model.values(x)]
    assert sorted(order) == list(range(len(x)))  # the test part is a permutation of the file's
    assert np.abs(predicted[order] - model.values(x)).max() < 1e-5
    assert np.array_equal(model.predict(x.reshape(len(x), -1)), model.values(x).argmax(1))
    assert model.values(x[:0]).shape == (0, 2)
    with pytest.raises(DataError, match=r"x of Model must be numbers of shape \(n, 7, 6, 2\)"):
        model.predict(x[:, :5])


def test_regression(tmp_path):
    rng = np.random.default_rng(0)
    table = rng.normal(size=(80, 4))
    np.savetxt(tmp_path / "t.csv", table, delimiter=",", header="a,b,c,y", comments="")
    words = ["dataset=csv", f"dataset.path={tmp_path / 't.csv'}", "method=ntk_sketch", "feature_dim=64"]
    assert cli.main([*words, "baseline=none", f"output_dir={tmp_path / 'out'}"]) == 0
    (folder,) = (tmp_path / "out").glob("runs/*")
    model = Model.load(folder / "model")
    assert model.predict(table[:5, :3]).shape == (5,)
    assert np.array_equal(model.predict(table[:5, :3]), model.values(table[:5, :3])[:, 0])


def test_mlflow_loads_it_from_the_run_and_from_the_folder(trained, tiny_npz, tmp_path, monkeypatch):
    import mlflow

    folder, predicted = trained("method=cntk_sketch")
    x = np.load(tiny_npz)["x_test"]
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'out' / 'mlflow.db'}")
    run_id = json.loads((folder / "result.json").read_text())["mlflow/run_id"]
    for place in (f"runs:/{run_id}/model", str(folder / "model")):
        served = mlflow.pyfunc.load_model(place)
        values = served.predict(x, params={"output": "values"})
        assert np.abs(np.sort(values, axis=0) - np.sort(predicted, axis=0)).max() < 1e-5
        assert np.array_equal(served.predict(x), values.argmax(1))
        example = served.metadata.load_input_example(str(folder / "model"))
        assert served.predict(np.asarray(example, np.float32)).shape == (1,)
        with pytest.raises(mlflow.exceptions.MlflowException, match="shape"):
            served.predict(x[:, :5])


def test_a_damaged_model_is_not_used(trained):
    folder, _ = trained("method=rff")
    path = folder / "model" / "model.npz"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(IntegrityError, match="is not the file that was saved"):
        Model.load(folder / "model")
    with pytest.raises(DataError, match="holds no model"):
        Model.load(folder / "figures")


class Gadget:
    def __reduce__(self):
        return os.mkdir, ("CANARY",)


def foreign(folder, changes, **arrays):
    """Change the model in `folder` as its owner could, together with the checksum."""
    path, changed = folder / "model.npz", json.loads((folder / "model.json").read_text())
    with np.load(path) as file:
        np.savez(path, **{**dict(file), **arrays})
    changed |= {"sha256": hashlib.sha256(path.read_bytes()).hexdigest()} | changes
    (folder / "model.json").write_text(json.dumps({k: v for k, v in changed.items() if v is not None}))


FOREIGN = {
    "objects in it": ({}, {"weight": np.array([Gadget()], object)}, DataError),
    "a method by importable name": (
        {"method": {"name": "os.system", "command": "mkdir CANARY"}},
        {},
        DataError,
    ),
    "a parameter that is code": ({"method": {"name": "rff", "_target_": "os.mkdir"}}, {}, DataError),
    "no method": ({"method": None}, {}, DataError),
    "a preprocessing by importable name": ({"preprocess": "os.mkdir"}, {}, DataError),
}


def test_a_model_from_someone_else_runs_nothing(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, _ = trained("method=rff")
    for case, (changes, arrays, error) in FOREIGN.items():
        copy = shutil.copytree(folder / "model", tmp_path / case)
        foreign(copy, changes, **arrays)
        with pytest.raises(error):
            Model.load(copy)
        assert not (tmp_path / "CANARY").exists()
        record("S9", f"a foreign model: {case}", 1)


@pytest.mark.slow
def test_served_over_http_on_real_images(cifar_archive, tmp_path):
    words = ["dataset=cifar10", f"dataset.path={cifar_archive}", "dataset.n_train=2000", "dataset.n_test=100"]
    assert cli.main([*words, "baseline=none", f"output_dir={tmp_path}"]) == 0
    (folder,) = tmp_path.glob("runs/*")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "model"), "-p", port]
    server = subprocess.Popen([*command, "--env-manager", "local"], start_new_session=True)
    try:
        x = Cifar10(path=str(cifar_archive), n_test=8).load().test.x

        def ask(body):
            place, kind = f"http://127.0.0.1:{port}/invocations", {"Content-Type": "application/json"}
            request = urllib.request.Request(place, json.dumps(body).encode(), kind)
            return json.loads(urllib.request.urlopen(request, timeout=60).read())["predictions"]

        deadline = time.monotonic() + 90
        while True:
            try:
                labels = ask({"inputs": x.tolist()})
                break
            except (urllib.error.URLError, ConnectionError):
                assert time.monotonic() < deadline
                time.sleep(1)
        model = Model.load(folder / "model")
        assert labels == model.predict(x).tolist()
        values = ask({"inputs": x.tolist(), "params": {"output": "values"}})
        assert np.abs(np.array(values) - model.values(x)).max() < 1e-5
        with pytest.raises(urllib.error.HTTPError) as caught:
            ask({"inputs": x[:, :5].tolist()})
        assert caught.value.code == 400
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(20)
