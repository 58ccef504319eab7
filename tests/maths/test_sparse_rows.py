"""Sparse rows: the same numbers as dense ones where the method is the same, at the cost of the non-zeros."""

import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone

from ntkrun import machine
from ntkrun.errors import DataError
from ntkrun.maths.kernel.rows import median_distance, ntk, rbf, unit, with_bias
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.grad_rf import GradientFeatures
from ntkrun.maths.method.ntk_nystrom import NTKNystrom
from ntkrun.maths.method.ntk_random_features import NTKRandomFeatures
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.method.raw import Raw
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.maths.metrics import frobenius_error
from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.hashed import HashedOSNAP
from ntkrun.maths.sparse import SparseRows, inner, joined
from tests.maths.test_fast_sketch import assert_unbiased

F64 = torch.float64
X = sp.random(60, 300, 0.05, format="csr", random_state=0)
X.data[X.indptr[7] : X.indptr[8]] = 0  # an empty row
X.eliminate_zeros()
DENSE = torch.from_numpy(X.toarray())
ROWS = SparseRows.of(X, F64)
# same numbers for either kind of rows
SAME = [
    NTKRandomFeatures(64, sketch="dense"),
    NTKRandomFeatures(64, bias=0.1, sketch="dense"),
    RandomFourierFeatures(64),
    NTKNystrom(30),
    NTKNystrom(30, kernel_name="rbf"),
    NTKSketch(64, sketch="dense"),
    ExactNTK(bias=0.1),
    Raw(),
    GradientFeatures(700, depth=1),
]


def wide(n, d, per_row, seed=0):
    rng = np.random.default_rng(seed)
    indices = np.sort(rng.integers(d, size=(n, per_row)), axis=1).ravel()
    values = rng.normal(size=n * per_row)
    return sp.csr_array((values, indices, np.arange(n + 1) * per_row), shape=(n, d))


@pytest.mark.parametrize("kind", [X, sp.coo_matrix(X), sp.csr_array(X), DENSE, DENSE.to_sparse_coo(), ROWS])
def test_rows_of_any_kind(kind):
    rows = SparseRows.of(kind, F64)
    assert torch.equal(rows.dense(), DENSE)
    assert rows.shape == (60, 300)
    assert len(rows.values) == X.nnz


def test_entries_out_of_order_and_repeated_are_those_of_their_sum():
    x = sp.csr_array((np.array([1.0, 2.0, 4.0]), np.array([3, 1, 3]), np.array([0, 3])), shape=(1, 5))
    rows = SparseRows.of(x, F64)
    assert rows.columns.tolist() == [1, 3]
    assert rows.values.tolist() == [2, 5]
    assert x.indices.tolist() == [3, 1, 3]  # the user's own stay


def test_operations_equal_those_of_dense_rows():
    w = torch.from_numpy(np.random.default_rng(0).normal(size=(300, 5)))
    for index in (
        slice(3, 20),
        slice(50, 90),
        slice(8, 8),
        [5, 7, 7, 0],
        np.array([59, 7]),
        torch.tensor([1]),
    ):
        assert torch.equal(ROWS[index].dense(), DENSE[index])
    assert torch.allclose(ROWS @ w, DENSE @ w)
    assert torch.allclose(ROWS.norm(), DENSE.norm(dim=1))
    assert torch.allclose(unit(ROWS).dense(), unit(DENSE))
    assert torch.allclose(with_bias(ROWS, 0.3).dense(), with_bias(DENSE, 0.3))
    assert torch.equal(joined([ROWS[:9], ROWS[9:]]).dense(), DENSE)
    for x, y in ((ROWS, ROWS[:11]), (ROWS, DENSE[:11]), (DENSE, ROWS[:11])):
        assert torch.allclose(inner(x, y), DENSE @ DENSE[:11].T)
    assert torch.allclose(ntk(ROWS, ROWS, 2), ntk(DENSE, DENSE, 2))
    assert torch.allclose(rbf(ROWS, ROWS, 0.7), rbf(DENSE, DENSE, 0.7))
    assert median_distance(ROWS) == pytest.approx(median_distance(DENSE))


def test_blocks_of_the_inner_product(monkeypatch):
    monkeypatch.setattr("ntkrun.maths.sparse.BLOCK_BYTES", 600)
    assert torch.allclose(inner(ROWS, ROWS), DENSE @ DENSE.T)


def test_more_than_2_to_31_entries_need_no_other_code():
    one, far = torch.zeros(1, dtype=torch.int64), 2**31
    rows = SparseRows(
        torch.tensor([0, far, far + 3]), one.expand(far + 3), torch.ones(1).expand(far + 3), width=4
    )  # expanded tensors hold one number
    for index in (slice(1, 2), [1]):
        assert rows[index].columns.tolist() == [0, 0, 0]
        assert (rows[index] @ torch.ones(4, 1)).tolist() == [[3.0]]


