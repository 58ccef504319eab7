"""Test cntk_nystrom: landmarks, networks with pools, and exactness if nothing is left out."""

import numpy as np
import pytest
import torch

from ntkrun.errors import ConfigError, DataError
from ntkrun.maths.dual.activation import GaussDual, ReluDual
from ntkrun.maths.dual.arccos import kappa0, kappa1
from ntkrun.maths.method.cntk_nystrom import CNTKNystrom
from ntkrun.maths.method.exact_cntk import ExactCNTK
from ntkrun.maths.network import layers as network
from ntkrun.maths.network.exact.layered import LayeredCNTK
from ntkrun.maths.network.nystrom.landmarks import choose, nystrom
from tests import oracles

RNG = np.random.default_rng(11)
MIXED = ["conv", "act", "pool", "conv", "act"]
ORDERS = [None, MIXED, ["conv", "act", "conv", "pool", "act"], ["conv", "conv", "act", "pool", "conv", "act"]]


def whole(layers, trained="inner", padding="same", **options):
    """Return a network that keeps every direction: all positions of a few images are landmarks."""
    sizes = {"dim": 600, "landmarks": 600, "candidates": 600}
    return CNTKNystrom(
        600**2,
        layers=layers,
        depth=2,
        trained=trained,
        padding=padding,
        layout="channels_last",
        dtype="float64",
        **sizes,
        **options,
    )


