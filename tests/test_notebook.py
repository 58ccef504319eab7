"""Test what a notebook shows: an estimator's HTML, the path of lambda, a figure of a run, progress."""

import importlib.metadata
import json
import subprocess
import sys
import types
from email.message import Message
from pathlib import Path

import numpy as np
import pytest
import torch

import ntkrun as package
from ntkrun import NTKRidgeClassifier, NTKRidgeRegressor, NTKSketch, plot_run
from ntkrun.errors import DataError
from ntkrun.maths import documented
from ntkrun.progress import progress

TINY = ["dataset.n_train=60", "dataset.n_test=20", "feature_dim=48", "depth=2", "baseline=none"]
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def rows():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(120, 5))
    return x, np.stack([np.sin(x[:, 0]), rng.normal(size=120)], 1)


def test_the_path_of_lambda_is_the_grid_with_its_errors(rows):
    x, y = rows
    model = NTKRidgeRegressor(NTKSketch(64), lambda_count=9, lambda_min=1e-6).fit(x, y)
    lambdas, errors = model.lambda_path_
    assert lambdas.shape == errors.shape == (9,)
    assert lambdas.dtype == errors.dtype == np.float64
    assert np.allclose(np.diff(np.log(lambdas)), np.log(1e5) / 8)
    assert model.lambda_ == pytest.approx(lambdas[errors.argmin()], rel=0.3)
    assert model.n_features_in_ == 5
    each = NTKRidgeRegressor(NTKSketch(64), lambda_count=9, alpha_per_target=True).fit(x, y)
    lambdas, errors = each.lambda_path_
    assert (lambdas.shape, errors.shape) == ((9,), (9, 2))
    assert np.allclose(each.lambda_, lambdas[errors.argmin(0)], rtol=0.3)


def test_the_path_of_lambda_follows_new_batches_and_needs_held_out_rows(rows):
    x, y = rows
    model = NTKRidgeRegressor(NTKSketch(64)).partial_fit(x[:60], y[:60])
    first = model.lambda_path_[1]
    assert not np.allclose(model.partial_fit(x[60:], y[60:]).lambda_path_[1], first)
    alone = NTKRidgeRegressor(NTKSketch(64), lambda_count=9, validation_fraction=1e-9).fit(x, y)
    lambdas, errors = alone.lambda_path_
    assert np.isnan(errors).all()
    assert alone.lambda_ == pytest.approx(lambdas[4])


def test_tensors_have_features_in_too(rows):
    x, y = rows
    labels = torch.from_numpy((y[:, 0] > 0).astype(int))
    model = NTKRidgeClassifier(NTKSketch(64)).fit(torch.from_numpy(x), labels)
    assert model.n_features_in_ == 5
    assert model.predict(x).shape == (120,)


def test_the_html_links_to_the_documentation(monkeypatch):
    documented.address.cache_clear()
    page = (ROOT / "docs" / "api.md").as_uri()
    for estimator in (NTKRidgeClassifier(NTKSketch(64)), NTKSketch(64)):
        assert f'href="{page}"' in estimator._repr_html_()
        assert "https://scikit-learn.org" not in estimator._repr_html_()

    class Mine(NTKSketch):
        __module__ = "mine"

    assert Mine(64)._get_doc_link() == ""
    urls = Message()
    urls["Project-URL"] = "Documentation, https://docs.example/ntkrun/"
    monkeypatch.setattr(documented, "metadata", lambda name: urls)
    documented.address.cache_clear()
    assert NTKSketch(64)._get_doc_link() == "https://docs.example/ntkrun/api.html#ntkrun.NTKSketch"
    monkeypatch.setattr(documented, "__file__", "/nowhere/site-packages/ntkrun/maths/documented.py")

    def absent(name):
        raise importlib.metadata.PackageNotFoundError

    monkeypatch.setattr(documented, "metadata", absent)
    documented.address.cache_clear()
    assert NTKSketch(64)._get_doc_link() == ""
    documented.address.cache_clear()


