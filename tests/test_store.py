import errno
import hashlib
import os
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from ntkrun.datasets.digits import Digits
from ntkrun.errors import IntegrityError, MachineError
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.method.exact_cntk import ExactCNTK
from ntkrun.solvers.kernel import KernelProblem
from ntkrun.stages import featurize
from ntkrun.stages.tasks import FeatureTask
from ntkrun.store import atomic
from ntkrun.store.shards import ShardStore, content_key, write_shard
from tests.faults.plan import record

SPLIT = Digits(n_train=100, n_test=30).load()
METHOD = {"n_components": 64, "depth": 2}


def run(root, rows=32, **changes):
    return featurize.run(SPLIT, CNTKSketch(**{**METHOD, **changes}), root, rows)


def shards(root):
    return {p.name: p for p in root.glob("*/*.h5")}


def content(root):
    return {name: path.read_bytes() for name, path in shards(root).items()}


def stamps(root):
    return {name: (path.stat().st_ino, path.stat().st_mtime_ns) for name, path in shards(root).items()}


def test_features_are_those_of_transform_and_labels_follow(tmp_path):
    features = run(tmp_path)
    for part in ("train", "valid", "test"):
        got, y = (torch.cat(t) for t in zip(*getattr(features, part).batches(), strict=True))
        want = CNTKSketch(**METHOD).fit_transform(SPLIT.batch(part, 0, 1000, torch.float32))
        assert torch.allclose(got, want, rtol=1e-4, atol=1e-6)
        assert np.array_equal(y, SPLIT.part(part).y)


def test_second_run_reuses_and_other_numbers_get_another_key(tmp_path):
    first, before = run(tmp_path), stamps(tmp_path)
    second = run(tmp_path)
    assert (first.reused, second.reused) == (0, 5)
    assert stamps(tmp_path) == before
    assert second.seconds == first.seconds
    for change in (
        {"random_state": 1},
        {"degree": 3},
        {"dtype": "float64"},
        {"depth": 3},
        {"coefficients": "taylor"},
        {"trained": "all"},
        {"padding": "valid"},
        {"sketch_dim": 40},
        {"n_components": 65},
    ):
        assert run(tmp_path, **change).reused == 0
    assert run(tmp_path, rows=31).reused == 0
    assert (
        featurize.run(Digits(n_train=101, n_test=30).load(), CNTKSketch(**METHOD), tmp_path, 32).reused == 0
    )


def test_version_is_part_of_the_key(tmp_path, monkeypatch):
    run(tmp_path)
    monkeypatch.setattr(CNTKSketch, "version", 99)
    assert run(tmp_path).reused == 0


