"""Data sets of sparse rows, from the file to the prediction."""

import bz2
import gzip
import json

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.datasets import dump_svmlight_file
from sklearn.feature_extraction.text import TfidfTransformer

from ntkrun.datasets.csr import Csr
from ntkrun.datasets.preprocess.scale import Scale
from ntkrun.datasets.preprocess.tfidf import TfIdf
from ntkrun.datasets.rows import blocks, hashes, largest, memory, subset
from ntkrun.datasets.split import Role, make_split
from ntkrun.datasets.svmlight import Svmlight
from ntkrun.errors import DataError, MachineError
from ntkrun.executors.serial import Serial
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.method.raw import Raw
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.model import Model
from ntkrun.serving import _load_pyfunc
from ntkrun.solvers.ridge import Ridge
from ntkrun.stages import data
from ntkrun.stages import memory as plans
from ntkrun.stages.tasks import task_of

RNG = np.random.default_rng(0)
Y = RNG.integers(0, 3, 90)
NAMES = np.array([-1, 4, 7])[Y]


def counts(n=90, d=200):
    """Return counts whose columns 0..59 say the class."""
    x = (RNG.random((n, d)) < 0.04).astype(float) * RNG.integers(1, 4, (n, d))
    x[np.arange(n)[:, None], 20 * Y[:n, None] + RNG.integers(0, 20, (n, 5))] = 2
    return x


X = counts()
CSR = sp.csr_array(X)


@pytest.fixture
def files(tmp_path):
    """Write the rows in both formats; the svmlight test file is compressed."""
    dump_svmlight_file(CSR[:60], NAMES[:60], str(tmp_path / "train.svm"), zero_based=False)
    dump_svmlight_file(CSR[60:], NAMES[60:], str(tmp_path / "plain.svm"), zero_based=False)
    text = (tmp_path / "plain.svm").read_bytes()
    (tmp_path / "test.svm.gz").write_bytes(gzip.compress(text))
    (tmp_path / "test.svm.bz2").write_bytes(bz2.compress(text))
    for part, rows in (("train", slice(0, 60)), ("test", slice(60, 90))):
        sp.save_npz(tmp_path / f"x_{part}.npz", CSR[rows])
        np.save(tmp_path / f"y_{part}.npy", NAMES[rows])
    return tmp_path


def split_of(x=CSR, **options):
    options = {"n_train": None, "n_test": None, "valid_fraction": 0.2, "split_seed": 0} | options
    return make_split("s", (x[:60], Y[:60]), (x[60:], Y[60:]), classes=3, **{"preprocess": "none"} | options)


def test_the_files_of_a_folder_are_one_part(files):
    """They follow each other by their numbers, and the file with the largest index decides the columns."""
    lines = (files / "train.svm").read_bytes().splitlines(keepends=True)
    lines = [line for line in lines if not line.startswith(b"#")]
    folder = files / "parts"
    folder.mkdir()
    (folder / ".hidden").write_text("no rows")
    for i in range(12):
        text = b"".join(lines[5 * i : 5 * i + 5])
        (folder / f"part-{i}.svm").write_bytes(text) if i % 2 else (folder / f"part-{i}.svm.gz").write_bytes(
            gzip.compress(text)
        )
    test = str(files / "test.svm.gz")
    one = Svmlight(path=str(files / "train.svm"), test_path=test).load()
    assert Svmlight(path=str(folder), test_path=test).load().sha256 == one.sha256
    (folder / "part-3.svm").write_text("1 5:1 4:1\n")
    with pytest.raises(DataError, match=r"part-3.svm .*line 1 has the index 4 after 5"):
        Svmlight(path=str(folder), test_path=test).load()
    (files / "empty").mkdir()
    with pytest.raises(DataError, match="empty is a folder without files"):
        Svmlight(path=str(files / "empty")).load()


@pytest.mark.parametrize("ending", [".gz", ".bz2"])
def test_both_formats_hold_the_same_rows(files, ending):
    train, test = str(files / "train.svm"), str(files / f"test.svm{ending}")
    one = Svmlight(path=train, test_path=test, columns=200).load()
    other = Csr(path=str(files)).load()
    assert one.sha256 == other.sha256
    assert one.sparse
    assert one.labels.values == [-1, 4, 7]
    assert (one.test.x != CSR[60:]).nnz == 0
    assert (one.fit_rows().sum() + one.test.x.sum()) == X.sum()


def test_the_first_column_is_detected_or_given(tmp_path):
    path = tmp_path / "a.svm"
    path.write_text("# a comment\n" + "1 1:2 3:4 # another\n0 qid:3 2:1\n" * 10)
    found = Svmlight(path=str(path)).load()
    assert found.train.x.shape[1] == 3
    assert found.inputs.first == 1
    assert Svmlight(path=str(path), zero_based=True).load().train.x.shape[1] == 4
    path.write_text("1 0:2 3:4\n0 2:1\n" * 10)
    found = Svmlight(path=str(path)).load()
    assert (found.train.x.shape[1], found.inputs.first) == (4, 0)
    values = Svmlight(path=str(path), task="regression").load()
    assert values.classes is None
    assert sorted(set(np.concatenate([values.train.y, values.test.y]))) == [0, 1]


