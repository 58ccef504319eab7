import numpy as np
import pytest
import torch

from ntkrun.maths.network.positions import patch_sum
from ntkrun.maths.network.sketched.conv import Conv, InputConv, cosine_filters
from ntkrun.maths.network.sketched.pair import Pair
from ntkrun.maths.network.sketched.relu import Relu, Spread
from ntkrun.maths.rng import Stream
from ntkrun.maths.sketch.count_sketch import CountSketch
from ntkrun.maths.sketch.poly_sketch import PolySketch
from ntkrun.maths.sketch.product import DenseProduct
from tests.oracles import slope_z

F64 = torch.float64


def rows(n, d, seed=0):
    x = torch.randn(n, d, dtype=F64, generator=torch.Generator().manual_seed(seed)) + 0.5
    return x / x.norm(dim=1, keepdim=True)


def assert_unbiased(draw, truth, seeds):
    """Assert that inner products over many seeds have slope 1 against the truth, to better than 5 %."""
    z, planted = slope_z([draw(seed) for seed in range(seeds)], np.asarray(truth))
    assert abs(z) < 4.5
    assert planted > 7, "too few seeds to see a scale error of 5 %"


def test_streams_are_named_and_repeatable():
    a = Stream(3).child("x").child(1)
    assert torch.equal(a.gaussian(4), Stream(3).child("x").child(1).gaussian(4))
    assert not torch.equal(a.gaussian(4), Stream(4).child("x").child(1).gaussian(4))
    assert not torch.equal(Stream(3).child("a/b").gaussian(4), Stream(3).child("a").child("b").gaussian(4))


def test_orthonormal_is_an_isometry_into_more_dimensions():
    s = Stream(0).orthonormal(5, 9, dtype=F64)
    assert torch.allclose(s @ s.T, torch.eye(5, dtype=F64), atol=1e-12)


def test_orthonormal_into_fewer_dimensions_is_unbiased():
    x = rows(6, 11)

    def draw(seed):
        z = x @ Stream(seed).orthonormal(11, 5, dtype=F64)
        return (z @ z.T).numpy()

    assert_unbiased(draw, x @ x.T, 1200)


def test_dense_product_is_unbiased():
    x, y = rows(5, 7, 1), rows(5, 4, 2)

    def draw(seed):
        z = DenseProduct(7, 4, 32, Stream(seed), F64)(x, y)
        return (z @ z.T).numpy()

    assert_unbiased(draw, (x @ x.T) * (y @ y.T), 2500)


@pytest.mark.parametrize("degree", [2, 3, 4, 5, 7])
def test_poly_sketch_is_unbiased_at_every_power(degree):
    x = torch.zeros(5, 128, dtype=F64)
    x[:, :6] = rows(5, 6)
    draws = [PolySketch(degree, 128, Stream(seed), F64)(x) for seed in range(1200 if degree < 5 else 1800)]
    assert len(draws[0]) == degree
    assert torch.equal(draws[0][0], x)
    for power in range(2, degree + 1):
        grams = [(z[power - 1] @ z[power - 1].T).numpy() for z in draws]
        # the variance grows with the power: 5 % is noticed at low powers, a few per cent more at high ones
        z, planted = slope_z(grams, (x @ x.T).numpy() ** power)
        assert abs(z) < 4.5
        assert planted > (7 if power <= 4 else 5)


def test_poly_sketch_error_falls_with_the_root_of_its_width():
    x = rows(20, 6)
    truth = (x @ x.T) ** 3

    def median(m):
        errors = []
        for seed in range(30):
            wide = torch.zeros(20, m, dtype=F64)
            wide[:, :6] = x
            z = PolySketch(3, m, Stream(seed), F64)(wide)[2]
            errors.append(float((z @ z.T - truth).norm() / truth.norm()))
        return np.median(errors)

    assert 1.6 < median(64) / median(256) < 2.5


def test_count_sketch_is_unbiased_and_an_isometry_when_wide():
    x = rows(6, 50)

    def draw(seed):
        z = CountSketch(50, 16, Stream(seed), F64)(x)
        return (z @ z.T).numpy()

    assert_unbiased(draw, x @ x.T, 1500)
    z = CountSketch(50, 64, Stream(0), F64)(x)
    assert torch.allclose(z @ z.T, x @ x.T, atol=1e-12)