def test_a_run_is_one_figure(ntkrun, tmp_path):
    from matplotlib import pyplot as plt

    assert ntkrun(*TINY)[0] == 0
    (folder,) = (ntkrun.out / "runs").iterdir()
    opened, figure = plt.get_fignums(), plot_run(str(folder))
    assert plt.get_fignums() == opened
    titles = [axes.get_title() for axes in figure.axes]
    result = json.loads((folder / "result.json").read_text())
    assert titles[0].startswith("accuracy along lambda; chosen ")
    assert titles[1] == f"test accuracy {result['test/accuracy']:.4f}"
    assert titles[-1].startswith("time per phase, ") or titles[-2].startswith("time per phase, ")
    figure.savefig(tmp_path / "run.png")
    assert (tmp_path / "run.png").stat().st_size > 20_000
    (folder / "predictions.npz").unlink()  # as in runs of earlier versions
    assert len(plot_run(folder).axes) == 2
    status = json.loads((folder / "status.json").read_text())
    (folder / "status.json").write_text(json.dumps({**status, "status": "FAILED"}))
    with pytest.raises(DataError, match=r"has not finished \(FAILED\): it has no score to draw"):
        plot_run(folder)
    with pytest.raises(DataError, match="is not a run folder"):
        plot_run(tmp_path)


def test_a_regression_shows_predicted_against_true(ntkrun, tmp_path):
    path = tmp_path / "rows.csv"
    table = np.random.default_rng(0).normal(size=(80, 4))
    np.savetxt(path, table, delimiter=",", header="a,b,c,y", comments="")
    assert ntkrun("dataset=csv", f"dataset.path={path}", "method=raw", "baseline=none")[0] == 0
    (folder,) = (ntkrun.out / "runs").iterdir()
    test = plot_run(folder).axes[1]
    assert test.get_title().startswith("test mean squared error ")
    assert (test.get_xlabel(), test.get_ylabel()) == ("true", "predicted")


def test_the_helper_is_public_and_costs_nothing_before_its_call():
    assert "plot_run" in dir(package)
    code = "import sys, ntkrun; dir(ntkrun); heavy = {'torch', 'matplotlib', 'mlflow'} & set(sys.modules)"
    code += "; assert not heavy, heavy; ntkrun.plot_run; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_progress_in_a_notebook_is_a_bar_that_ends_as_a_line(monkeypatch):
    shown = []

    class Handle:
        def update(self, html):
            shown.append(html)

    def display(html, display_id):
        shown.append(html)
        return Handle()

    cells = types.ModuleType("IPython.display")
    cells.HTML, cells.display = str, display
    shell = types.ModuleType("IPython")
    shell.get_ipython, shell.display = lambda: types.SimpleNamespace(kernel=1), cells
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setitem(sys.modules, "IPython.display", cells)
    clock = iter(range(100))
    monkeypatch.setattr("ntkrun.progress.time", types.SimpleNamespace(monotonic=lambda: next(clock)))
    with progress("featurize <1>", 4, "rows") as advance:
        for _ in range(4):
            advance(1)
    assert 'value="1"' in shown[0]
    assert "featurize &lt;1&gt;: <progress" in shown[0]
    assert "1 of 4 rows, 3 s left" in shown[0]
    assert shown[-1] == "<div>featurize &lt;1&gt;: 4 of 4 rows in 5.0 s</div>"
    shown.clear()
    monkeypatch.setattr("ntkrun.progress.time", types.SimpleNamespace(monotonic=lambda: 0.0))
    with progress("short", 1, "rows") as advance:
        advance(1)
    assert shown == []
    shell.get_ipython = lambda: types.SimpleNamespace()  # IPython on a terminal
    with progress("short", 1, "rows") as advance:
        advance(1)
    assert shown == []
