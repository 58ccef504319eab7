"""Test the sets of four .npy files and those of scikit-learn."""

import numpy as np
import pytest

from ntkrun.datasets.npy import Npy
from ntkrun.datasets.npz import Npz
from ntkrun.datasets.sklearn import Sklearn
from ntkrun.errors import NetworkError
from tests.images import RNG, refused


@pytest.fixture
def arrays(tmp_path):
    made = {"x_train": RNG.normal(size=(20, 3, 5, 4)), "y_train": np.arange(20) % 2}
    made |= {"x_test": made["x_train"][:6], "y_test": made["y_train"][:6]}
    for key, array in made.items():
        np.save(tmp_path / f"{key}.npy", array)
    np.savez(tmp_path / "a.npz", **made)
    return tmp_path, made


def test_npy_is_as_npz(arrays):
    folder, made = arrays
    names = {key: str(folder / f"{key}.npy") for key in made}
    layout = {"layout": "channels_first"}
    same = Npz(path=str(folder / "a.npz"), **layout).load()
    for source in (Npy(path=str(folder), **layout), Npy(**names, **layout)):
        split = source.load()
        assert split.sha256 == same.sha256
        assert split.train.x.shape[1:] == (5, 4, 3)
    np.save(folder / "big.npy", made["x_train"].astype(">f8"))
    assert Npy(**(names | {"x_train": str(folder / "big.npy")}), **layout).load().sha256 == same.sha256
    values = Npy(path=str(folder), task="regression", **layout).load()
    assert values.classes is None


def test_npy_files_that_are_absent_damaged_or_no_arrays(arrays):
    folder, _ = arrays
    (problem,) = Npy(x_train="a.npy").problems()
    assert "dataset.y_train=FILE dataset.x_test=FILE dataset.y_test=FILE" in problem
    source, path = Npy(path=str(folder), layout="channels_first"), folder / "x_test.npy"
    whole = path.read_bytes()
    for data in (b"", b"no array", whole[:-1], whole[:30]):
        path.write_bytes(data)
        refused(source, r"x_test\.npy is not a readable \.npy file of a plain array")
    np.save(path, np.array([{}, 1]), allow_pickle=True)
    refused(source, "not a readable")
    path.write_bytes((folder / "a.npz").read_bytes())
    refused(source, "For a .npz file: dataset=npz dataset.path=")
    path.unlink()
    refused(source, r"x_test of Npy must be an existing \.npy file")


@pytest.mark.parametrize(
    ("title", "rows", "shape", "names"),
    [
        ("iris", 150, (4,), ["setosa", "versicolor", "virginica"]),
        ("wine", 178, (13,), ["class_0", "class_1", "class_2"]),
        ("breast_cancer", 569, (30,), ["malignant", "benign"]),
        ("digits", 1797, (8, 8, 1), [str(i) for i in range(10)]),
        ("diabetes", 442, (10,), []),
    ],
)
def test_sets_inside_scikit_learn_need_no_network(title, rows, shape, names):
    split = Sklearn(title=title).load()
    assert split.n_train + len(split.test) == rows
    assert len(split.test) == round(0.2 * rows)
    assert split.train.x.shape[1:] == shape
    assert split.class_names == names
    assert (split.classes or 0) == len(names)
    assert (split.inputs.columns is None) == (len(shape) == 3)
    if names:
        shares = [np.bincount(p.y, minlength=len(names)) / len(p.y) for p in (split.train, split.test)]
        assert np.abs(shares[0] - shares[1]).max() < 0.04


def test_wrong_titles_and_absent_downloads_are_told(tmp_path):
    (problem,) = Sklearn(title="moons").problems()
    assert problem.startswith("title of Sklearn must be one of iris, wine,")
    for title in ("california_housing", "covtype", "olivetti_faces", "20newsgroups_vectorized"):
        with pytest.raises(NetworkError) as caught:
            Sklearn(title=title, data_dir=str(tmp_path)).load()
        assert f"{title} is not in {tmp_path}/scikit_learn and could not be downloaded" in str(caught.value)
        assert f"Call sklearn.datasets.fetch_{title}(data_home=DIR)" in str(caught.value)


def bunches(monkeypatch, name, make):
    import sklearn.datasets

    monkeypatch.setattr(
        sklearn.datasets, name, lambda data_home, download_if_missing, **options: make(**options)
    )


def test_covtype_has_labels_from_1_and_the_name_of_its_column(tmp_path, monkeypatch):
    y = np.arange(70, dtype=np.int32) % 7 + 1
    made = {"data": RNG.normal(size=(70, 3)), "target": y, "target_names": ["Cover_Type"]}
    bunches(monkeypatch, "fetch_covtype", lambda: made | {"feature_names": ["a", "b", "c"]})
    split = Sklearn(title="covtype", data_dir=str(tmp_path)).load()
    assert split.class_names == ["1", "2", "3", "4", "5", "6", "7"]
    assert split.inputs.columns == ["a", "b", "c"]
    assert set(split.test.y) == set(range(7))


def test_sparse_sets_become_dense_if_they_fit(tmp_path, monkeypatch):
    from scipy.sparse import csr_matrix

    dense = {
        part: (RNG.random((n, 40)) < np.linspace(0.9, 0.1, 40)) * 1.0
        for part, n in (("train", 50), ("test", 20))
    }
    names = ["alt.atheism", "sci.space"]

    def make(subset):
        x = dense[subset]
        return {"data": csr_matrix(x), "target": np.arange(len(x)) % 2, "target_names": names}

    bunches(monkeypatch, "fetch_20newsgroups_vectorized", make)
    source = {"title": "20newsgroups_vectorized", "data_dir": str(tmp_path)}
    split = Sklearn(**source).load()
    assert np.array_equal(split.test.x, dense["test"].astype(np.float32))
    assert (split.n_train, split.class_names) == (50, names)
    few = Sklearn(**source, max_columns=7).load()
    keep = np.sort(np.argsort(-dense["train"].sum(0), kind="stable")[:7])
    assert np.array_equal(few.test.x, dense["test"][:, keep])
    monkeypatch.setattr("ntkrun.datasets.sklearn.DENSE", 70 * 4 * 39)
    refused(Sklearn(**source), r"once they are dense\. Got '70 x 40 numbers.* Set dataset\.max_columns=39")
    assert Sklearn(**source, max_columns=39).load().train.x.shape == (40, 39)


def test_a_damaged_download_of_scikit_learn_is_named(tmp_path, monkeypatch):
    def broken():
        raise KeyError("bad pickle")

    bunches(monkeypatch, "fetch_covtype", broken)
    refused(Sklearn(title="covtype", data_dir=str(tmp_path)), "covtype in .* cannot be read: .* Delete ")
