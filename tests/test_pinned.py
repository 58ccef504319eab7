"""Pinned numbers: they change only together with the heading "Changed numbers" of CHANGELOG.md and a version.

Three figures of a tiny, fixed problem for each method: one inner product of features, the norm of
the whole Gram matrix, and the test score of a run on a hundred digits. Regenerate with
`python -m tests.test_pinned`.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from ntkrun.datasets.digits import Digits
from ntkrun.maths import method as methods
from ntkrun.stages import featurize, regress, score
from ntkrun.stages.solver import Ridge

FILE = Path(__file__).parent / "data" / "pinned.json"
PINNED = json.loads(FILE.read_text()) if FILE.exists() else {}
X = np.random.default_rng(11).normal(size=(5, 6, 5, 2))


def figures(name, folder):
    cls = methods.get(name)
    size = {"n_components": 256} if "n_components" in cls().get_params() else {}
    method = cls(**size, dtype="float64").fit(X)
    gram = method.kernel(X)
    if method.kind == "features":
        z = method.transform(X)
        gram = z @ z.T
    method, split = cls(**size), Digits(n_train=100, n_test=60).load()
    features = featurize.run(split, method, folder, 64)
    solve = regress.run_kernel if method.kind == "kernel" else regress.run
    scores = score.run(solve(features, 10, Ridge(lambda_count=7)), features, 10)
    return {"entry": float(gram[0, 1]), "norm": float(np.linalg.norm(gram)), "accuracy": scores.value}


@pytest.mark.parametrize("name", sorted(methods.METHODS))
def test_numbers_have_not_moved(name, tmp_path):
    now, then = figures(name, tmp_path), PINNED[name]
    assert now["entry"] == pytest.approx(then["entry"], rel=1e-6)
    assert now["norm"] == pytest.approx(then["norm"], rel=1e-6)
    # one image of sixty may tip over with another BLAS
    assert now["accuracy"] == pytest.approx(then["accuracy"], abs=1.5 / 60)


if __name__ == "__main__":
    import tempfile

    record = {}
    for method_name in sorted(methods.METHODS):
        with tempfile.TemporaryDirectory() as where:
            record[method_name] = figures(method_name, Path(where))
    FILE.write_text(json.dumps(record, indent=1) + "\n")
