"""Test features that are stored in fewer bits than they are computed in."""

import json

import h5py
import numpy as np
import pytest
import torch

from ntkrun.cli import main as cli
from ntkrun.datasets.digits import Digits
from ntkrun.errors import ConfigError
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.model import Model
from ntkrun.stages import featurize
from ntkrun.stages.tasks import task_of
from ntkrun.store.precision import NAMES, rounded
from ntkrun.store.runs import same_words
from ntkrun.store.shards import ShardStore, content_key, write_shard

X = np.random.default_rng(0).normal(size=(30, 7)).astype(np.float32)
TORCH = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
TINY = ["dataset=digits", "dataset.n_train=200", "dataset.n_test=100", "method=rff", "feature_dim=96"]


def stored(folder, x, dtype):
    store = ShardStore(folder, {})
    store.add(write_shard(folder, "a.h5", "train", 0, x, np.arange(len(x)), 0.1, dtype))
    return store


def start(out, *words):
    """Start a run and return its code and, if there is one, its result."""
    code = cli.main([*TINY, "baseline=none", f"output_dir={out}", *words])
    done = sorted(out.glob("runs/*/result.json"), key=lambda path: path.stat().st_mtime_ns)
    return code, json.loads(done[-1].read_text()) if done and code == 0 else None


@pytest.mark.parametrize("dtype", NAMES)
@pytest.mark.parametrize("of", [np.float32, np.float64])
def test_what_is_read_is_the_nearest_number_as_float32(tmp_path, dtype, of):
    store = stored(tmp_path, X.astype(of), dtype)
    z, y = store.read("a.h5")
    assert z.dtype == np.float32
    assert np.array_equal(z, torch.from_numpy(X.astype(of)).to(TORCH[dtype]).float().numpy())
    assert np.array_equal(y, np.arange(30))
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["features"].dtype == (np.uint16 if dtype == "bfloat16" else dtype)
        assert dict(file["features"].attrs) == ({"dtype": b"bfloat16"} if dtype == "bfloat16" else {})


def test_the_default_leaves_bytes_and_keys_as_they_were(tmp_path):
    split, method = Digits(n_train=40, n_test=10).load(), RandomFourierFeatures(n_components=8)
    plain = featurize.run(split, method, tmp_path, 20)
    specs = {}
    for dtype in (None, *NAMES):
        task = task_of(split, method, dtype)
        task.fit()
        specs[dtype] = featurize.spec_of(task, 20)
    assert content_key(specs[None]) == plain.store.folder.name
    assert specs["float32"] == specs[None]
    assert len({content_key(spec) for spec in specs.values()}) == 3
    old = {p.name: p.read_bytes() for p in plain.store.folder.glob("*.h5")}
    for name, data in old.items():
        x, y = plain.store.read(name)
        receipt = plain.store.receipts[name]
        write_shard(tmp_path, name, receipt.part, receipt.start, x, y, 0.1, None)
        assert (tmp_path / name).read_bytes() == data


def test_zeros_and_what_is_not_finite_are_stored_as_they_are(tmp_path):
    special = np.array([[0.0, -0.0, np.inf, -np.inf, np.nan, 1.0]], np.float32)
    for dtype in NAMES:
        assert np.array_equal(stored(tmp_path, special, dtype).read("a.h5")[0], special, equal_nan=True)
        assert not rounded(np.zeros((2, 3), np.float32), dtype)[0].any()


@pytest.mark.parametrize("size", [1e5, 1e-6])
def test_features_beyond_the_range_of_float16_are_refused(tmp_path, capsys, size):
    with pytest.raises(ConfigError, match=r"must be bfloat16 for features of up to .*: float16 holds"):
        rounded(X * np.float32(size), "float16")
    rng = np.random.default_rng(0)
    arrays = {f"x_{p}": size * rng.normal(size=(n, 5)) for p, n in (("train", 60), ("test", 20))}
    np.savez(tmp_path / "a.npz", **arrays, y_train=np.arange(60) % 2, y_test=np.arange(20) % 2)
    words = ["dataset=npz", f"dataset.path={tmp_path / 'a.npz'}", "method=raw", "dataset.preprocess=none"]
    words += ["dataset.n_train=null", "dataset.n_test=null"]
    assert start(tmp_path / "out", *words, "features_dtype=float16")[0] == 2
    (line,) = [one for one in capsys.readouterr().err.splitlines() if one.startswith("ntkrun: ")]
    assert "features_dtype of ntkrun must be bfloat16" in line
    assert not list((tmp_path / "out").glob("features/*/*.h5"))
    assert start(tmp_path / "out", *words, "features_dtype=bfloat16")[0] == 0


def test_float64_beyond_the_range_of_float32_is_refused():
    with pytest.raises(ConfigError, match=r"must be null .* Set features_dtype=null"):
        rounded(np.full((2, 3), 1e39), "float32")


@pytest.mark.parametrize("words", [["method=exact_ntk"], ["features_dtype=int8"], ["features_dtype=[1]"]])
def test_kernel_values_are_not_rounded_and_other_types_are_refused(tmp_path, capsys, words):
    assert start(tmp_path / "out", "features_dtype=float16", *words)[0] == 2
    (line,) = capsys.readouterr().err.strip().splitlines()
    assert line.startswith("ntkrun: features_dtype of ntkrun must be ")
    assert ("null for exact_ntk: kernel values are not rounded" in line) == (words == ["method=exact_ntk"])
    assert not (tmp_path / "out").exists()


def test_runs_with_half_of_the_bits_are_as_good_and_their_models_predict(tmp_path):
    results, sizes = {}, {}
    for dtype in ("null", "float16", "bfloat16"):
        code, results[dtype] = start(tmp_path, f"features_dtype={dtype}")
        assert code == 0
        folder = tmp_path / "features" / results[dtype]["features_key"]
        sizes[dtype] = (folder / "test-00000-of-00001.h5").stat().st_size
    assert len({result["features_key"] for result in results.values()}) == 3
    test = Digits(n_train=200, n_test=100).load().test
    for dtype in ("float16", "bfloat16"):
        assert sizes[dtype] < 0.6 * sizes["null"]
        assert results[dtype]["test/accuracy"] == pytest.approx(results["null"]["test/accuracy"], abs=0.03)
        # the model computes features in full precision
        model = Model.load(tmp_path / "runs" / results[dtype]["run_folder"] / "model")
        assert np.mean(model.predict(test.x) == test.y) == pytest.approx(
            results[dtype]["test/accuracy"], abs=0.021
        )


def test_features_of_float64_can_be_stored_in_any_type(tmp_path):
    for dtype in NAMES:
        code, result = start(tmp_path, "dtype=float64", f"features_dtype={dtype}")
        assert code == 0
        assert result["test/accuracy"] > 0.5


def test_a_configuration_without_the_key_is_that_of_the_default():
    assert same_words({"seed": 1, "features_dtype": None}) == same_words({"seed": 1})
    assert same_words({"seed": 1, "features_dtype": "float16"}) != same_words({"seed": 1})
