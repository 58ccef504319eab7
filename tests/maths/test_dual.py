"""Ridge regression with fewer rows than columns: the dual gives what the normal equations give."""

from itertools import pairwise

import pytest
import torch

from ntkrun.maths.ridge import cholesky, gram
from ntkrun.maths.ridge.gram import row_products
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.ridge.rows import RowsOrSums

RELATIVE = [1e-6, 1e-3, 1e-1]


def some(n, m, seed=0):
    generator = torch.Generator().manual_seed(seed)
    z = torch.randn(n, m, generator=generator, dtype=torch.float64) + 3
    y = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    return z, y, torch.randint(1, 4, (n,), generator=generator).double()


def filled(data, z, y, weight, batch=17):
    for a, b in pairwise([*range(0, len(z), batch), len(z)]):
        data.add(z[a:b], y[a:b], None if weight is None else weight[a:b])
    return data


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("rows", [40, 59, 60, 61, 90])
def test_rows_and_sums_give_one_solution_on_both_sides_of_square(rows, weighted):
    z, y, weight = some(rows, 60)
    weight = weight if weighted else None
    rows_or_sums, sums = filled(RowsOrSums(), z, y, weight), filled(NormalEquations(), z, y, weight)
    assert rows_or_sums.size == min(rows, 60)
    assert rows_or_sums.n == pytest.approx(sums.n)
    for a, b in zip(rows_or_sums.path(RELATIVE), sums.path(RELATIVE), strict=True):
        assert a.lam == pytest.approx(b.lam, rel=1e-12)
        assert torch.allclose(a.predict(z), b.predict(z), atol=1e-8, rtol=0)
        assert rows_or_sums.mse(a) == pytest.approx(sums.mse(a), rel=1e-8)
        assert torch.allclose(rows_or_sums.mse_per_target(a), sums.mse_per_target(a), rtol=1e-8)


@pytest.mark.parametrize(
    ("first", "second"), [(10, 10), (30, 40), (70, 10), (10, 70), (70, 80), (0, 20), (20, 0)]
)
def test_merged_holds_the_rows_of_both_and_changes_neither(first, second):
    z, y, weight = some(first + second, 60)
    a = filled(RowsOrSums(), z[:first], y[:first], weight[:first])
    b = filled(RowsOrSums(), z[first:], y[first:], weight[first:])
    sizes = [x.size if x.n else 0 for x in (a, b)]
    both = a.merged(b)
    assert both.size == min(60, first + second)
    assert [x.size if x.n else 0 for x in (a, b)] == sizes
    want = next(filled(NormalEquations(), z, y, weight).path([1e-3]))
    assert torch.allclose(next(both.path([1e-3])).weight, want.weight, atol=1e-9)


def test_few_wide_rows_need_no_matrix_of_their_columns():
    z, y, _ = some(32, 200_000)  # 320 GB as normal equations
    data = filled(RowsOrSums(), z.float(), y, None)
    fit = next(data.path([1e-9]))
    assert torch.allclose(fit.predict(z.float()), y, atol=1e-4)


@pytest.mark.parametrize("held", [1, 8 * 30 * 25, 1 << 31])
def test_products_do_not_depend_on_how_often_rows_are_read(monkeypatch, held):
    monkeypatch.setattr(gram, "HELD_BYTES", held)
    monkeypatch.setattr(cholesky, "BLOCK", 16)
    z, _, _ = some(55, 30)
    starts = []

    def blocks(start):
        starts.append(start)
        return (z[i : i + 10] for i in range(start, 55, 10))

    out, pivot = row_products(blocks, 55)
    assert torch.allclose(out, (z - pivot) @ (z - pivot).T, rtol=1e-12, atol=1e-12)
    assert starts == {1: [0, 10, 20, 30, 40, 50], 8 * 30 * 25: [0, 20, 40], 1 << 31: [0]}[held]


def test_products_check_the_number_of_rows():
    with pytest.raises(ValueError, match="blocks must yield 9 rows"):
        row_products(lambda start: [torch.ones(4, 3), torch.ones(4, 3)], 9)


def test_products_keep_their_digits_beside_a_large_constant():
    z, _, _ = some(20, 30)
    centre = torch.eye(20, dtype=torch.float64) - 1 / 20
    plain, shifted = (centre @ row_products(lambda start, x=x: [x], 20)[0] @ centre for x in (z, z + 1e6))
    assert torch.allclose(plain, shifted, atol=1e-7)
