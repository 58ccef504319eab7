"""Pin numbers: they may change only with a version and an entry under "Changed numbers" in CHANGELOG.md.

Each method has three numbers of a tiny, fixed problem: one inner product of features, the norm of the whole
Gram matrix, and the test score of a run on a hundred digits. Regenerate with `python -m tests.test_pinned`.
"""

import json
from pathlib import Path

import numpy as np
import pytest

from ntkrun.datasets.digits import Digits
from ntkrun.executors.serial import Serial
from ntkrun.maths.method import METHODS
from ntkrun.maths.method.kernel import KernelMethod
from ntkrun.solvers.ridge import Ridge
from ntkrun.stages import featurize, regress, score

FILE = Path(__file__).parent / "data" / "pinned.json"
PINNED = json.loads(FILE.read_text()) if FILE.exists() else {}
X = np.random.default_rng(11).normal(size=(5, 6, 5, 2))


def figures(name, folder):
    cls = METHODS.get(name)
    size = {"n_components": 256} if "n_components" in cls().get_params() else {}
    method = cls(**size, dtype="float64").fit(X)
    gram = method.kernel(X)
    if not isinstance(method, KernelMethod):
        z = method.transform(X)
        gram = z @ z.T
    method, split = cls(**size), Digits(n_train=100, n_test=60).load()
    features = featurize.run(split, method, folder, 64)
    fit = regress.run(features.train, features.valid, method, Ridge(lambda_count=7), Serial())
    scores = score.run(fit, features.test)
    return {"entry": float(gram[0, 1]), "norm": float(np.linalg.norm(gram)), "accuracy": scores.value}


@pytest.mark.parametrize("name", METHODS.names)
def test_numbers_have_not_moved(name, tmp_path):
    now, then = figures(name, tmp_path), PINNED[name]
    assert now["entry"] == pytest.approx(then["entry"], rel=1e-6)
    assert now["norm"] == pytest.approx(then["norm"], rel=1e-6)
    # one image of sixty may change class with another BLAS
    assert now["accuracy"] == pytest.approx(then["accuracy"], abs=1.5 / 60)


if __name__ == "__main__":
    import tempfile

    record = {}
    for method_name in METHODS.names:
        with tempfile.TemporaryDirectory() as where:
            record[method_name] = figures(method_name, Path(where))
    FILE.write_text(json.dumps(record, indent=1) + "\n")
