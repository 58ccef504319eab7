"""Models and run folders of earlier versions: written on 2026-11-26 by revision a2022e3."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from ntkrun.cli import main as cli
from ntkrun.datasets.digits import Digits
from ntkrun.model import Model

BEFORE = Path(__file__).parent / "data" / "before"
RUNS = sorted(path.name for path in (BEFORE / "runs").iterdir())


@pytest.fixture
def before(tmp_path):
    return shutil.copytree(BEFORE, tmp_path / "outputs")


def test_the_shim_of_saved_models_is_there(before):
    import mlflow

    folder = before / "runs" / RUNS[0] / "model"
    assert "loader_module: ntkrun.serving" in (folder / "MLmodel").read_text()
    images = np.load(folder / "model.npz")["sample"]
    served = mlflow.pyfunc.load_model(str(folder)).predict(images)
    assert np.array_equal(served, Model.load(folder).predict(images))


@pytest.mark.parametrize("name", RUNS)
def test_a_saved_model_predicts_as_then(before, name):
    folder = before / "runs" / name
    config, result = (json.loads((folder / f"{f}.json").read_text()) for f in ("config", "result"))
    test = Digits(**{k: v for k, v in config["dataset"].items() if k != "name"}).load().test
    model = Model.load(folder / "model")
    assert repr(model) == f"Model({config['method']['name']}, inputs 8 x 8 x 1, 10 classes)"
    # one image may tip over with another BLAS
    assert np.mean(model.predict(test.x) == test.y) == pytest.approx(
        result["test/accuracy"], abs=1.5 / len(test.y)
    )


@pytest.mark.parametrize("name", RUNS)
def test_a_run_is_repeated_from_its_record(before, name, capsys):
    folder = before / "runs" / name
    then = json.loads((folder / "result.json").read_text())
    # another processor may round in another way, which is exit code 4
    assert cli.main(["rerun", str(folder)]) in (0, 4)
    (new,) = {path.name for path in (before / "runs").iterdir()} - set(RUNS)
    now = json.loads((before / "runs" / new / "result.json").read_text())
    assert now["features_key"] == then["features_key"]
    for key in ("test/accuracy", "valid/accuracy", "n_train", "feature_dim", "data_sha256"):
        assert now[key] == (pytest.approx(then[key], abs=0.06) if "accuracy" in key else then[key])
    assert set(now) >= set(then) - {"mlflow/run_id"}


def test_runs_are_listed_verified_and_reported(before, capsys):
    assert cli.main(["list", str(before)]) == 0
    assert cli.main(["verify", str(before)]) == 0
    assert cli.main(["report", str(before)]) == 0
    out = capsys.readouterr().out
    assert f"2 runs in {before / 'report.html'}" in out
    page = (before / "report.html").read_text()
    assert "cntk_sketch" in page
    assert "exact_ntk" in page
