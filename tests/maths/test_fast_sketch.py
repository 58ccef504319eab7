"""Test OSNAP, SRHT and TensorSRHT: definitions, sparse input, no bias, the right rate."""

import numpy as np
import pytest
import scipy.linalg
import scipy.sparse as sp
import torch

from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.osnap import OSNAP
from ntkrun.maths.sketch.poly_sketch import PolySketch
from ntkrun.maths.sketch.product import DENSE_LIMIT, DenseProduct, make_product
from ntkrun.maths.sketch.srht import SRHT, TensorSRHT, hadamard
from tests.maths.test_sketch import F64, assert_unbiased, rows

X, Y = rows(5, 7, 1), rows(5, 11, 2)


def test_hadamard_is_the_matrix():
    x = torch.randn(3, 2, 16, dtype=F64)
    assert torch.allclose(hadamard(x), x @ torch.from_numpy(scipy.linalg.hadamard(16)).to(F64))


@pytest.mark.parametrize("dim", [4, 6, 20, 64])
def test_srht_is_unbiased(dim):
    def draw(seed):
        z = SRHT(7, dim, Stream(seed), F64)(X)
        assert z.shape == (5, dim)
        return (z @ z.T).numpy()

    if dim == 64:  # eight whole blocks of rows: an isometry
        assert np.allclose(draw(0), X @ X.T)
        return
    assert_unbiased(draw, X @ X.T, 5000)


def test_srht_draws_rows_without_replacement():
    rows_drawn = SRHT(7, 8, Stream(0)).rows.rows
    assert sorted(rows_drawn.tolist()) == list(range(8))
    assert torch.allclose(SRHT(7, 8, Stream(0), dtype=F64)(X).norm(dim=1), X.norm(dim=1))


@pytest.mark.parametrize("dim", [8, pytest.param(48, marks=pytest.mark.slow)])
def test_tensor_srht_is_unbiased(dim):
    def draw(seed):
        z = TensorSRHT(7, 11, dim, Stream(seed), F64)(X, Y)
        assert z.shape == (5, dim)
        return (z @ z.T).numpy()

    assert_unbiased(draw, (X @ X.T) * (Y @ Y.T), 4000)


def test_tensor_srht_error_falls_with_the_root_of_its_width():
    truth = (X @ X.T) * (Y @ Y.T)

    def median(m):
        grams = [TensorSRHT(7, 11, m, Stream(s), F64)(X, Y) for s in range(60)]
        return np.median([float((z @ z.T - truth).norm() / truth.norm()) for z in grams])

    assert 1.6 < median(64) / median(256) < 2.5


@pytest.mark.parametrize("sparsity", [1, 3])
def test_osnap_is_unbiased_with_unit_columns(sparsity):
    def draw(seed):
        z = OSNAP(7, 16, Stream(seed), sparsity, F64)(X)
        return (z @ z.T).numpy()

    assert_unbiased(draw, X @ X.T, 2500)
    matrix = OSNAP(7, 16, Stream(0), sparsity, F64)(torch.eye(7, dtype=F64))
    assert ((matrix != 0).sum(1) == sparsity).all()
    assert torch.allclose(matrix.norm(dim=1), torch.ones(7, dtype=F64))


def test_osnap_gives_the_same_for_dense_and_sparse_rows():
    x = rows(6, 40) * (torch.rand(6, 40) < 0.2)
    sketch = OSNAP(40, 16, Stream(0), 3, F64)
    dense = sketch(x)
    for sparse in (sp.csr_matrix(x.numpy()), sp.coo_matrix(x.numpy()), x.to_sparse_coo()):
        assert torch.allclose(sketch(sparse), dense)


def test_osnap_never_densifies():
    n, d = 1000, 10_000_000
    rng = np.random.default_rng(0)
    x = sp.csr_matrix((np.ones(n), rng.integers(d, size=n), np.arange(n + 1)), shape=(n, d))
    # dense, x would take 80 GB
    z = OSNAP(d, 8, Stream(0), 1, F64)(x)
    assert torch.equal(z.abs().sum(1), torch.ones(n, dtype=F64))


@pytest.mark.parametrize("kind", ["dense", "srht"])
def test_poly_sketch_takes_either_product(kind):
    x = torch.zeros(5, 64, dtype=F64)
    x[:, :6] = rows(5, 6)

    def draw(seed):
        z = PolySketch(3, 64, Stream(seed), F64, kind)(x)[2]
        return (z @ z.T).numpy()

    assert_unbiased(draw, (x @ x.T) ** 3, 1500)


def test_auto_picks_by_dimension():
    assert isinstance(make_product(8, DENSE_LIMIT, 8, Stream(0), F64), DenseProduct)
    assert isinstance(make_product(8, DENSE_LIMIT + 1, 8, Stream(0), F64), TensorSRHT)
