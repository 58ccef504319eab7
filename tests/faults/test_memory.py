"""L3: the memory that a run plans, against its measured peak."""

import json
import subprocess
import sys

import pytest

from tests.faults.plan import record

SIX = "solver.lambda_count=6"
CONFIGS = {
    "sketch 1024": ["method=cntk_sketch", "feature_dim=1024"],
    "sketch 4096": ["method=cntk_sketch", "feature_dim=4096"],
    "sketch 8192": ["method=cntk_sketch", "feature_dim=8192"],
    "sketch 8192, degree 4": ["method=cntk_sketch", "feature_dim=8192", "degree=4", "method.sketch_dim=128"],
    "rff 4096, shards of 4096": [
        "method=rff",
        "feature_dim=4096",
        "shard_rows=4096",
        "dataset.n_train=15000",
    ],
    "nystrom 4096": ["method=cntk_nystrom", "feature_dim=4096"],
    "nystrom 8192": ["method=cntk_nystrom", "feature_dim=8192"],
    "patches 8192": ["method=random_patches", "feature_dim=8192", "dataset.preprocess=zca"],
    "ckn 9216": ["method=ckn", "feature_dim=9216"],
    "union 9216": ["method=union", "feature_dim=9216"],
    "rff 8192": ["method=rff", "feature_dim=8192"],
    "grad_rf 8192": ["method=grad_rf", "feature_dim=8192"],
    "rff 8192 of 20000 rows": ["method=rff", "feature_dim=8192", "dataset.n_train=20000"],
    "rff 12288": ["method=rff", "feature_dim=12288"],
    "ntk_sketch 4096": ["method=ntk_sketch", "feature_dim=4096"],
    "ntk_nystrom 1024": ["method=ntk_nystrom", "feature_dim=1024"],
    "ntk_nystrom 4096": ["method=ntk_nystrom", "feature_dim=4096", "dataset.n_train=8000"],
    "rff 16384, ridge_cg": ["method=rff", "feature_dim=16384", "solver=ridge_cg"],
    "rff 16384, ridge_cg of six lambdas": ["method=rff", "feature_dim=16384", "solver=ridge_cg", SIX],
    "exact 4000": ["method=exact_ntk", "dataset.n_train=4000"],
}


@pytest.mark.slow
@pytest.mark.timeout(600)
@pytest.mark.parametrize("case", CONFIGS)
def test_planned_memory_is_what_is_used(case, cifar_archive, tmp_path):
    words = ["dataset=cifar10", f"dataset.path={cifar_archive}", "dataset.n_train=2500", "dataset.n_test=100"]
    words += [
        "shard_rows=512",
        "baseline=none",
        "solver.lambda_count=1",
        *CONFIGS[case],
        f"output_dir={tmp_path}",
    ]
    words.append("tracking.uri=sqlite:///:memory:")
    done = subprocess.run([sys.executable, "-m", "ntkrun", *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    result = json.loads(next(tmp_path.glob("runs/*/result.json")).read_text())
    ratio = result["memory/planned_mb"] / result["memory/peak_rss_mb"]
    assert 0.8 < ratio < 1.2, result
    record("L3", f"{case}: planned / measured peak = {ratio:.2f}", 1)
