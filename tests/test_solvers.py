"""The solver of stored features takes the cheaper side, with the same result."""

import numpy as np
import pytest
import torch

from ntkrun.executors.serial import Serial
from ntkrun.maths.ridge import gram
from ntkrun.solvers.products import Products
from ntkrun.solvers.ridge import Equations, Ridge
from ntkrun.stages.regress import explore
from ntkrun.store.features import Train, Valid
from ntkrun.store.shards import ShardStore

RELATIVE = [1e-6, 1e-4, 1e-2]


def stored(folder, rows, columns, shard=16, classes=3):
    """Return Train and Valid of random float64 features in shards."""
    rng = np.random.default_rng(0)
    store, parts = ShardStore(folder, {}), {}
    for role, n in (("train", rows), ("valid", rows // 4)):
        parts[role] = [f"{role}-{i:05d}.h5" for i in range(0, n, shard)]
        for i, name in zip(range(0, n, shard), parts[role], strict=True):
            z = rng.normal(size=(min(shard, n - i), columns)) + 2
            store.write(name, role, i, z, rng.integers(0, classes, len(z)), 0.0)
    rest = torch.device("cpu"), columns, 1, classes
    return Train(store, parts["train"], *rest), Valid(store, parts["valid"], *rest)


@pytest.mark.parametrize("columns", [40, 99, 100, 101, 160])
def test_either_side_gives_the_same_fits_scores_and_refit(tmp_path, monkeypatch, columns):
    monkeypatch.setattr(gram, "HELD_BYTES", 8 * columns * 40)  # several passes over the shards
    train, valid = stored(tmp_path, 80, columns)
    assert len(train) + len(valid) == 100
    chosen = Ridge().primal(train, valid, Serial())
    assert type(chosen) is (Products if columns > 100 else Equations)
    sides = Products(train, valid), Equations(train, valid, Serial())
    found = [explore(side, RELATIVE) for side in sides]
    assert found[0] == found[1]
    dual, primal = (side.refit(1e-4) for side in sides)
    assert dual.lam == pytest.approx(primal.lam, rel=1e-12)
    z = next(valid.batches())[0]
    assert torch.allclose(dual.predict(z), primal.predict(z), atol=1e-8, rtol=0)


def test_the_memory_plan_is_that_of_the_smaller_side():
    wide, tall = Ridge().bytes(96, 65_536, 1), Ridge().bytes(65_536, 96, 1)
    assert wide < 100 << 20 and tall < 1 << 20
    assert Ridge().bytes(4096, 4096, 1) == 16 * 4096**2
