"""Files of sparse rows, sound and damaged."""

import bz2
import gzip

import numpy as np
import pytest
import scipy.sparse as sp

from tests.cases.base import Case, rows

END = " method=ntk_sketch depth=1 feature_dim=32 baseline=none tracking.uri=sqlite:///:memory:"
SVM = "dataset=svmlight dataset.path={here}/a.svm" + END
CSR = "dataset=csr dataset.path={here}" + END
SOUND = [f"{i % 2} {1 + i % 2}:1 {3 + i % 7}:{i}" for i in range(40)]


def text(change=None, at=20, name="a.svm", pack=bytes):
    """Write a sound file, one line of which is another."""

    def before(stage):
        lines = list(SOUND)
        if change is not None:
            lines[at] = change
        (stage.here / name).write_bytes(pack("\n".join(lines).encode()))

    return before


def cut(pack):
    return lambda data: pack(data * 50)[:-40]


def matrices(**changes):
    """Write four files of a sparse data set, after a change of the arrays of x_train.npz."""

    def before(stage):
        for part, n in (("train", 40), ("test", 12)):
            y = np.arange(n) % 2
            x = sp.csr_array(
                (np.arange(1.0, 2 * n + 1), np.stack([y, 2 + y], 1).ravel(), np.arange(n + 1) * 2), (n, 5)
            )
            sp.save_npz(stage.here / f"x_{part}.npz", x)
            np.save(stage.here / f"y_{part}.npy", y)
        if changes:
            with np.load(stage.here / "x_train.npz") as file:
                arrays = dict(file)
            arrays |= {key: change(arrays[key].copy()) for key, change in changes.items()}
            np.savez(stage.here / "x_train.npz", **arrays)

    return before


def put(index, value):
    def change(array):
        array[index] = value
        return array

    return change


BAD_LINES = [
    ("an index twice in a line", "1 2:1 2:5", "line 21 has the index 2 twice"),
    ("indices that fall", "1 4:1 2:5", "line 21 has the index 2 after 4"),
    ("a negative index", "1 -3:1", "line 21 has the negative index -3"),
    ("an index above 2^31", "1 2:1 4294967296:1", "line 21 has the index 4294967296, above 2147483647"),
    ("a pair without a value", "1 2:1 7", "line 21 has '7', which is no index:value"),
    ("a word for a value", "1 2:one", "line 21 has '2:one', which is no index:value"),
    ("a word for a label", "yes 2:1", "line 21 begins with 'yes', which is no number"),
    ("a table", "1,2,3", "line 21 begins with '1,2,3', which is no number"),
]
BROKEN = [
    ("that falls", {"indptr": put(7, 9)}, "its indptr falls at row 6"),
    ("beyond its data", {"indptr": put(-1, 10**6)}, "its indptr does not fit its shape and data"),
    ("below zero", {"indptr": put(0, -4)}, "its indptr does not fit its shape and data"),
    ("of fractions", {"indptr": lambda a: a + 0.5}, "its indices and indptr must be whole numbers"),
]

