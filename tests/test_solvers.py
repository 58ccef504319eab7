"""The solver of stored features takes the cheaper side, with the same result."""

import numpy as np
import pytest
import torch

from ntkrun.executors.serial import Serial
from ntkrun.maths.ridge import gram, refine
from ntkrun.solvers import sums
from ntkrun.solvers.products import Products
from ntkrun.solvers.ridge import Equations, Ridge
from ntkrun.stages.regress import explore
from ntkrun.store.features import Train, Valid
from ntkrun.store.shards import ShardStore

RELATIVE = [1e-6, 1e-4, 1e-2]


def stored(folder, rows, columns, shard=16, classes=3, dtype=np.float64):
    """Return Train and Valid of random features in shards."""
    rng = np.random.default_rng(0)
    store, parts = ShardStore(folder, {}), {}
    for role, n in (("train", rows), ("valid", rows // 4)):
        parts[role] = [f"{role}-{i:05d}.h5" for i in range(0, n, shard)]
        for i, name in zip(range(0, n, shard), parts[role], strict=True):
            z = rng.normal(size=(min(shard, n - i), columns)) + 2
            store.write(name, role, i, z.astype(dtype), rng.integers(0, classes, len(z)), 0.0)
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
    found = [explore(side, RELATIVE, 3) for side in sides]
    assert found[0][:2] == found[1][:2]
    assert torch.allclose(found[0][2], found[1][2], atol=1e-8, rtol=0)
    dual, primal = (side.refit(1e-4) for side in sides)
    assert dual.lam == pytest.approx(primal.lam, rel=1e-12)
    z = next(valid.batches())[0]
    assert torch.allclose(dual.predict(z), primal.predict(z), atol=1e-8, rtol=0)


def test_the_memory_plan_is_that_of_the_smaller_side():
    wide, tall = (Ridge().bytes(*shape, 1, torch.float32) for shape in ((96, 65_536), (65_536, 96)))
    assert wide < 100 << 20
    assert tall < 1 << 20
    assert Ridge().bytes(4096, 4096, 1, torch.float32) == 12 * 4096**2 + 16 * sums.ROWS * 4096
    assert Ridge().bytes(4096, 4096, 1, torch.float64) == 16 * 4096**2


def test_sums_in_float32_are_checked_and_give_the_score_of_float64(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    monkeypatch.setattr(sums, "SINGLE", 30)
    train, valid = stored(tmp_path, 400, 30, dtype=np.float32)
    auto, double = (Ridge(sums=sums).primal(train, valid, Serial()) for sums in ("auto", "float64"))
    assert (auto.groups.rounded, double.groups.rounded) == (True, False)
    a, b = auto.refit(1e-6), double.refit(1e-6)
    assert "sums in float32: objective within" in caplog.text
    assert torch.allclose(a.weight, b.weight, rtol=1e-9, atol=1e-12)
    assert not torch.equal(a.weight, b.weight)


def test_sums_in_float32_that_are_not_enough_are_made_again_in_float64(tmp_path, monkeypatch, caplog):
    caplog.set_level("INFO")
    train, valid = stored(tmp_path, 400, 30, dtype=np.float32)
    monkeypatch.setattr(refine, "TOLERANCE", -1.0)
    single, double = (Ridge(sums=sums).primal(train, valid, Serial()) for sums in ("float32", "float64"))
    fit = single.refit(1e-6)
    assert "are not enough for relative lambda 1.0e-06: float64" in caplog.text
    assert torch.equal(fit.weight, double.refit(1e-6).weight)


def test_auto_keeps_float64_for_float64_features_and_few_columns(tmp_path, monkeypatch):
    train, valid = stored(tmp_path / "a", 400, 30, dtype=np.float32)
    assert not Ridge().primal(train, valid, Serial()).groups.rounded
    monkeypatch.setattr(sums, "SINGLE", 30)
    assert not Ridge().primal(*stored(tmp_path / "b", 400, 30), Serial()).groups.rounded
