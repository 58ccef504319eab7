import os
from pathlib import Path

import numpy as np
import pytest

from ntkrun import machine
from tests.cases.store import fresh

os.environ.setdefault("NTKRUN_OFFLINE", "1")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR", "0")  # do not wait between retries

machine.tune()  # before the first matrix product, as every program of ours does

ROOT = Path(__file__).resolve().parent.parent


def _shared_data():
    for folder in (ROOT.parent / "shared" / "data", Path(os.environ.get("NTKRUN_DATA_DIR", "/nonexistent"))):
        if (folder / "cifar-10-binary.tar.gz").is_file():
            return folder
    return None


@pytest.fixture(autouse=True)
def quick(request, monkeypatch):
    """Copy MLflow's empty tables and skip drawing, which together take half of a tiny run.

    Tests marked `pictures` draw, and so do other processes.
    """
    from ntkrun.report import run_figures as figures
    from ntkrun.tracking import database

    check = database.check

    def checked(file):
        cause = check(file)
        if cause is None:
            fresh(file)
        return cause

    monkeypatch.setattr(database, "check", checked)
    if not request.node.get_closest_marker("pictures"):
        monkeypatch.setattr(figures, "draw", lambda *_: None)


@pytest.fixture(scope="session")
def cifar_archive():
    folder = _shared_data()
    if folder is None:
        pytest.skip("no CIFAR-10 archive in ../shared/data or $NTKRUN_DATA_DIR")
    return folder / "cifar-10-binary.tar.gz"


@pytest.fixture(scope="session")
def oracle():
    with np.load(Path(__file__).parent / "data" / "exact_kernels.npz") as file:
        return dict(file)


@pytest.fixture
def tiny_npz(tmp_path):
    """Make images of 7 x 6 pixels and 2 channels, with the side of the brighter half as class."""
    rng = np.random.default_rng(3)

    def make(n):
        y = rng.integers(0, 2, n)
        x = rng.normal(size=(n, 7, 6, 2))
        x[np.arange(n), :, :, 0] += (
            np.where(np.arange(6)[None, None] < 3, 1, -1) * (2 * y - 1)[:, None, None] * 1.5
        )
        return x.astype(np.float32), y

    (a, b), (c, d) = make(120), make(60)
    path = tmp_path / "tiny.npz"
    np.savez(path, x_train=a, y_train=b, x_test=c, y_test=d)
    return path


@pytest.fixture
def ntkrun(tmp_path, capsys):
    """Run the command line in this process; return code, stdout, stderr. Output goes to tmp_path/out."""

    from ntkrun.cli import main as cli

    def run(*words):
        code = cli.main([*words, f"output_dir={tmp_path / 'out'}"])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    run.out = tmp_path / "out"
    return run


@pytest.fixture
def listening():
    """Let caplog hear the package."""
    from tests.images import heard

    with heard():
        yield


@pytest.fixture
def photos(tmp_path):
    """The folder of 24 images in three classes, and their array."""
    from tests.images import three_classes

    return three_classes(tmp_path)
