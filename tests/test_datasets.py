import copyreg
import io
import os
import pickle
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest

from ntkrun.datasets import cifar10
from ntkrun.datasets.cifar10 import Cifar10
from ntkrun.datasets.csv import Csv
from ntkrun.datasets.digits import Digits
from ntkrun.datasets.npz import Npz
from ntkrun.datasets.split import make_split, stratified_order
from ntkrun.errors import DataError, NetworkError
from tests.faults.plan import record

SUBSET = {"n_train": None, "n_test": None, "valid_fraction": 0.25, "split_seed": 0}


def test_digits_parts_are_disjoint_stratified_and_standardised():
    split = Digits().load()
    assert (len(split.train), len(split.valid), len(split.test)) == (1150, 288, 359)
    for part in (split.train, split.valid, split.test):
        counts = np.bincount(part.y, minlength=10)
        assert counts.min() > 0.8 * counts.mean()
    rows = [p.x.reshape(len(p), -1) for p in (split.train, split.valid, split.test)]
    # the data set holds no duplicate images
    assert len(np.unique(np.concatenate(rows), axis=0)) == 1797
    import torch

    train = torch.cat([split.batch(p, 0, 2000, torch.float64) for p in ("train", "valid")])
    assert abs(float(train.mean())) < 1e-10
    assert float(train.std(unbiased=False)) == pytest.approx(1)


def test_statistics_come_from_train_alone():
    x = np.random.default_rng(0).normal(size=(40, 3))
    y = np.arange(40) % 2
    a = make_split("s", (x, y), (x, y), classes=2, **SUBSET)
    b = make_split("s", (x, y), (x * 100 + 7, y), classes=2, **SUBSET)
    assert np.array_equal(a.preprocess.mean, b.preprocess.mean)
    assert np.array_equal(a.preprocess.std, b.preprocess.std)
    assert a.sha256 != b.sha256


def test_every_prefix_of_the_order_is_stratified():
    y = np.repeat([0, 1, 2], [500, 300, 200])
    order = stratified_order(y, 3, 0)
    assert sorted(order) == list(range(1000))
    for n in (10, 100, 700):
        assert np.abs(np.bincount(y[order[:n]], minlength=3) / n - [0.5, 0.3, 0.2]).max() <= 2 / n + 1e-9


def write(tmp_path, **arrays):
    good = {"x_train": np.random.default_rng(0).normal(size=(20, 4, 4, 1)), "y_train": np.arange(20) % 2}
    good |= {"x_test": good["x_train"][:6], "y_test": good["y_train"][:6]}
    path = tmp_path / "data.npz"
    np.savez(path, **{**good, **arrays})
    return str(path)


