"""Test data that are read by the slice: the same rows, hashes and shards as from memory."""

import gzip
import pickle

import h5py
import numpy as np
import pandas as pd
import pytest
import torch

from ntkrun.datasets import npy, npz, rows
from ntkrun.datasets.csv import Csv
from ntkrun.datasets.hdf5 import Hdf5
from ntkrun.datasets.npy import Npy
from ntkrun.datasets.npz import Npz
from ntkrun.datasets.sliced import convert
from ntkrun.datasets.sliced.chosen import GROUP, Chosen
from ntkrun.datasets.sliced.file_rows import FileRows
from ntkrun.datasets.sliced.hdf5 import Hdf5Array
from ntkrun.datasets.split import Role
from ntkrun.datasets.table import large
from ntkrun.errors import DataError, IntegrityError, MachineError
from ntkrun.stages import data
from tests.images import refused

RNG = np.random.default_rng(11)
FORMS = [((7,), None), ((6, 5), None), ((4, 5, 3), None), ((3, 6, 4), "channels_first")]


def made(shape=(7,), kind="f4", n=600):
    x = RNG.random((n, *shape)) * 200
    x[: n // 2] += 20
    y = (np.arange(n) < n // 2).astype(int)
    order = RNG.permutation(n)
    x, y = x[order].astype(kind), y[order]
    return {"x_train": x, "y_train": y, "x_test": x[:100].copy(), "y_test": y[:100]}


def write(path, arrays, **options):
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        for name, array in arrays.items():
            file.create_dataset(name, data=array, **(options if name.startswith("x") else {}))
    return path


@pytest.mark.parametrize("total", [5, 70_001, 3 * GROUP])
@pytest.mark.parametrize("share", [0.0001, 0.5, 1.0])
def test_chosen_rows_are_those_of_the_index(total, share):
    index = np.flatnonzero(RNG.random(total) < share)
    chosen = pickle.loads(pickle.dumps(Chosen(index, total)))
    assert len(chosen) == len(index)
    assert chosen.bits.nbytes == -(-total // 8)
    for _ in range(20):
        start, stop = np.sort(RNG.integers(0, len(index) + 1, 2))
        assert np.array_equal(chosen.between(start, stop), index[start:stop])
        if len(index):
            members = RNG.integers(0, len(index), 9)
            assert np.array_equal(chosen.at(members), index[members])
    for wrong in ([3, 2], [2, 2], [-1, 2], [total]):
        with pytest.raises(ValueError, match="ascending"):
            Chosen(np.array(wrong), total)


def test_rows_of_a_file_are_a_source_as_an_array_is(tmp_path, monkeypatch):
    monkeypatch.setattr("ntkrun.datasets.sliced.stored.BLOCK_BYTES", 1000)
    x = made((4, 5, 3), ">f8", 300)["x_train"]
    path = write(tmp_path / "a.h5", {"x": x})
    source = rows.arranged(FileRows.of(Hdf5Array(path, "x")), "channels_first")
    memory = rows.arranged(x.astype(float), "channels_first")
    index = np.flatnonzero(RNG.random(300) < 0.3)
    for one, other in ((source, memory), (rows.subset(source, index), rows.subset(memory, index))):
        assert (one.shape, one.ndim, one.dtype) == (other.shape, other.ndim, other.dtype)
        n = one.shape[0]
        for what in (
            slice(None),
            slice(5, 40),
            slice(7, 3),
            slice(-4, None),
            slice(0, n, 7),
            np.arange(n)[::-1],
        ):
            assert np.array_equal(one[what], other[what])
        some = RNG.integers(0, n, 50)
        assert np.array_equal(one[some], other[some])
        assert np.array_equal(np.concatenate(list(rows.blocks(one, some, 9))), other[some])
        assert np.array_equal(rows.cast(one, np.float32)[some], other[some].astype(np.float32))
        with pytest.raises(IndexError):
            one[np.array([n])]
    one = source[:3]
    one[:] = 0  # what comes out is the caller's
    assert np.array_equal(source[:3], memory[:3])
    assert rows.memory(rows.subset(source, index)) < 5000 < rows.memory(memory)
    nested = rows.subset(rows.subset(source, index), np.array([1, 4, 5]))
    assert np.array_equal(nested[:], memory[index[[1, 4, 5]]])


@pytest.mark.parametrize("kind", ["f4", "u1", ">f8", "f2"])
@pytest.mark.parametrize(("shape", "layout"), FORMS)
def test_every_file_gives_one_hash_and_the_same_rows(shape, layout, kind, tmp_path, monkeypatch):
    arrays = made(shape, kind)
    np.savez_compressed(tmp_path / "a.npz", **arrays)
    write(tmp_path / "a.h5", arrays, chunks=(50, *shape), compression="gzip")
    for name, array in arrays.items():
        np.save(tmp_path / f"{name}.npy", array)
    more = {"layout": layout, "n_train": 300, "preprocess": "zca", "data_dir": str(tmp_path)}
    memory = Npz(path=str(tmp_path / "a.npz"), **more).load()
    for module in (npy, npz):
        monkeypatch.setattr(module, "IN_MEMORY", 100)
    monkeypatch.setattr("ntkrun.datasets.sliced.stored.BLOCK_BYTES", 5000)
    sources = [Hdf5(path=str(tmp_path / "a.h5"), **more), Npy(path=str(tmp_path), **more)]
    for source in (*sources, *2 * [Npz(path=str(tmp_path / "a.npz"), **more)]):
        split = pickle.loads(pickle.dumps(source.load()))
        assert isinstance(split.train.x, FileRows)
        assert split.sha256 == memory.sha256
        assert len(pickle.dumps(split.train.x)) < 5000
        assert data.overlap(split) == data.overlap(memory) > 0
        for role in Role:
            n = len(memory.part(role))
            assert torch.equal(*(s.batch(role, 3, n, torch.float32) for s in (split, memory)))
        assert np.array_equal(split.raw_sample(50), memory.raw_sample(50))
        assert np.array_equal(split.fit_rows(), memory.fit_rows())


def test_a_block_that_has_changed_is_found(tmp_path):
    path = write(tmp_path / "a.h5", {"x": RNG.normal(size=(50_000, 40))})
    rest = FileRows.of(Hdf5Array(path, "x"))
    rest[:]
    stored = pickle.loads(pickle.dumps(rest.stored))
    stored.hashes[40] ^= 1  # of the second block
    other = FileRows.of(stored)
    assert len(other[: stored.rows]) == stored.rows
    with pytest.raises(IntegrityError, match=f"rows {stored.rows} to {2 * stored.rows - 1} of x in .* began"):
        other[stored.rows : stored.rows + 1]


def test_chunks_that_are_too_large_to_unpack_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr("ntkrun.datasets.sliced.hdf5.LARGEST_BLOCK", 10_000)
    x = RNG.normal(size=(500, 6))
    path = write(tmp_path / "a.h5", {"x": x}, chunks=(500, 1), compression="gzip")
    with pytest.raises(DataError, match=r"h5repack -l x:CHUNK=1024x6 a\.h5 NEW\.h5"):
        Hdf5Array(path, "x")
    path = write(tmp_path / "b.h5", {"x": x}, chunks=(500, 6))
    assert np.array_equal(FileRows.of(Hdf5Array(path, "x"))[:], x)


def test_wrong_keys_are_told_before_the_file_is_opened():
    said = " ".join(Hdf5(test_x="a", test_fraction=2).problems())
    assert "path of Hdf5 must be an HDF5 file" in said
    assert "test_y of Hdf5 must be a dataset, as test_x is" in said
    assert "test_fraction" in said


@pytest.fixture
def table(tmp_path, monkeypatch):
    monkeypatch.setattr(large, "CHUNK", 4000)
    x = RNG.normal(size=(700, 4))
    frame = pd.DataFrame(x, columns=list("abcd")).assign(t=x.sum(1))
    frame.to_csv(tmp_path / "a.csv", index=False)
    (tmp_path / "a.csv.gz").write_bytes(gzip.compress((tmp_path / "a.csv").read_bytes()))
    frame.to_parquet(tmp_path / "a.parquet")
    frame.to_csv(tmp_path / "a.dat", index=False, header=False)
    frame.to_csv(tmp_path / "a.zip", index=False)
    return tmp_path, frame


def load(folder, name, **more):
    target = "4" if name.endswith("dat") else "t"
    return Csv(path=str(folder / name), target=target, data_dir=str(folder), **more).load()


def in_order(x):
    return x[:][np.lexsort(x[:].T)]


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.parquet", "a.dat", "a.zip"])
def test_a_large_table_has_the_parts_of_a_small_one(name, table, monkeypatch):
    folder, _ = table
    whole = load(folder, name, fold=1)
    monkeypatch.setattr(large, "IN_MEMORY", 1000)
    first, again = load(folder, name, fold=1), load(folder, name, fold=1)
    assert isinstance(first.train.x, FileRows)
    assert first.sha256 == again.sha256
    assert (first.name, first.inputs) == (whole.name, whole.inputs)
    assert np.array_equal(in_order(first.test.x), in_order(whole.test.x))
    assert np.array_equal(*(in_order(s.fit_rows()) for s in (first, whole)))
    assert np.allclose(first.preprocess.mean, whole.preprocess.mean)
    assert len(list(folder.glob("converted/*/data.h5"))) == 1


def test_a_large_table_without_some_targets_or_with_words(table, monkeypatch, caplog, listening):
    folder, frame = table
    monkeypatch.setattr(large, "IN_MEMORY", 1000)
    frame.loc[650, "t"] = np.nan
    frame.to_csv(folder / "b.csv", index=False)
    with caplog.at_level("INFO"):
        assert load(folder, "b.csv").n_train + 140 == 699
    assert "b.csv: 1 rows without t are left out" in caplog.text
    frame.loc[640, "b"] = np.nan
    frame.to_csv(folder / "c.csv", index=False)
    with caplog.at_level("INFO"):
        assert isinstance(load(folder, "c.csv").train.x, np.ndarray)
    assert "c.csv is read whole, which needs memory: column b lacks numbers" in caplog.text
    assert not list(folder.glob("converted/*/.tmp-*"))
    frame.assign(b=np.where(frame.index == 600, np.inf, 1.0)).to_csv(folder / "d.csv", index=False)
    refused(Csv(path=str(folder / "d.csv"), data_dir=str(folder)), r"column b .* finite \(row 601 is not\)")


def test_a_damaged_conversion_is_made_again_and_a_broken_one_leaves_nothing(
    table, monkeypatch, caplog, listening
):
    folder, _ = table
    monkeypatch.setattr(large, "IN_MEMORY", 1000)
    before = load(folder, "a.csv").sha256
    (kept,) = folder.glob("converted/*/data.h5")
    whole = bytearray(kept.read_bytes())
    whole[len(whole) // 2] ^= 1
    kept.write_bytes(whole)
    assert load(folder, "a.csv").sha256 == before
    assert "is damaged and is made again" in caplog.text

    def full(self, rows):
        raise OSError(28, "No space left on device")

    kept.unlink()
    monkeypatch.setattr(convert.Growing, "append", full)
    with pytest.raises(
        MachineError, match=r"data\.h5 could not be written: No space left on device\. Free space"
    ):
        load(folder, "a.csv")
    assert not kept.exists()
    assert not list(kept.parent.glob(".tmp-*"))