def test_spread_is_exact_along_its_direction_and_unbiased_off_it():
    d = torch.tensor([0.5, 0.8, 0.1], dtype=F64)
    assert torch.allclose(Spread(d, 4, Stream(0), F64)(d), d.norm().expand(4))
    t = torch.tensor([[0.6, 0.7, 0.3], [0.1, 0.9, -0.2]], dtype=F64)

    def draw(seed):
        w = Spread(d, 64, Stream(seed), F64)(t)
        return (w @ w.T / 64).numpy()

    assert_unbiased(draw, t @ t.T, 60)
    main, rest = Spread(d, 4, Stream(0), F64).split(t)
    assert torch.allclose(main.square() + rest.square().sum(-1), t.square().sum(-1))


def test_cosine_filters_are_a_basis_with_the_mean_first():
    f = cosine_filters(3).reshape(9, 9)
    assert torch.allclose(f @ f.T, torch.eye(9, dtype=F64), atol=1e-12)
    assert torch.allclose(f[0], torch.full((9,), 1 / 3, dtype=F64))


def test_input_conv_is_exact():
    x = torch.randn(2, 5, 7, 2, dtype=F64, generator=torch.Generator().manual_seed(0))
    pair = InputConv(2, 3, 24, True, False, Stream(0), F64)(x)
    cosine = torch.einsum("nijc,mklc->nmijkl", pair.phi, pair.phi)
    assert torch.allclose(torch.einsum("nnijij->nij", cosine), torch.ones(2, 5, 7, dtype=F64))
    patches = torch.nn.functional.unfold(x.permute(0, 3, 1, 2), 3, padding=1).transpose(
        1, 2
    )  # (n, HW, C q^2)
    truth = patches @ patches.transpose(1, 2)
    mine = (pair.phi * pair.norm.sqrt()[..., None]).reshape(2, 35, -1)
    assert torch.allclose(mine @ mine.transpose(1, 2), truth, atol=1e-10)


def make_pair(seed, dim=16):
    g = torch.Generator().manual_seed(seed)
    u = (
        torch.rand(2, 4, 3, dim + 1, dtype=F64, generator=g)
        + torch.linspace(0, 1, 4, dtype=F64)[:, None, None]
    )
    u = u / u.norm(dim=-1, keepdim=True)
    w = torch.rand(2, 4, 3, dim + 1, dtype=F64, generator=g)
    norm = torch.rand(2, 4, 3, dtype=F64, generator=g) + 0.5
    return Pair(norm, norm.sqrt(), u[..., 0], u[..., 1:], w[..., 0], w[..., 1:])


def gram(constant, rest):
    z = torch.cat([constant[..., None], rest], -1).flatten(0, -2)
    return z @ z.T


def test_conv_is_unbiased_for_both_features():
    pair = make_pair(0)
    weight = (pair.norm.sqrt() / 3)[..., None]

    def exact(constant, rest):
        z = (torch.cat([constant[..., None], rest], -1) * weight).permute(0, 3, 1, 2)
        z = torch.nn.functional.unfold(z, 3, padding=1).transpose(1, 2).flatten(0, 1)
        scale = (patch_sum(pair.norm, 3, True) / 9).sqrt().flatten()
        return (z @ z.T) / scale[:, None] / scale[None]

    for part in ("phi", "psi"):

        def draw(seed, part=part):
            out = Conv(3, 16, True, Stream(seed), F64, renormalise=False)(pair)
            return gram(*((out.alpha, out.phi) if part == "phi" else (out.beta, out.psi))).numpy()

        truth = exact(pair.alpha, pair.phi) if part == "phi" else exact(pair.beta, pair.psi)
        assert_unbiased(draw, truth, 400)


@pytest.mark.parametrize("degree", [2, pytest.param(4, marks=pytest.mark.slow)])
def test_relu_is_unbiased_for_both_features(degree):
    pair, seeds = make_pair(1, dim=96), 700 if degree == 2 else 1400
    c1 = np.array([0.3, 0.4, 0.2, 0.06, 0.04])[: degree + 1]
    c0 = np.array([0.5, 0.1, 0.25, 0.1, 0.05])[: degree + 1]
    sigma, theta = gram(pair.alpha, pair.phi), gram(pair.beta, pair.psi)
    polynomial = np.polynomial.polynomial.polyval
    truth_phi = polynomial(sigma.numpy(), c1)
    truth_psi = truth_phi + theta.numpy() * polynomial(sigma.numpy(), c0)
    draws = [Relu(c1, c0, 96, 0.4, 0.5, Stream(s), F64)(pair) for s in range(seeds)]
    assert_unbiased(lambda s: gram(draws[s].alpha, draws[s].phi).numpy(), truth_phi, seeds)
    assert_unbiased(lambda s: gram(draws[s].beta, draws[s].psi).numpy(), truth_psi, seeds)