X = np.random.default_rng(0).normal(size=(20, 4, 4, 1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y_test": np.array([0, 1, 0, 1, 0, 2])}, "y_test of data must be in 0..1 (row 5 is not). Got 2"),
        ({"y_train": -np.ones(20, int)}, "Got -1"),
        ({"y_train": np.arange(20) / 2}, "y_train of data must be labels for classification. Got 0.5"),
        ({"y_train": np.zeros(20, int)}, "y_train of data must be of at least two classes"),
        (
            {"y_train": np.arange(20) % 2 << 62},
            "one of the training labels 0, 4611686018427387904 (row 1 is not). Got 1",
        ),
        ({"y_train": np.arange(19)}, "one label for each of 20 rows"),
        ({"x_train": np.where(np.arange(20)[:, None, None, None] == 7, np.nan, X)}, "finite (row 7 is not)"),
        ({"x_test": np.ones((6, 5, 4, 1))}, "shaped like x_train"),
        ({"x_train": np.ones((20, 4, 4))}, "shaped like x_train, (n, (4, 4)). Got (6, 4, 4, 1)"),
        ({"x_train": np.ones((20, 4, 4, 1, 1))}, "rows (n, d) or images (n, H, W, C)"),
        ({"x_train": np.ones((0, 4, 4, 1)), "y_train": np.ones(0, int)}, "not empty"),
        ({"x_train": X.astype(complex)}, "of a real number type"),
        ({"x_train": np.array([object()] * 20)}, "not a readable .npz file of plain arrays"),
    ],
)
def test_bad_arrays_are_named(tmp_path, arrays, message):
    with pytest.raises(DataError) as caught:
        Npz(path=write(tmp_path, **arrays)).load()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_npz_file_errors(tmp_path):
    with pytest.raises(DataError, match="an existing file"):
        Npz(path=str(tmp_path / "none.npz")).load()
    whole = Path(write(tmp_path)).read_bytes()
    cut = tmp_path / "cut.npz"
    for size in (0, 10, len(whole) // 2):
        cut.write_bytes(whole[:size])
        with pytest.raises(DataError, match="not a readable"):
            Npz(path=str(cut)).load()
    with pytest.raises(DataError, match="at most 20"):
        Npz(path=write(tmp_path), n_train=21).load()


@pytest.mark.parametrize(("at", "value"), [(8, 99), (6, 1)], ids=["unknown method", "encrypted"])
def test_npz_members_that_zipfile_cannot_open(at, value, tmp_path):
    path = tmp_path / "data.npz"
    np.savez(
        path, x_train=np.zeros((4, 2)), y_train=np.arange(4), x_test=np.zeros((2, 2)), y_test=np.arange(2)
    )
    data = bytearray(path.read_bytes())
    for mark, shift in (
        (b"PK\x03\x04", 0),
        (b"PK\x01\x02", 2),
    ):  # the header of each member, and the directory
        start = data.find(mark)
        while start >= 0:
            data[start + at + shift] = value
            start = data.find(mark, start + 4)
    path.write_bytes(data)
    with pytest.raises(DataError, match="not a readable"):
        Npz(path=str(path)).load()


@pytest.mark.parametrize("header", ["{'descr': (", "{'descr': '<f8'\n  x\n y", "\\", "1 if else", "{" * 300])
def test_npz_members_with_a_header_that_is_no_literal(header, tmp_path):
    path, text = tmp_path / "data.npz", header.encode()
    with zipfile.ZipFile(path, "w") as archive:
        for key in ("x_train", "y_train", "x_test", "y_test"):
            archive.writestr(f"{key}.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(DataError, match="not a readable"):
        Npz(path=str(path)).load()


def test_npz_regression(tmp_path):
    split = Npz(path=write(tmp_path, y_train=np.arange(20) / 3, y_test=np.ones(6)), task="regression").load()
    assert split.classes is None
    assert split.n_train == 20


@pytest.fixture
def small_cifar(monkeypatch, tmp_path):
    """Make a binary archive in CIFAR-10's layout with 30 records per batch."""
    monkeypatch.setattr(cifar10, "ROWS", 30)
    rng = np.random.default_rng(0)
    batches = {}
    for name in cifar10.BATCHES:
        records = rng.integers(0, 256, (30, 3073), dtype=np.uint8)
        records[:, 0] = np.arange(30) % 10
        batches[name] = records
    return batches


def pack(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            if isinstance(data, tarfile.TarInfo):
                tar.addfile(data)
                continue
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return path


def binary_members(batches):
    return {f"cifar-10-batches-bin/{n}.bin": b.tobytes() for n, b in batches.items()}


def test_archive_folder_and_python_layout_agree(small_cifar, tmp_path):
    archive = pack(tmp_path / "a.tar.gz", binary_members(small_cifar))
    python = {
        f"cifar-10-batches-py/{n}": pickle.dumps({b"data": b[:, 1:].copy(), b"labels": b[:, 0].tolist()}, 3)
        for n, b in small_cifar.items()
    }
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for name, data in binary_members(small_cifar).items():
        (folder / name.split("/")[1]).write_bytes(data)
    sources = [archive, pack(tmp_path / "b.tar.gz", python), folder]
    splits = [Cifar10(path=str(s)).load() for s in sources]
    assert len({s.sha256 for s in splits}) == 1
    pixel = small_cifar["test_batch"][4, 1 + 1024 + 32 * 5 + 6]  # planar: green, row 5, column 6
    assert splits[0].test.x[4, 5, 6, 1] == pixel


@pytest.mark.parametrize("damage", ["short", "long", "label", "missing", "link", "garbage", "cut"])
def test_damaged_archives_are_refused(small_cifar, tmp_path, damage):
    members = binary_members(small_cifar)
    name = "cifar-10-batches-bin/data_batch_3.bin"
    if damage == "short":
        members[name] = members[name][:-1]
    elif damage == "long":
        members[name] += b"\0"
    elif damage == "label":
        members[name] = b"\x0a" + members[name][1:]
    elif damage == "missing":
        del members[name]
    elif damage == "link":
        link = tarfile.TarInfo(name)
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        members[name] = link
    path = pack(tmp_path / "bad.tar.gz", members)
    if damage == "garbage":
        path.write_bytes(b"no archive at all")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError) as caught:
        Cifar10(path=str(path)).load()
    assert sorted(tmp_path.rglob("*")) == before
    assert "\n" not in str(caught.value)
    if damage == "label":
        assert "y_train of cifar10 must be in 0..9" in str(caught.value)
    if damage in CASES:
        record("X", CASES[damage], 1)


CASES = {
    "short": "X47 a CIFAR batch that is a byte too short",
    "long": "X48 a CIFAR batch that is a byte too long",
    "label": "X49 label 10 in a CIFAR batch",
    "missing": "X62 missing",
}


class Gadget:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


GADGETS = {
    "os.system": Gadget(os.system, "touch CANARY"),
    "eval": Gadget(eval, "open('CANARY', 'w')"),
    "getattr": Gadget(getattr, "x", "upper"),
    "numpy.load with pickles": Gadget(np.load, "x", None, True),
    "numpy's _reconstruct of another type": Gadget(np.zeros(1).__reduce__()[0], dict, (0,), b"b"),
    "copyreg": Gadget(copyreg._reconstructor, dict, dict, {}),
}


@pytest.mark.parametrize("name", GADGETS)
def test_pickles_with_code_are_refused_and_not_run(small_cifar, tmp_path, monkeypatch, name):
    gadget = GADGETS[name]
    monkeypatch.chdir(tmp_path)
    members = {
        f"cifar-10-batches-py/{n}": pickle.dumps({b"data": gadget, b"labels": []}, 2) for n in small_cifar
    }
    monkeypatch.setattr(cifar10, "ROWS", 0)
    with pytest.raises(DataError, match="is not a CIFAR batch"):
        Cifar10(path=str(pack(tmp_path / "evil.tar.gz", members))).load()
    assert not (tmp_path / "CANARY").exists()
    record("X", f"X50 {name}", 1)


def test_found_archive_with_another_checksum_is_refused_unless_named(small_cifar, tmp_path):
    path = pack(tmp_path / "cifar-10-binary.tar.gz", binary_members(small_cifar))
    mirrors = ({"url": "http://127.0.0.1:9/cifar-10-binary.tar.gz", "hash": "md5:" + "0" * 32},)
    with pytest.raises(DataError, match="or name it if you trust it"):
        Cifar10(data_dir=str(tmp_path), mirrors=mirrors).load()
    assert Cifar10(path=str(path), mirrors=mirrors).load().n_train == 150


def test_offline_says_where_to_put_the_file(tmp_path):
    with pytest.raises(NetworkError, match=r"Set dataset\.path=FILE"):
        Cifar10(data_dir=str(tmp_path)).load()


def test_real_cifar10_is_what_its_readme_says(cifar_archive):
    split = Cifar10(path=str(cifar_archive)).load()
    assert (split.n_train, len(split.test)) == (50_000, 10_000)
    assert np.allclose(split.preprocess.mean / 255, [0.4914, 0.4822, 0.4465], atol=5e-4)
    assert np.allclose(split.preprocess.std / 255, [0.2470, 0.2435, 0.2616], atol=5e-4)
    assert np.bincount(split.test.y).tolist() == [1000] * 10


def table(tmp_path, text, name="t.csv"):
    path = tmp_path / name
    path.write_text(text)
    return str(path)


def test_csv_takes_the_last_column_or_the_named_one(tmp_path):
    rng = np.random.default_rng(0)
    lines = ["a,b,c", *(f"{x},{y},{z}" for x, y, z in rng.normal(size=(50, 3)))]
    split = Csv(path=table(tmp_path, "\n".join(lines))).load()
    assert (split.classes, split.n_train, len(split.test), split.train.x.shape[1]) == (None, 40, 10, 2)
    whole = np.concatenate([p.y for p in (split.train, split.valid, split.test)])
    values = np.array([line.split(",") for line in lines[1:]], float)
    assert np.allclose(np.sort(whole), np.sort(values[:, 2]))
    named = Csv(path=table(tmp_path, "\n".join(lines)), target="a").load()
    assert np.isin(np.concatenate([named.train.y, named.test.y]), values[:, 0]).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a table: it has no rows"),
        ("a,b\n1,x\n", "target of Csv must be of at least two classes. Got 'x'"),
        ("a,b\n1,2\ninf,3\n4,5\n", "column a of the table must be finite (row 2 is not). Got inf"),
        ("a,b\n1,2,3\n1,2,3,4\n", "is not a table: row 1 has 3 fields, the header 2"),
        ("a\n1\n2\n", "one of at least two columns"),
    ],
)
def test_bad_tables_are_named(tmp_path, text, message):
    with pytest.raises(DataError) as caught:
        Csv(path=table(tmp_path, text)).load()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_csv_classification_wants_labels(tmp_path):
    lines = "a,y\n" + "\n".join(f"{i / 7},{i % 3}" for i in range(60))
    assert Csv(path=table(tmp_path, lines), task="classification").load().classes == 3
    with pytest.raises(DataError, match=r"labels for classification. Got 0\.14"):
        Csv(path=table(tmp_path, lines), task="classification", target="a").load()
    with pytest.raises(DataError, match=r"labels below 2\^62 in size. Got '1e\+300'"):
        Csv(path=table(tmp_path, "a,y\n1,0\n2,1e300\n3,0"), task="classification").load()


def test_real_protein_table(cifar_archive):
    split = Csv(file="protein.csv.gz", data_dir=str(cifar_archive.parent)).load()
    assert (split.n_train, len(split.test), split.train.x.shape[1]) == (36_584, 9_146, 9)
    assert np.concatenate([split.train.y, split.valid.y, split.test.y]).std() == pytest.approx(
        0.773, abs=1e-3
    )
