"""Test the readers of published sets on generated files in their exact format."""

import gzip
import io
import pickle
import re
import struct
import tarfile

import numpy as np
import pytest
from scipy.io import loadmat, savemat

from ntkrun.datasets import cifar100, emnist, stl10
from ntkrun.datasets.cifar100 import Cifar100
from ntkrun.datasets.emnist import KINDS, Emnist
from ntkrun.datasets.idx import FILES, Idx
from ntkrun.datasets.matlab import arrays as arrays_of
from ntkrun.datasets.stl10 import Stl10
from ntkrun.datasets.svhn import Svhn
from ntkrun.errors import NetworkError
from tests.images import refused

RNG = np.random.default_rng(3)


def pack(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def whole_train(split):
    """Return the rows of train and valid in the order of the source, by their first value."""
    x, y = (np.concatenate([getattr(p, a) for p in (split.train, split.valid)]) for a in "xy")
    order = np.argsort(x.reshape(len(x), -1)[:, 0], kind="stable")
    return x[order], y[order]


@pytest.fixture
def cifar(monkeypatch):
    """Make CIFAR-100's members with 60 and 20 records; the first red value counts them."""
    monkeypatch.setattr(cifar100, "ROWS", {"train": 60, "test": 20})
    members = {}
    for name, rows in cifar100.ROWS.items():
        records = RNG.integers(0, 256, (rows, 3074), dtype=np.uint8)
        records[:, 0], records[:, 1], records[:, 2] = np.arange(rows) % 20, np.arange(rows), np.arange(rows)
        members[f"cifar-100-binary/{name}.bin"] = records.tobytes()
    for kind, count in cifar100.KINDS.items():
        names = "".join(f"{kind}_{i}\n" for i in range(count))
        members[f"cifar-100-binary/{kind}_label_names.txt"] = names.encode()
    return members


def test_cifar100_has_fine_and_coarse_labels_with_their_names(cifar, tmp_path):
    archive = pack(tmp_path / "a.tar.gz", cifar)
    fine, coarse = (Cifar100(path=str(archive), labels=labels).load() for labels in ("fine", "coarse"))
    records = np.frombuffer(cifar["cifar-100-binary/train.bin"], np.uint8).reshape(60, 3074)
    for split, at, classes in ((fine, 1, 100), (coarse, 0, 20)):
        x, y = whole_train(split)
        assert np.array_equal(y, records[:, at])
        assert (split.classes, len(split.class_names)) == (classes, classes)
        # red, green and blue planes of 32 rows each
        assert np.array_equal(x[:, 5, 6, 1], records[:, 2 + 1024 + 32 * 5 + 6])
    assert (fine.class_names[99], coarse.class_names[19]) == ("fine_99", "coarse_19")
    assert np.array_equal(fine.test.y, np.arange(20))


def test_cifar100_from_a_folder_and_damaged(cifar, tmp_path):
    archive = pack(tmp_path / "a.tar.gz", cifar)
    inside = tmp_path / "unpacked" / "cifar-100-binary"
    inside.mkdir(parents=True)
    for name, data in cifar.items():
        (inside.parent / name).write_bytes(data)
    splits = [Cifar100(path=str(p)).load() for p in (archive, inside, inside.parent)]
    assert len({s.sha256 for s in splits}) == 1
    (inside / "test.bin").write_bytes(b"1")
    refused(Cifar100(path=str(inside)), r"test\.bin of .* must have 61480 bytes\. Got 1 instead")
    (inside / "test.bin").unlink()
    refused(Cifar100(path=str(inside)), r"is not a CIFAR-100 folder: train\.bin, test\.bin, fine_label_names")
    refused(Cifar100(path=str(tmp_path / "none")), "an existing archive or folder")
    short = cifar | {"cifar-100-binary/fine_label_names.txt": b"apple\n"}
    refused(Cifar100(path=str(pack(tmp_path / "b.tar.gz", short))), "must name 100 fine classes. Got 1 ")
    del short["cifar-100-binary/train.bin"]
    refused(Cifar100(path=str(pack(tmp_path / "c.tar.gz", short))), r"archive: train\.bin, test\.bin")
    archive.write_bytes(archive.read_bytes()[:-4000])
    refused(Cifar100(path=str(archive)), "is not a readable tar archive")
    (problem,) = Cifar100(labels="rough").problems()
    assert problem.startswith("labels of Cifar100 must be one of coarse, fine. Got 'rough'")


def pickled(cifar):
    """Return the members of the python archive with the same images."""
    out = {"meta": {b"coarse_label_names": [b"coarse_%d" % i for i in range(20)]}}
    out["meta"][b"fine_label_names"] = [b"fine_%d" % i for i in range(100)]
    for name, rows in cifar100.ROWS.items():
        records = np.frombuffer(cifar[f"cifar-100-binary/{name}.bin"], np.uint8).reshape(rows, 3074)
        labels = {b"coarse_labels": records[:, 0].tolist(), b"fine_labels": records[:, 1].tolist()}
        out[name] = labels | {b"data": records[:, 2:].copy()}
    return out


def packed(batches):
    return {f"cifar-100-python/{name}": pickle.dumps(batch, 3) for name, batch in batches.items()}


@pytest.mark.parametrize("labels", cifar100.KINDS)
def test_the_python_archive_of_cifar100_holds_the_same(cifar, tmp_path, labels):
    members = packed(pickled(cifar))
    (tmp_path / "cifar-100-python").mkdir()
    for name, data in members.items():
        (tmp_path / name).write_bytes(data)
    paths = [pack(tmp_path / "b.tar.gz", cifar), pack(tmp_path / "p.tar.gz", members), tmp_path]
    splits = [Cifar100(path=str(path), labels=labels).load() for path in paths]
    assert len({split.sha256 for split in splits}) == 1
    assert splits[1].class_names == splits[0].class_names == splits[2].class_names


@pytest.mark.parametrize(
    ("name", "change", "pattern"),
    [
        ("train", {b"data": np.zeros((60, 3071), np.uint8)}, "its data are not 60 x 3072 bytes"),
        ("test", {b"fine_labels": [1.5] * 20}, "its fine labels are not 20 integers"),
        ("meta", {b"fine_label_names": 3}, "holds no names of fine classes"),
        ("meta", {b"fine_label_names": [b"a"]}, "must name 100 fine classes. Got 1 "),
        ("meta", {b"x": re.compile("x")}, "is not a CIFAR batch"),
    ],
)
def test_damaged_python_archives_of_cifar100_are_refused(cifar, tmp_path, name, change, pattern):
    batches = pickled(cifar)
    batches[name] |= change
    (tmp_path / "cifar-100-python").mkdir()
    for member, data in packed(batches).items():
        (tmp_path / member).write_bytes(data)
    refused(Cifar100(path=str(tmp_path)), pattern)


@pytest.fixture
def stl(monkeypatch):
    """Make STL-10's members with 30 and 20 images."""
    monkeypatch.setattr(stl10, "ROWS", {"train": 30, "test": 20})
    images = {
        part: RNG.integers(0, 256, (rows, 96, 96, 3), dtype=np.uint8) for part, rows in stl10.ROWS.items()
    }
    images["train"][:, 0, 0, 0] = np.arange(30)
    members = {"stl10_binary/unlabeled_X.bin": bytes(1 << 20)}
    for part, x in images.items():
        # every image: red, green, blue; each column by column
        members[f"stl10_binary/{part}_X.bin"] = b"".join(
            np.asfortranarray(image[..., c]).tobytes(order="F") for image in x for c in range(3)
        )
        members[f"stl10_binary/{part}_y.bin"] = bytes(1 + i % 10 for i in range(len(x)))
    return images, members


def test_stl10_has_columns_first_and_labels_from_1(stl, tmp_path):
    images, members = stl
    archive = pack(tmp_path / "a.tar.gz", members)
    folder = tmp_path / "stl10_binary"
    folder.mkdir()
    for name, data in members.items():
        (tmp_path / name).write_bytes(data)
    for path in (archive, folder, tmp_path):
        split = Stl10(path=str(path)).load()
        assert np.array_equal(split.test.x, images["test"])
        x, y = whole_train(split)
        assert np.array_equal(x, images["train"])
        assert np.array_equal(y, np.arange(30) % 10)
    assert split.class_names[7] == "monkey"


@pytest.mark.parametrize(
    ("name", "data", "pattern"),
    [
        ("train_X.bin", b"1", r"train_X\.bin must have 829440 bytes. Got 1 "),
        ("test_y.bin", bytes(20), r"test_y\.bin of .* must hold labels 1\.\.10. Got 0 in row 0 "),
        ("test_y.bin", bytes([1] * 19 + [11]), "Got 11 in row 19 "),
        ("test_y.bin", None, r"is not an STL-10 folder"),
    ],
)
def test_damaged_stl10_is_refused(stl, tmp_path, name, data, pattern):
    for member, content in stl[1].items():
        (tmp_path / member.split("/")[1]).write_bytes(content)
    (tmp_path / name).unlink()
    if data is not None:
        (tmp_path / name).write_bytes(data)
    refused(Stl10(path=str(tmp_path)), pattern)


def test_stl10_archives_of_other_files(tmp_path):
    refused(
        Stl10(path=str(pack(tmp_path / "a.tar.gz", {"x": b"1"}))), "is not a binary STL-10 archive: train_X"
    )
    refused(Stl10(path=str(tmp_path / "none")), "an existing archive or folder")
    with pytest.raises(NetworkError, match="STL-10 is not in"):
        Stl10(data_dir=str(tmp_path)).load()


def svhn(tmp_path, **changes):
    arrays = {}
    for part, rows in (("train", 40), ("test", 20)):
        x = RNG.integers(0, 256, (32, 32, 3, rows), dtype=np.uint8)
        x[0, 0, 0] = np.arange(rows)
        arrays[part] = {"X": x, "y": (np.arange(rows, dtype=np.uint8) % 10 + 1)[:, None]}
        savemat(tmp_path / f"{part}_32x32.mat", arrays[part] | changes, do_compression=True)
    return arrays


def test_svhn_has_images_last_and_10_for_0(tmp_path):
    arrays = svhn(tmp_path)
    split = Svhn(path=str(tmp_path)).load()
    x, y = whole_train(split)
    assert np.array_equal(x, np.moveaxis(arrays["train"]["X"], 3, 0))
    assert np.array_equal(y, (np.arange(40) % 10 + 1) % 10)
    assert np.array_equal(split.test.y, [1, 2, 3, 4, 5, 6, 7, 8, 9, 0] * 2)


@pytest.mark.parametrize("compressed", [False, True])
def test_matlab_arrays_are_those_of_scipy(tmp_path, compressed):
    made = {"a": RNG.normal(size=(3, 4, 5)), "bc": np.arange(6, dtype=np.int16)[None], "c": np.ones((1, 1))}
    made |= {
        f"t{t}": RNG.integers(0, 99, (2, 3)).astype(t) for t in ("i1", "u1", "u2", "i4", "u4", "f4", "i8")
    }
    others = {"text": "words", "cells": np.array([1, "a"], object), "imaginary": np.ones((2, 2)) * 1j}
    savemat(tmp_path / "m.mat", made | others | {"a_long_name": 1}, do_compression=compressed)
    theirs, ours = loadmat(tmp_path / "m.mat"), arrays_of(tmp_path / "m.mat", tuple(made))
    assert list(ours) == list(made)
    for name, array in ours.items():
        assert np.array_equal(array, theirs[name])
        assert array.shape == theirs[name].shape
    for name in others:
        with pytest.raises(ValueError, match=f"{name} is not an array of real numbers"):
            arrays_of(tmp_path / "m.mat", (name,))


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        (
            {"X": np.zeros((40, 32, 32, 3), np.uint8)},
            r"must hold X, bytes of shape \(32, 32, 3, n\). Got uint8",
        ),
        ({"X": np.zeros((32, 32, 3, 40))}, "Got float64 of shape"),
        ({"y": np.ones((39, 1), np.uint8)}, r"must hold y, numbers of shape \(40, 1\). Got uint8"),
        ({"y": np.full((40, 1), 11, np.uint8)}, r"must hold labels 1\.\.10. Got 11 in row 0"),
    ],
)
def test_damaged_svhn_is_refused(tmp_path, changes, pattern):
    svhn(tmp_path, **changes)
    refused(Svhn(path=str(tmp_path)), pattern)