@pytest.mark.parametrize("sparsity", [1, 3])
def test_hashed_osnap_is_unbiased_with_unit_columns(sparsity):
    x = ROWS[:6]

    def draw(seed):
        z = HashedOSNAP(300, 32, Stream(seed), sparsity, F64)(x)
        return (z @ z.T).numpy()

    assert_unbiased(draw, DENSE[:6] @ DENSE[:6].T, 1500)
    each = HashedOSNAP(7, 16, Stream(0), sparsity, F64)(SparseRows.of(torch.eye(7), F64))
    assert ((each != 0).sum(1) == sparsity).all()
    assert torch.allclose(each.norm(dim=1), torch.ones(7, dtype=F64))


def test_hashed_osnap_fills_all_places_alike_and_has_the_same_bits_in_any_batch():
    sketch = HashedOSNAP(100_000, 32, Stream(0), 4)
    every = SparseRows(torch.tensor([0, 100_000]), torch.arange(100_000), torch.ones(100_000), 100_000)
    places, odd = sketch._hashed(every.columns)
    counts = torch.bincount(places.flatten(), minlength=32).double()
    assert ((counts - 12_500).abs() < 5 * 12_500**0.5).all()
    assert abs(odd.double().mean() - 0.5) < 0.005
    rows = SparseRows.of(wide(40, 100_000, 3000), torch.float32)
    z = sketch(rows)
    for size in (1, 7, 39):
        assert torch.equal(torch.cat([sketch(rows[i : i + size]) for i in range(0, 40, size)]), z)


@pytest.mark.parametrize("method", SAME, ids=repr)
def test_methods_give_what_they_give_for_dense_rows(method):
    method = clone(method).set_params(dtype="float64")
    sparse, dense = clone(method).fit(X), clone(method).fit(X.toarray())
    z = dense.transform(X.toarray())
    for x in (X, sp.csr_array(X), X.toarray()):
        assert np.allclose(sparse.transform(x), z, atol=1e-7)
        assert np.array_equal(dense.transform(x), z)
    assert np.allclose(sparse.kernel(X), dense.kernel(X.toarray()), atol=1e-7)
    parts = np.concatenate([sparse.transform(X[:7]), sparse.transform(X[7:])])
    assert np.allclose(parts, sparse.transform(X), atol=1e-12)


@pytest.mark.parametrize("variant", ["layerwise", "one_shot"])
def test_ntk_sketch_of_sparse_rows_is_near_the_exact_kernel(variant):
    x = wide(30, 50_000, 200)
    x = sp.csr_array(x + 0.5 * sp.csr_array(np.ones((30, 1))) @ x[:1])  # rows that are alike
    errors = []
    for m in (512, 4096):
        method = NTKSketch(m, depth=1, variant=variant, sketch_dim=m // 8 - 1, dtype="float64").fit(x)
        z = method.transform(x)
        errors.append(frobenius_error(torch.from_numpy(z @ z.T), torch.from_numpy(method.kernel(x))))
    assert errors[1] < 0.5 * errors[0]
    assert errors[1] < 0.12


def test_auto_is_decided_by_the_rows_and_is_part_of_the_identity():
    dense, sparse = NTKSketch(64).fit(X.toarray()), NTKSketch(64).fit(X)
    assert "sketch" not in dense.identity()
    assert sparse.identity()["sketch"] == "osnap"
    assert NTKSketch(64).for_sparse().identity()["sketch"] == "osnap"
    assert sparse.fit(X.toarray()).identity() == dense.identity()
    # rows no wider than the sketch are kept whole
    narrow = sp.csr_array(X[:, :20])
    assert np.allclose(*(NTKSketch(512).fit(x).transform(x) for x in (narrow, narrow.toarray())), atol=1e-5)
    with pytest.raises(DataError, match="sketch of NTKSketch must be auto, osnap or dense for sparse rows"):
        NTKSketch(64, sketch="srht").fit(X)
    with pytest.raises(DataError, match="method of ntkrun must be one that takes sparse rows"):
        CNTKSketch(64).for_sparse()


def test_memory_does_not_grow_with_the_columns():
    assert len(pickle.dumps(NTKSketch(256).fit(wide(5, 10**9, 9)))) < 2 << 20
    x = wide(2000, 1_000_000, 50)
    methods = [NTKSketch(256), NTKNystrom(64), ExactNTK()]
    for method in methods:  # loads what is loaded once
        method.fit(x[:50]).transform(x[:50])
    assert NTKSketch(256).for_sparse().bytes_per_row((10**6,)) == NTKSketch(256).for_sparse().bytes_per_row(
        (9,)
    )
    before = machine.rss_mb()
    if not machine.reset_peak_rss():
        pytest.skip("this system does not tell the peak of a part of a process")
    for method in methods:
        method.fit(x[:500]).transform(x)
    assert machine.peak_rss_mb() - before < 250  # a dense batch of 100 rows takes 400 MB


def test_weights_that_grow_with_the_columns_are_planned():
    for method in (NTKRandomFeatures(1024), RandomFourierFeatures(1024)):
        assert method.for_sparse().fit_bytes(10, (10**6,)) > 6e9
    assert NTKSketch(1024).for_sparse().fit_bytes(10, (10**6,)) == 0