CASES = [
    Case("20", "an svmlight file, plain", "it runs", SVM, before=text()),
    *(
        Case(
            "20",
            f"an svmlight file, {name}",
            "it runs",
            SVM.replace("a.svm", "a.svm" + name),
            before=text(None, 0, "a.svm" + name, pack),
        )
        for name, pack in ((".gz", gzip.compress), (".bz2", bz2.compress))
    ),
    *(
        Case(
            "20",
            f"an svmlight file with {what}",
            "one line with the number of the line",
            SVM,
            before=text(line),
            code=3,
            says=(says,),
        )
        for what, line, says in BAD_LINES
    ),
    *(
        Case(
            "20",
            f"an svmlight file with {word} for a value",
            "one line with the number of the row",
            SVM,
            before=text(f"1 2:{word}"),
            code=3,
            says=("must be finite (row 20 is not)",),
        )
        for word in ("nan", "inf", "1e999")
    ),
    Case(
        "20",
        "an svmlight file with an index beyond dataset.columns",
        "one line with the number of the row",
        SVM + " dataset.columns=6",
        before=text(),
        code=3,
        says=("must be indices in 1..6 (row 4 is not)",),
    ),
    Case(
        "20",
        "an index 0 where dataset.zero_based=false",
        "one line with the number of the row",
        SVM + " dataset.zero_based=false",
        before=text("1 0:1"),
        code=3,
        says=("(row 20 is not). Got 0",),
    ),
    Case(
        "20",
        "an svmlight file without a line",
        "one line",
        SVM,
        before=lambda stage: (stage.here / "a.svm").touch(),
        code=3,
        says=("has no rows",),
    ),
    Case("20", "no such svmlight file", "one line", SVM, code=3, says=("must be an existing file",)),
    Case(
        "20",
        "a file of random bytes as svmlight",
        "one line",
        SVM,
        before=lambda stage: (stage.here / "a.svm").write_bytes(np.random.default_rng(0).bytes(5000)),
        code=3,
        says=("line 1 ",),
    ),
    *(
        Case(
            "20",
            f"an svmlight file in a damaged {name}",
            "one line",
            SVM.replace("a.svm", "a.svm" + name),
            before=text(None, 0, "a.svm" + name, cut(pack)),
            code=3,
            says=("is not a file of `label index:value ...` lines",),
        )
        for name, pack in ((".gz", gzip.compress), (".bz2", bz2.compress))
    ),
    Case(
        "20",
        "sparse rows with the default of dense ones",
        "one line that names what keeps zeros",
        SVM + " dataset.preprocess=standardize",
        before=text(),
        code=3,
        says=("must be scale, tfidf or none for sparse rows",),
    ),
    Case(
        "20",
        "sparse rows for a method of images",
        "one line that names a method of rows",
        SVM.replace("ntk_sketch depth=1", "cntk_sketch depth=2"),
        before=text(),
        code=3,
        says=("must be one that takes sparse rows", "method=ntk_sketch"),
    ),
    Case(
        "20",
        "sparse rows and fast transforms",
        "one line",
        SVM + " method.sketch=srht",
        before=text(),
        code=3,
        says=("sketch of NTKSketch must be auto, osnap or dense for sparse rows",),
    ),
    Case("20", "files of scipy.sparse.save_npz", "it runs", CSR, before=matrices()),
    *(
        Case(
            "20",
            f"a CSR file with an indptr {what}",
            "one line, and no crash",
            CSR,
            before=matrices(**change),
            code=3,
            says=(says,),
        )
        for what, change, says in BROKEN
    ),
    Case(
        "20",
        "a CSR file with a column beyond its width",
        "one line with the number of the row",
        CSR,
        before=matrices(indices=put(9, 5)),
        code=3,
        says=("row 4 has the column 5, but columns are 0..4",),
    ),
    Case(
        "20",
        "a CSR file with a negative column",
        "one line with the number of the row",
        CSR,
        before=matrices(indices=put(0, -1)),
        code=3,
        says=("row 0 has the column -1",),
    ),
    Case(
        "20",
        "a CSR file with nan",
        "one line with the number of the row",
        CSR,
        before=matrices(data=put(9, np.nan)),
        code=3,
        says=("must be finite (row 4 is not)",),
    ),
    Case(
        "20",
        "a CSR file that promises 2^31 rows",
        "one line, and no memory is taken",
        CSR,
        before=matrices(shape=put(0, 2**31)),
        code=3,
        says=("its indptr does not fit its shape and data",),
    ),
    Case(
        "20",
        "a CSR file whose indptr promises 2^31 non-zeros",
        "one line, and no memory is taken",
        CSR,
        before=matrices(indptr=lambda a: put(-1, 2**31 + 5)(a.astype(np.int64))),
        code=3,
        says=("its indptr does not fit its shape and data",),
    ),
    Case(
        "20",
        "a sparse matrix of another format",
        "one line",
        CSR,
        before=matrices(format=lambda a: np.array(b"csc")),
        code=3,
        says=("it has the format csc; save x.tocsr()",),
    ),
    Case(
        "20",
        "objects in a CSR file",
        "one line, nothing is unpickled",
        CSR,
        before=matrices(data=lambda a: a.astype(object)),
        code=3,
        says=("is not a CSR matrix",),
    ),
    Case(
        "20",
        "a damaged CSR file",
        "one line",
        CSR,
        before=lambda stage: (
            matrices()(stage),
            (stage.here / "x_train.npz").write_bytes(b"PK\3\4" + bytes(99)),
        ),
        code=3,
        says=("is not a CSR matrix",),
    ),
    Case(
        "20",
        "a CSR file as dataset=npz",
        "one line that names dataset=csr",
        "dataset=npz dataset.path={here}/x_train.npz" + END,
        before=matrices(),
        code=3,
        says=("Take dataset=csr",),
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_sparse(case, stage):
    stage.play(case)
