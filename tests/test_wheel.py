import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_installed_wheel_runs_from_an_empty_folder(tmp_path):
    dist, site, empty = tmp_path / "dist", tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(dist)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    (wheel,) = dist.glob("*.whl")
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
        assert "ntkrun/conf/config.yaml" in names
        assert not [n for n in names if n.startswith(("tests", "outputs", "scripts"))]
        file.extractall(site)  # as an installer does with a pure wheel
    env = {**os.environ, "PYTHONPATH": str(site)}
    where = subprocess.run(
        [sys.executable, "-c", "import ntkrun; print(ntkrun.__file__)"],
        cwd=empty,
        env=env,
        text=True,
        capture_output=True,
    )
    assert str(site) in where.stdout
    words = ["dataset.n_train=60", "dataset.n_test=20", "feature_dim=48", "depth=2", "baseline=none"]
    done = subprocess.run(
        [sys.executable, "-m", "ntkrun", *words],
        cwd=empty,
        env=env,
        text=True,
        capture_output=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    assert [p.name for p in empty.iterdir()] == ["outputs"]
    result = json.loads(next(empty.glob("outputs/runs/*/result.json")).read_text())
    assert 0 < result["test/accuracy"] <= 1