@pytest.mark.parametrize("damage", ["flip", "cut", "append", "empty", "swap", "delete", "link"])
def test_only_the_damaged_shard_is_computed_again(tmp_path, damage, caplog):
    run(tmp_path)
    good, before = content(tmp_path), stamps(tmp_path)
    victim = shards(tmp_path)["train-00001-of-00003.h5"]
    data = bytearray(victim.read_bytes())
    other = shards(tmp_path)["train-00000-of-00003.h5"]
    if damage == "flip":
        data[len(data) // 3] ^= 4
        victim.write_bytes(data)
    elif damage == "cut":
        victim.write_bytes(data[:-1])
    elif damage == "append":
        victim.write_bytes(data + b"\0")
    elif damage == "empty":
        victim.write_bytes(b"")
    elif damage == "swap":
        victim.write_bytes(other.read_bytes())
    elif damage == "delete":
        victim.unlink()
    elif damage == "link":
        victim.unlink()
        victim.symlink_to(other)
    assert run(tmp_path).reused == 4
    assert "damaged or missing shards are computed again: train-00001-of-00003.h5" in caplog.text
    assert content(tmp_path) == good
    after = stamps(tmp_path)
    assert {k for k in before if before[k] != after[k]} == {"train-00001-of-00003.h5"}


def test_the_bytes_of_a_shard_do_not_depend_on_when_h5py_lets_go_of_it(tmp_path, monkeypatch):
    x, y = np.random.default_rng(0).normal(size=(20, 64)).astype(np.float32), np.arange(20)
    kept, real = [], h5py.File.create_dataset

    def keep(*arguments, **options):
        kept.append(real(*arguments, **options))
        return kept[-1]

    first = write_shard(tmp_path, "a.h5", "train", 0, x, y, 0.0)
    monkeypatch.setattr(h5py.File, "create_dataset", keep)  # another thread's lock can cause this
    assert write_shard(tmp_path, "b.h5", "train", 0, x, y, 0.0).sha256 == first.sha256
    assert kept


def plant(folder, name, make):
    """Replace a shard by a foreign file, and adapt the manifest to it."""
    store, path = ShardStore(folder, {}), folder / name
    path.unlink()
    with h5py.File(path, "w") as file:
        make(file)
    data = path.read_bytes()
    sha = hashlib.sha256(data).hexdigest()
    store.add(replace(store.receipts[name], sha256=sha, bytes=len(data)))


ELSEWHERE = {
    "X52 external storage": lambda f, s: f.create_dataset(
        "features", (4, 2), "u1", external=[(str(s), 0, 8)]
    ),
    "X52 external link": lambda f, s: f.update({"features": h5py.ExternalLink(str(s), "x")}),
    "X52 soft link to nothing": lambda f, s: f.update({"features": h5py.SoftLink("/nothing")}),
    "X53 virtual": lambda f, s: f.create_virtual_dataset("features", virtual(s)),
    "X54 100,000 groups and no data": lambda f, s: [f.create_group(f"g{i}") for i in range(100_000)],
}


def virtual(source):
    layout = h5py.VirtualLayout((4, 2), "u1")
    layout[...] = h5py.VirtualSource(str(source), "x", (4, 2))
    return layout


SLOW = "X54 100,000 groups and no data"


@pytest.mark.parametrize(
    "case", [pytest.param(c, marks=pytest.mark.slow) if c == SLOW else c for c in ELSEWHERE]
)
def test_a_foreign_shard_cannot_read_another_file(tmp_path, case):
    features, secret = run(tmp_path / "features"), tmp_path / "secret"
    secret.write_bytes(b"password")
    name = features.train.names[0]
    plant(features.store.folder, name, lambda file: ELSEWHERE[case](file, secret))
    begin = time.monotonic()
    with pytest.raises(IntegrityError, match="has no features of its own"):
        ShardStore(features.store.folder, {}).read(name)
    assert time.monotonic() - begin < 5
    record("X", case, 1)


def test_reading_a_damaged_shard_fails_before_hdf5_sees_it(tmp_path, monkeypatch):
    features = run(tmp_path)
    victim = shards(tmp_path)["test-00000-of-00001.h5"]
    data = bytearray(victim.read_bytes())
    rng = np.random.default_rng(0)
    monkeypatch.setattr("h5py.File", lambda *a, **k: pytest.fail("HDF5 saw damaged bytes"))
    for _ in range(50):
        at, bit = int(rng.integers(len(data))), 1 << int(rng.integers(8))
        data[at] ^= bit
        victim.write_bytes(data)
        with pytest.raises(IntegrityError, match="recorded checksum"):
            list(features.test.batches())
        data[at] ^= bit


def test_interrupted_run_keeps_finished_shards(tmp_path, monkeypatch):
    whole = run(tmp_path / "whole")
    calls = []
    real = FeatureTask.compute

    def die_at_third(self, piece):
        calls.append(piece)
        if len(calls) == 4:  # the first is the warm-up
            raise KeyboardInterrupt
        return real(self, piece)

    monkeypatch.setattr(FeatureTask, "compute", die_at_third)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut")
    monkeypatch.undo()
    (next((tmp_path / "cut").iterdir()) / ".tmp-left").write_bytes(b"half a shard")
    before = stamps(tmp_path / "cut")
    assert len(before) == 2
    resumed = run(tmp_path / "cut")
    assert resumed.reused == 2
    assert content(tmp_path / "cut") == content(tmp_path / "whole")
    assert {k: v for k, v in stamps(tmp_path / "cut").items() if k in before} == before
    assert not list((tmp_path / "cut").glob("*/.tmp-*"))
    assert whole.train.names == resumed.train.names


def test_write_is_synced_then_renamed_then_the_folder_synced(tmp_path, monkeypatch):
    order = []
    for name in ("fsync", "replace"):
        real = getattr(os, name)
        monkeypatch.setattr(os, name, lambda *a, real=real, name=name: (order.append(name), real(*a))[1])
    atomic.write_atomic(tmp_path / "f", b"x")
    assert order == ["fsync", "replace", "fsync"]


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, call):
    path = tmp_path / "f"
    atomic.write_atomic(path, b"old")

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(MachineError, match=r"could not be written: No space left on device\. Free space"):
        atomic.write_atomic(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_kernel_shards_hold_the_lower_triangle_and_give_the_gram(tmp_path):
    features = featurize.run(SPLIT, ExactCNTK(depth=2), tmp_path, 32)
    x = torch.cat([SPLIT.batch(p, 0, 1000, torch.float32) for p in ("train", "valid")])
    exact = ExactCNTK(depth=2).fit(x)
    assert torch.allclose(
        KernelProblem(features.train, features.valid).gram.float(), exact.kernel(x), rtol=1e-5
    )
    test = torch.cat([k for k, _ in features.test.batches()])
    assert torch.allclose(test, exact.kernel(SPLIT.batch("test", 0, 1000, torch.float32), x), rtol=1e-5)
    assert featurize.run(SPLIT, ExactCNTK(depth=2), tmp_path, 32).reused == 5


def test_too_little_memory_is_said_before_work(tmp_path, monkeypatch):
    monkeypatch.setattr("ntkrun.machine.available_memory", lambda: 1 << 20)
    monkeypatch.setattr(CNTKSketch, "fit", lambda *_: pytest.fail("the method was fitted"))
    with pytest.raises(MachineError, match=r"needs about .* MiB and 1\.0 MiB are free"):
        run(tmp_path / "never")
    assert not (tmp_path / "never").exists()
    record("L1", "too little memory: said before any work, nothing written", 1)


def test_key_does_not_depend_on_the_order_of_its_parts():
    assert content_key({"a": 1, "b": 2}) == content_key({"b": 2, "a": 1}) != content_key({"a": 1, "b": 3})
    assert CNTKSketch(device="cuda").identity() == CNTKSketch(device="cpu").identity()


def test_store_survives_json(tmp_path):
    store = ShardStore(tmp_path, {"a": (1, None)})
    store.write("s.h5", "train", 0, np.ones((3, 2), np.float32), np.arange(3), 0.5)
    again = ShardStore(tmp_path, {})
    assert again.receipts == store.receipts
    assert np.array_equal(again.read("s.h5")[0], np.ones((3, 2)))
