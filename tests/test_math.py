"""The statements of docs/math.md that nothing else tests, and the page itself."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from markdown_it import MarkdownIt
from mdit_py_plugins.dollarmath import dollarmath_plugin

from ntkrun.maths.dual.activation import dual
from ntkrun.maths.dual.arccos import kappa0, kappa1
from ntkrun.maths.dual.polynomial import coefficients, smallest_correlation, tail
from ntkrun.maths.kernel.rows import ntk_of_cosine
from ntkrun.maths.method.grad_rf import GradientFeatures
from ntkrun.maths.method.ntk_random_features import NTKRandomFeatures
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.network.exact.layered import LayeredCNTK
from ntkrun.maths.network.sketched.head import TangentHead
from ntkrun.maths.network.sketched.relu import Relu
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.maths.rng import Stream

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "math.md"
CITATION = re.compile(r"docs/math\.md, sections? ([\d, and]+)")
F64 = torch.float64


def tables():
    """Return the tables of the page, each a list of rows of cells, without their headings."""
    found = re.findall(r"(?:^\|.*\n)+", PAGE.read_text(), re.M)
    return [[[c.strip() for c in line.strip("|\n").split("|")] for line in t.splitlines()[2:]] for t in found]


def table(heading):
    """Return the rows of the one table whose first heading is `heading`, as floats."""
    text = PAGE.read_text()
    (found,) = re.findall(rf"^\| {re.escape(heading)} \|.*\n\|[-|]+\n((?:\|.*\n)+)", text, re.M)
    return [[float(c) for c in line.strip("|").split("|")] for line in found.splitlines()]


def test_the_sections_of_the_page_are_those_that_the_code_cites():
    sections = [int(n) for n in re.findall(r"^## (\d+) ", PAGE.read_text(), re.M)]
    assert sections == list(range(1, 11))
    cited = set()
    for path in (ROOT / "ntkrun").rglob("*.py"):
        for found in CITATION.findall(path.read_text()):
            cited |= {int(n) for n in re.findall(r"\d+", found)}
    assert cited
    assert cited <= set(sections)


def test_every_formula_of_the_page_is_read_as_one():
    tokens = MarkdownIt("commonmark").enable("table").use(dollarmath_plugin).parse(PAGE.read_text())
    blocks = [t for t in tokens if t.type == "math_block"]
    children = [c for t in tokens for c in t.children or []]
    inline = [c for c in children if c.type == "math_inline"]
    assert len(blocks) == PAGE.read_text().count("$$") // 2 > 30
    assert len(inline) > 200
    assert not [c.content for c in children if c.type == "text" and "$" in c.content]
    for formula in (t.content for t in [*blocks, *inline]):
        assert formula.count("{") == formula.count("}"), formula
        assert formula.count(r"\begin") == formula.count(r"\end"), formula
        assert len(re.findall(r"\\left\b", formula)) == len(re.findall(r"\\right\b", formula)), formula


def test_links_of_the_page_lead_to_its_headings_and_to_files():
    text = PAGE.read_text()
    headings = re.findall(r"^## (.*)$", text, re.M)
    slugs = {h.lower().replace(" ", "-") for h in headings}
    for target in re.findall(r"\]\(([^)]*)\)", text):
        path, _, anchor = target.partition("#")
        assert (PAGE.parent / path).exists(), target
        assert path or anchor in slugs, target


def test_files_that_the_page_names_exist():
    for name in re.findall(r"`([a-z_/]+\.py)`", PAGE.read_text()):
        assert any((ROOT / part / name).exists() for part in ("", "ntkrun", "ntkrun/maths")), name


def test_code_words_of_the_notation_are_names_in_the_code():
    source = "\n".join(p.read_text() for p in (ROOT / "ntkrun").rglob("*.py"))
    for row in tables()[0]:
        for word in re.findall(r"`(\w+)`", row[0]):
            assert re.search(rf"\b{word}\b", source), word


def test_kappas_at_the_ends_and_the_derivative():
    ends = torch.tensor([-1.0, 1.0], dtype=F64)
    for function in (kappa0, kappa1):
        assert torch.allclose(function(ends), torch.tensor([0.0, 1.0], dtype=F64), atol=1e-15)
    a = torch.linspace(-0.99, 0.99, 50, dtype=F64)
    slope = (kappa1(a + 1e-6) - kappa1(a - 1e-6)) / 2e-6
    assert torch.allclose(slope, kappa0(a), atol=1e-8)


def test_tails_of_the_table_and_their_limits():
    rows = table("last $i$")
    assert len(rows) == 4
    for p, first, zeroth in rows:
        assert tail(1, 2 * int(p) + 2) == pytest.approx(first, abs=6e-5)
        assert tail(0, 2 * int(p) + 1) == pytest.approx(zeroth, abs=6e-4)
    p = 4096
    assert tail(0, 2 * p + 1) == pytest.approx(p**-0.5 / math.pi**1.5, rel=1e-3)
    assert tail(1, 2 * p + 2) == pytest.approx(p**-1.5 / (6 * math.pi**1.5), rel=1e-3)


@pytest.mark.parametrize("depth", [1, 2, 3, 7])
def test_the_kernel_at_cosine_one_is_depth_plus_one(depth):
    assert float(ntk_of_cosine(torch.ones((), dtype=F64), depth)) == depth + 1


def test_lows_and_errors_of_the_fits():
    rows = table("layer")
    assert [int(row[0]) for row in rows] == [1, 2, 3]
    for layer, low, *errors in rows:
        smallest = smallest_correlation(int(layer))
        assert smallest == pytest.approx(low, abs=6e-4)
        a = torch.linspace(smallest, 1, 2001, dtype=F64)
        found, largest = [], []
        for order, function in ((1, kappa1), (0, kappa0)):
            for kind in ("taylor", "fitted"):
                c = coefficients(kind, order, 2, int(layer))
                gap = np.polynomial.polynomial.polyval(a.numpy(), c) - function(a).numpy()
                found.append(np.sqrt(np.mean(gap**2)))
                largest.append(np.abs(gap).max())
        assert found == pytest.approx(errors, abs=6e-5)
        if layer == 1:
            assert largest[2:] == pytest.approx([0.105, 0.165], abs=6e-4)
    assert np.allclose(coefficients("taylor", 0, 2, 1), [0.5, 0.5, 0])


def test_the_low_of_a_layer_is_no_bound_for_the_correlations_of_a_convolutional_kernel():
    generator = torch.Generator().manual_seed(0)
    x, y = torch.randn(2, 7, 7, 3, generator=generator, dtype=F64)
    layers = LayeredCNTK(("conv", "act") * 4)
    norms_x, norms_y, seen = layers._norms(x), layers._norms(y), []

    class Watch:
        def first(self, cosine):
            seen.append(float(cosine.min()))
            return kappa1(cosine)

        def second(self, cosine):
            return kappa0(cosine)

    LayeredCNTK(("conv", "act") * 4, dual=Watch())._pair(x, y, norms_x, norms_y)
    lows = [smallest_correlation(h) for h in (1, 2, 3, 4)]
    assert min(seen[1:]) >= 0
    assert seen[2] < lows[2]
    assert seen[3] < lows[3]


def test_all_layers_differ_from_the_inner_ones_as_the_recursion_says():
    """For one position and q = 1 the CNTK is the NTK, without the first and last layer for `inner`."""
    x, y = torch.tensor([[2.0, 0.5], [-1.0, 1.5]], dtype=F64)
    a = x @ y / x.norm() / y.norm()
    s1 = kappa1(a)
    scale = float(x.norm() * y.norm())
    images = [z.reshape(1, 1, 1, 2) for z in (x, y)]
    inner, whole, last = (
        float(LayeredCNTK(("conv", "act") * 2, 1, trained)(*images)) for trained in ("inner", "all", "last")
    )
    assert inner == pytest.approx(scale * float(s1 * kappa0(s1)))
    assert whole == pytest.approx(scale * float(ntk_of_cosine(a, 2)))
    assert last == pytest.approx(scale * float(kappa1(s1)))


def test_stored_leverage_weights_have_the_length_of_the_root_of_the_dimension():
    for sampling in ("leverage_exact", "leverage_gibbs"):
        method = NTKRandomFeatures(64, depth=1, sampling=sampling, dtype="float64").fit(np.ones((2, 9)))
        assert torch.allclose(method._layers[0][0].norm(dim=0), torch.full((32,), 3.0, dtype=F64))


@pytest.mark.parametrize("with_phi", [False, True])
def test_exact_columns_of_the_head(with_phi):
    s, p, m = 20, 3, 512
    exact = 1 + (p + 1) * s + (s + 1 if with_phi else 0)
    relu = Relu(np.ones(p + 1), np.ones(p + 1), s, 0.0, None, Stream(0), F64)

    def kept(columns):
        return TangentHead(relu, columns, with_phi, 3, Stream(0), F64).keep

    assert [kept(m), kept(2 * exact), kept(2 * exact - 1)] == [exact, exact, 0]


@pytest.mark.parametrize(("m", "d", "depth"), [(1000, 9, 1), (1000, 9, 3), (400, 30, 2)])
def test_width_of_the_random_network_is_the_largest_that_fits(m, d, depth):
    width = len(GradientFeatures(m, depth=depth).fit(np.ones((2, d)))._last)

    def weights(w):
        return w * d + (depth - 1) * w * w + w

    assert weights(width) <= m < weights(width + 1)


def test_one_shot_has_one_exact_column_and_an_isometry_of_the_input():
    x = np.random.default_rng(0).normal(size=(3, 5))
    method = NTKSketch(64, depth=2, degree=3, variant="one_shot", dtype="float64").fit(x)
    z, norm = method.transform(x), np.linalg.norm(x, axis=1)
    c = method._roots.numpy() ** 2
    assert np.allclose(z[:, 0], norm * c[0] ** 0.5)
    linear = z[:, 1 : 1 + method._exact]
    assert np.allclose(linear @ linear.T, c[1] * x @ x.T)


def test_relative_lambda_is_a_share_of_the_mean_squared_norm_of_centred_features():
    rng = np.random.default_rng(0)
    z = torch.from_numpy(rng.normal(size=(50, 4)) * [1, 2, 3, 4] + 7)
    y = torch.from_numpy(rng.normal(size=(50, 2)))
    equations = NormalEquations()
    equations.add(z, y)
    (fit,) = equations.path([0.01])
    centred = z - z.mean(0)
    assert fit.lam == pytest.approx(0.01 * float(centred.square().sum(1).mean()))
    w = torch.linalg.solve(centred.T @ centred / 50 + fit.lam * torch.eye(4, dtype=F64), centred.T @ y / 50)
    assert torch.allclose(fit.weight, w)
    assert torch.allclose(fit.bias, y.mean(0) - z.mean(0) @ w)


def test_gauss_dual_of_unit_vectors_is_a_gaussian_kernel():
    generator = torch.Generator().manual_seed(1)
    x, y = torch.nn.functional.normalize(torch.randn(2, 6, generator=generator, dtype=F64))
    value = dual("gauss", 1.7).first(x @ y)
    assert float(value) == pytest.approx(math.exp(-1.7 * float((x - y).square().sum()) / 2))