def test_sources_of_sparse_rows():
    assert memory(CSR) == CSR.data.nbytes + CSR.indices.nbytes + CSR.indptr.nbytes
    assert (sp.vstack(list(blocks(CSR, rows=7))) != CSR).nnz == 0
    assert (subset(CSR, np.array([3, 5])) != CSR[[3, 5]]).nnz == 0
    assert np.array_equal(largest(CSR), np.abs(X).max(1))
    assert len(set(hashes(sp.csr_array(X[[1, 2, 1]])))) == 2
    # the hash is that of the rows, not of the types of their indices; dense rows have another
    long = sp.csr_array(
        (CSR.data, CSR.indices.astype(np.int64), CSR.indptr.astype(np.int64)), shape=CSR.shape
    )
    assert split_of(long).sha256 == split_of().sha256
    assert split_of(X).sha256 != split_of().sha256


def test_preprocessing_keeps_zeros_and_equals_that_of_dense_rows():
    rows = np.arange(60)
    for kind in (Scale, TfIdf):
        sparse, dense = kind(CSR, rows), kind(X, rows)
        assert np.array_equal(sparse.arrays()[0], dense.arrays()[0])
        z = split_of(preprocess=kind.name).batch(Role.TEST, 0, 30, torch.float64)
        assert len(z.values) == CSR[60:].nnz
        assert torch.allclose(z.dense(), dense(torch.from_numpy(X[60:])))
    theirs = TfidfTransformer().fit(CSR[:60]).transform(CSR[60:]).toarray()
    assert np.allclose(TfIdf(CSR, rows)(torch.from_numpy(X[60:])).numpy(), theirs)
    for kind in ("standardize", "zca", "quantile", "contrast"):
        with pytest.raises(DataError, match=r"preprocess of s must be scale, tfidf or none for sparse rows"):
            split_of(preprocess=kind)
    with pytest.raises(DataError, match="counts, at least 0"):
        split_of(-CSR, preprocess="tfidf")
    with pytest.raises(DataError, match="augment"):
        split_of(augment="flip")


def test_stage_data_tells_what_it_tells_of_dense_rows(files):
    split = Csr(path=str(files)).load()
    again = make_split(
        "s", (CSR[:60], Y[:60]), (1000 * CSR[:30], Y[:30]), classes=3, n_train=None, n_test=None,
        valid_fraction=0.2, split_seed=0, preprocess="none",
    )  # fmt: skip
    assert data.overlap(split) == 0
    assert data.overlap(split_of(sp.csr_array(X[np.arange(90) % 60]))) == 30
    assert data.other_scale(again)
    assert not data.other_scale(split)


@pytest.mark.parametrize("method", [NTKSketch(64), ExactNTK(), Raw(), RandomFourierFeatures(64)], ids=repr)
def test_a_saved_model_is_the_same(method, tmp_path, files, ntkrun):
    words = [
        "dataset=csr",
        f"dataset.path={files}",
        f"method={method.name}",
        "feature_dim=64",
        "baseline=none",
    ]
    code, _, err = ntkrun(*words, "dataset.preprocess=tfidf")
    assert code == 0, err
    (folder,) = (ntkrun.out / "runs").glob("*/model")
    model = Model.load(folder, "cpu")
    values = model.values(CSR[60:])
    assert np.allclose(values, model.values(X[60:]), atol=1e-5)  # dense rows are taken too
    assert np.allclose(values, model.values(sp.coo_matrix(X[60:])))
    served = _load_pyfunc(str(folder))
    for x in (X[60:], sp.csr_matrix(CSR[60:])):
        assert np.array_equal(served.predict(x), model.named(values))
    result = json.loads(next((ntkrun.out / "runs").glob("*/result.json")).read_text())
    assert (model.named(values) == NAMES[60:]).mean() == pytest.approx(result["test/accuracy"])
    with pytest.raises(DataError, match=r"x of Model must be numbers of shape \(n, 200\)"):
        model.values(CSR[:, :9])
    broken = CSR[60:].copy()
    broken.data[40] = np.nan
    with pytest.raises(DataError, match=r"finite \(row \d+ is not\)"):
        model.values(broken)


def test_predict_reads_both_formats(files, ntkrun, capsys):
    from ntkrun.cli import main as cli

    path = f"dataset.path={files / 'train.svm'}"
    assert ntkrun("dataset=svmlight", path, "dataset.columns=200", "method=raw", "baseline=none")[0] == 0
    (run,) = (ntkrun.out / "runs").iterdir()
    tables = []
    for name in ("test.svm.gz", "x_test.npz"):
        out = files / "p.csv"
        assert cli.main(["predict", str(run), str(files / name), "--output", str(out)]) == 0
        tables.append(out.read_text())
    assert tables[0] == tables[1]
    assert "accuracy" in capsys.readouterr().out


def test_the_memory_plan_names_the_method_that_fits(monkeypatch):
    x = sp.csr_array((np.ones(90), np.arange(90) * 10**4, np.arange(91)), shape=(90, 10**6))
    split = split_of(x)
    monkeypatch.setattr("ntkrun.machine.available_memory", lambda: 2 << 30)
    plans.plan(task_of(split, NTKSketch(1024)), 64, Ridge(), Serial())
    with pytest.raises(MachineError, match="method=ntk_sketch does not grow with the columns"):
        plans.plan(task_of(split, RandomFourierFeatures(1024)), 64, Ridge(), Serial())
    with pytest.raises(DataError, match="method of ntkrun must be one that takes sparse rows"):
        task_of(split, CNTKSketch(64))