@pytest.mark.parametrize("trained", ["inner", "all"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("layers", ORDERS)
def test_with_all_positions_as_landmarks_the_kernel_is_exact(layers, padding, trained):
    x = RNG.normal(size=(3, 10, 12, 1)) if padding == "valid" else RNG.normal(size=(3, 4, 5, 2))
    x[1, 0] = 0
    method = whole(layers, trained, padding).fit(x)
    z, k = method.transform(x), method.kernel(x)
    assert np.abs(z @ z.T - k).max() < 1e-6 * np.abs(k).max()
    z *= 1.05**0.5
    assert np.abs(z @ z.T - k).max() > 1e-2 * np.abs(k).max()


@pytest.mark.parametrize("layers", [MIXED, ["conv", "act", "conv", "act"]])
@pytest.mark.parametrize(
    "options",
    [
        {"activation": "gauss", "sharpness": 2.0},
        {"cells": 2},
        {"trained": "last"},
        {"trained": "last", "activation": "gauss", "sharpness": 3.0, "cells": 2},
        {"trained": "all", "cells": 2},
    ],
)
def test_other_networks_are_exact_too(options, layers):
    x = RNG.normal(size=(3, 8, 4, 2))
    method = whole(layers, **options).fit(x)
    z, k = method.transform(x), method.kernel(x)
    assert np.abs(z @ z.T - k).max() < 1e-6 * np.abs(k).max()


def test_cells_must_divide_what_is_left():
    with pytest.raises(DataError, match="cells of CNTKNystrom must be a divisor"):
        CNTKNystrom(64, cells=3).fit(np.zeros((1, 8, 8, 1)))


@pytest.mark.parametrize("trained", ["inner", "all"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("depth", [2, 3])
def test_layered_kernel_without_pools_is_the_naive_one(depth, padding, trained):
    x = RNG.normal(size=(2, 7, 8, 2))
    mine = LayeredCNTK(("conv", "act") * depth, 3, trained, padding)(torch.from_numpy(x))
    naive = oracles.cntk(x[0], x[1], depth, 3, trained, padding)
    assert float(mine[0, 1]) == pytest.approx(naive, rel=1e-10)


def test_layered_kernel_with_a_pool_is_the_naive_one():
    x = RNG.normal(size=(2, 5, 4, 2))
    words = ["conv", "act", "pool", "conv", "act"]
    assert float(LayeredCNTK(tuple(words))(torch.from_numpy(x))[0, 1]) == pytest.approx(
        naive_pooled(x[0], x[1]), rel=1e-10
    )


def naive_pooled(x, y):
    """Compute conv act pool conv act, trained="inner", by explicit matrices over flattened positions."""
    h, w, _ = x.shape

    def patches(h, w):
        shifts = []
        for a in (-1, 0, 1):
            for b in (-1, 0, 1):
                m = np.zeros((h * w, h * w))
                for i in range(h):
                    for j in range(w):
                        if 0 <= i + a < h and 0 <= j + b < w:
                            m[i * w + j, (i + a) * w + j + b] = 1
                shifts.append(m)
        return shifts

    def patch(c, h, w):
        return sum(m @ c @ m.T for m in patches(h, w))

    pool = np.zeros(((h // 2) * (w // 2), h * w))
    for i in range(h // 2 * 2):
        for j in range(w // 2 * 2):
            pool[(i // 2) * (w // 2) + j // 2, i * w + j] = 0.25

    def act(c, n, m):
        s = np.sqrt(np.outer(n, m))
        return s * oracles.kappa1(c / s) / 9, oracles.kappa0(c / s) / 9

    flat = [u.reshape(h * w, -1) for u in (x, y)]
    cxy, cxx, cyy = (patch(flat[a] @ flat[b].T, h, w) for a, b in ((0, 1), (0, 0), (1, 1)))
    gammas = [
        act(c, np.diag(n), np.diag(m))[0] for c, n, m in ((cxy, cxx, cyy), (cxx, cxx, cxx), (cyy, cyy, cyy))
    ]
    cxy, cxx, cyy = (patch(pool @ g @ pool.T, h // 2, w // 2) for g in gammas)
    theta = cxy  # so far only the second convolution is trained
    return float((theta * act(cxy, np.diag(cxx), np.diag(cyy))[1]).mean())


def test_landmarks_cover_a_kernel_of_low_rank():
    z = torch.from_numpy(RNG.normal(size=(50, 4)))
    gram = z @ z.T
    taken = choose(gram, 4, torch.Generator().manual_seed(0))
    a = nystrom(gram[taken][:, taken], gram[:, taken], 4)
    features = gram[:, taken] @ a
    assert torch.allclose(features @ features.T, gram, atol=1e-6)
    more = choose(gram, 10, torch.Generator().manual_seed(0))
    assert len(set(more.tolist())) == 10
    assert more[:4].tolist() == taken.tolist()


def test_landmarks_prefer_what_is_not_explained_yet():
    z = torch.cat([torch.ones(98, 1), torch.zeros(98, 1)], 1)
    z = torch.cat([z, torch.tensor([[0.0, 1.0], [0.0, 1.0]])]).double()
    for seed in range(20):
        taken = choose(z @ z.T, 2, torch.Generator().manual_seed(seed))
        assert (taken < 98).sum() == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_compiled_activation_is_the_plain_one(dtype):
    u = torch.from_numpy(RNG.normal(size=(2, 3, 4, 33))).to(dtype)
    v = torch.from_numpy(RNG.normal(size=(2, 3, 4, 33))).to(dtype)
    norm = torch.from_numpy(RNG.uniform(0.5, 4, size=(2, 3, 4))).to(dtype)
    cosine = u / norm.sqrt()[..., None]
    want_u = norm.sqrt()[..., None] * kappa1(cosine)
    want_v = v * kappa0(cosine) + want_u
    want_dot = kappa0(cosine)
    tight = 1e-6 if dtype is torch.float32 else 1e-12
    dot = ReluDual().derivative(u.clone(), 1 / norm.sqrt())
    ReluDual().activate(u, v, 1 / norm.sqrt(), norm.sqrt())
    assert torch.allclose(u, want_u, atol=tight * 10)
    assert torch.allclose(v, want_v, atol=tight * 10)
    assert torch.allclose(dot, want_dot, atol=tight * 10)


def test_gaussian_dual_has_its_derivative_and_works_in_place():
    cosine = torch.linspace(-0.9, 0.9, 7, dtype=torch.float64)
    dual, step = GaussDual(2.5), 1e-6
    slope = (dual.first(cosine + step) - dual.first(cosine - step)) / (2 * step)
    assert torch.allclose(dual.second(cosine), slope, rtol=1e-6)
    u, v = cosine.reshape(1, 1, 1, 7) * 2, torch.ones(1, 1, 1, 7, dtype=torch.float64)
    root = torch.full((1, 1, 1), 3.0, dtype=torch.float64)
    dual.activate(u, v, root / 6, root)
    assert torch.allclose(u[0, 0, 0], 3 * dual.first(cosine))
    assert torch.allclose(v[0, 0, 0], dual.second(cosine) + 3 * dual.first(cosine))


def test_error_falls_with_landmarks():
    x = RNG.normal(size=(12, 8, 8, 3)) + RNG.normal(size=(12, 1, 1, 3))
    exact = ExactCNTK(depth=2, dtype="float64").fit(x).kernel(x[6:])
    errors = []
    for landmarks in (4, 16, 64):
        method = CNTKNystrom(4096, depth=2, dim=landmarks, landmarks=landmarks, dtype="float64").fit(x[:6])
        z = method.transform(x[6:])
        errors.append(np.linalg.norm(z @ z.T - exact) / np.linalg.norm(exact))
    assert errors[0] > 1.5 * errors[1] > 2 * errors[2], errors


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        ([], "must be a list of conv, act, pool"),
        (["conv", "relu"], "must be a list of conv, act, pool"),
        (["act"], "begins with conv and ends with act"),
        (["conv", "act", "pool"], "begins with conv and ends with act"),
        (["conv", "act", "act"], "a conv between every two act"),
    ],
)
def test_bad_layers_are_refused(layers, message):
    with pytest.raises(ConfigError, match=message):
        CNTKNystrom(64, layers=layers).fit(np.zeros((1, 8, 8, 1)))


def test_images_too_small_for_the_pools_are_refused():
    with pytest.raises(DataError, match="at least 4 x 4 pixels"):
        CNTKNystrom(64, layers=network.MYRTLE5).fit(np.zeros((1, 3, 8, 1)))


def test_columns_beyond_the_product_are_zero():
    x = RNG.normal(size=(4, 6, 6, 1))
    z = CNTKNystrom(4096, dim=8, landmarks=8).fit(x).transform(x)
    assert z.shape == (4, 4096)
    assert (z[:, 64:] == 0).all()


def test_a_wider_head_gives_columns_beyond_the_product_of_narrow_layers():
    x = RNG.normal(size=(24, 6, 6, 2))
    sizes = {"depth": 2, "dim": 12, "landmarks": 24, "layout": "channels_last", "dtype": "float64"}
    exact = CNTKNystrom(16, **sizes).fit(x).kernel(x)
    found = {}
    for head in (None, 12, 18):
        z = CNTKNystrom(18**2, head_dim=head, **sizes).fit(x).transform(x)
        found[head] = np.linalg.norm(z @ z.T - exact) / np.linalg.norm(exact), int((z != 0).any(0).sum())
    assert found[None] == found[12]
    assert (found[12][1], found[18][1]) == (144, 324)
    assert found[18][0] < found[12][0]


def test_head_dim_at_its_default_is_not_part_of_the_identity():
    assert "head_dim" not in CNTKNystrom().identity()
    assert CNTKNystrom(head_dim=64).identity()["head_dim"] == 64