def test_svhn_files_that_are_no_matlab_files(tmp_path):
    refused(Svhn(path=str(tmp_path)), r"a folder with train_32x32\.mat in it")
    svhn(tmp_path)
    path = tmp_path / "test_32x32.mat"
    whole = path.read_bytes()
    for data in (b"", b"x" * 300, whole[: len(whole) // 2]):
        path.write_bytes(data)
        refused(Svhn(path=str(tmp_path)), "is not a readable MATLAB file")
    savemat(path, {"Z": np.ones(3)})
    refused(Svhn(path=str(tmp_path)), "must hold X, .* Got none instead")
    mirrors = ({"url": "http://127.0.0.1:9/train_32x32.mat", "hash": "md5:0"},)
    with pytest.raises(NetworkError, match=r"SVHN \(train_32x32\.mat\) is not in"):
        Svhn(data_dir=str(tmp_path / "none"), mirrors=mirrors).load()


def idx(array):
    return struct.pack(f">BBBB{array.ndim}I", 0, 0, 8, array.ndim, *array.shape) + array.tobytes()


def write_idx(folder, rename, labels=10, first=0):
    """Write the four files under other names; return the training images."""
    folder.mkdir(parents=True)
    for name in FILES:
        n = 60 if "train" in name else 30
        y = (np.arange(n) % labels + first).astype(np.uint8)
        array = (
            np.random.default_rng(n).integers(0, 256, (n, 5, 4), dtype=np.uint8) if "images" in name else y
        )
        new = rename(name)
        (folder / new).write_bytes(gzip.compress(idx(array)) if new.endswith(".gz") else idx(array))


@pytest.mark.parametrize(
    ("place", "rename"),
    [
        ("", lambda n: n),
        ("", lambda n: n + ".gz"),
        ("", lambda n: n.replace("-idx", ".idx")),
        ("", lambda n: n.replace("-idx", ".idx").replace("t10k", "test") + ".gz"),
        ("", lambda n: n.replace("t10k", "test")),
        ("raw", lambda n: n),
        ("FashionMNIST/raw", lambda n: n + ".gz"),
    ],
)
def test_idx_files_are_found_under_the_names_in_use(tmp_path, place, rename):
    write_idx(tmp_path / "usual", lambda n: n)
    write_idx(tmp_path / "other" / place, rename)
    usual, other = (
        Idx(title="fashion_mnist", path=str(tmp_path / name)).load() for name in ("usual", "other")
    )
    assert usual.sha256 == other.sha256


def test_torchvision_keeps_several_sets_in_one_folder(tmp_path):
    write_idx(tmp_path / "MNIST" / "raw", lambda n: n)
    refused(Idx(title="fashion_mnist", path=str(tmp_path)), "a folder with train-images-idx3-ubyte")
    assert Idx(title="mnist", path=str(tmp_path)).load().n_train == 60


@pytest.mark.parametrize("kind", KINDS)
def test_emnist_is_turned_and_its_labels_are_characters(tmp_path, kind):
    labels, first = len(KINDS[kind]), 1 if kind == "letters" else 0
    write_idx(
        tmp_path / "EMNIST" / "raw", lambda n: f"emnist-{kind}-{n.replace('t10k', 'test')}.gz", labels, first
    )
    split = Emnist(path=str(tmp_path), kind=kind).load()
    raw = np.random.default_rng(30).integers(0, 256, (30, 5, 4), dtype=np.uint8)
    assert np.array_equal(split.test.x[..., 0], raw.transpose(0, 2, 1))
    assert np.array_equal(split.test.y, np.arange(30) % labels)
    assert split.classes == {"balanced": 47, "bymerge": 47, "byclass": 62, "letters": 26}.get(kind, 10)
    assert split.class_names[:2] == (["A", "B"] if kind == "letters" else ["0", "1"])


def test_absent_emnist_says_where_it_is(tmp_path):
    (problem,) = Emnist().problems()
    assert "gzip.zip of https://www.nist.gov" in problem
    refused(Emnist(path=str(tmp_path)), "a folder with emnist-balanced-train-images-idx3-ubyte or ")
    write_idx(tmp_path / "raw", lambda n: f"emnist-digits-{n.replace('t10k', 'test')}", 10, 1)
    refused(Emnist(path=str(tmp_path), kind="digits"), r"y_train of emnist_digits must be in 0\.\.9")
    assert emnist.LIMIT > 697_932 * 784
