"""Test whole runs on real CIFAR-10 images; skipped with a reason if the archive is absent."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import torch

from ntkrun.cli import main as cli
from ntkrun.datasets.cifar10 import Cifar10
from ntkrun.maths import metrics
from ntkrun.maths.method import METHODS
from ntkrun.maths.method.cntk_nystrom import CNTKNystrom
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.metrics import frobenius_error
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.ridge.streamed import Streamed
from ntkrun.stages import featurize


def test_cifar10_images_are_learned(cifar_archive, tmp_path, capsys):
    words = ["dataset=cifar10", f"dataset.path={cifar_archive}", "dataset.n_train=1000", "dataset.n_test=500"]
    code = cli.main([*words, "feature_dim=1024", "baseline=estimate", f"output_dir={tmp_path}"])
    assert code == 0, capsys.readouterr().err
    result = json.loads(next(tmp_path.glob("runs/*/result.json")).read_text())
    # 43 % at the time of writing; chance is 10 %
    assert 0.38 < result["test/accuracy"] < 0.6
    assert result["speedup"] > 100
    assert result["exact/time_kind"] == "extrapolated"


def test_both_convolutional_features_are_near_the_exact_kernel(cifar_archive):
    split = Cifar10(path=str(cifar_archive), n_train=600, n_test=12).load()
    held_out, exact = split.batch("test", 0, 12, torch.float32), None
    errors = {}
    for cls, options in ((CNTKSketch, {}), (CNTKNystrom, {"sample_images": 64, "candidates": 1024})):
        method = cls(1024, **options)
        z = method.fit(split.sample(method.sample_rows, torch.float32)).transform(held_out)
        exact = method.kernel(held_out) if exact is None else exact
        errors[cls] = frobenius_error(z @ z.T, exact)
    # .034 and .075 at the time of writing
    assert max(errors.values()) < 0.12, errors


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(("feature_dim", "limit"), [(8192, 4096), (16384, 8192)])
@pytest.mark.parametrize("method", ["cntk_sketch", "cntk_nystrom"])
def test_memory_stays_in_its_bounds(method, feature_dim, limit, cifar_archive, tmp_path):
    words = [f"method={method}", "dataset=cifar10", f"dataset.path={cifar_archive}", "dataset.n_train=600"]
    words += ["dataset.n_test=100", f"feature_dim={feature_dim}", "solver.lambda_count=1", "baseline=none"]
    # a separate process, since memory of other tests would count
    command = [sys.executable, "-m", "ntkrun", *words, f"output_dir={tmp_path}"]
    subprocess.run(command, check=True, capture_output=True)
    result = json.loads(next(tmp_path.glob("runs/*/result.json")).read_text())
    # the pixels of all 60,000 images are loaded before the subset is taken
    assert 200 < result["memory/peak_rss_mb"] < limit


@pytest.mark.slow
def test_cifar10_small_reaches_the_prototype_in_little_memory(cifar_archive, tmp_path, capsys):
    code = cli.main(["experiment=cifar10_small", f"dataset.path={cifar_archive}", f"output_dir={tmp_path}"])
    assert code == 0, capsys.readouterr().err
    result = json.loads(next(tmp_path.glob("runs/*/result.json")).read_text())
    assert result["test/accuracy"] >= 0.56
    assert result["memory/peak_rss_mb"] < 3000


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_both_solvers_come_to_the_same_objective(cifar_archive, tmp_path):
    split = Cifar10(path=str(cifar_archive), n_train=3000, n_test=100).load()
    method = METHODS.get("cntk_sketch")(2048)
    features = featurize.run(split, method, tmp_path, 512)
    z, y = (torch.cat(part) for part in zip(*features.train.batches(), strict=True))
    y = metrics.targets(y, 10)
    equations, grid = NormalEquations(), [1e-6, 1e-5, 1e-4, 1e-3, 1e-2]
    equations.add(z, y)

    def objective(fit):
        return float((fit.predict(z) - y).square().sum() / len(z) + fit.lam * fit.weight.square().sum())

    def batches():
        return ((z, metrics.targets(y, 10)) for z, y in features.train.batches())

    streamed = Streamed(batches, 512).solve(grid, 1e-4, 300)
    for fit, exact in zip(streamed.fits, equations.path(grid), strict=True):
        assert 1 - 1e-9 < objective(fit) / objective(exact) < 1 + 1e-4


@contextmanager
def group_of_at_most(size):
    """Make a control group limited to `size` bytes, page cache included; yield it and its peak."""
    first = Path("/sys/fs/cgroup/memory")  # version 1
    group = (first if first.is_dir() else Path("/sys/fs/cgroup")) / f"ntkrun-{os.getpid()}"
    limit, peak = ("limit_in_bytes", "max_usage_in_bytes") if first.is_dir() else ("max", "peak")
    try:
        group.mkdir()
        (group / f"memory.{limit}").write_text(str(size))
    except OSError:
        pytest.skip("needs leave to make a control group of memory")
    try:
        yield group, lambda: int((group / f"memory.{peak}").read_text())
    finally:
        group.rmdir()


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_features_ten_times_the_memory(cifar_archive, tmp_path):
    """Within 1 GiB, 11 GiB of features are written, and read for every step of the solver."""
    words = ["dataset=protein", f"data_dir={cifar_archive.parent}", "method=rff", "feature_dim=65536"]
    words += ["solver=ridge_cg", "solver.rank=128", "solver.lambda_count=2", "solver.lambda_min=1e-3"]
    words += ["solver.tolerance=1e-2", "baseline=none", "tracking.uri=sqlite:///:memory:", "shard_rows=128"]
    command = [sys.executable, "-m", "ntkrun", *words, f"output_dir={tmp_path}"]
    with group_of_at_most(1 << 30) as (group, peak):
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid())),
        )
        assert done.returncode == 0, done.stderr
        assert peak() <= 1 << 30
    written = sum(p.stat().st_size for p in tmp_path.glob("features/*/*.h5"))
    shutil.rmtree(tmp_path / "features")
    assert written > 10 << 30
