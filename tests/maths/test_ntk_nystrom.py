"""Test ntk_nystrom: its formula, its landmarks, and rows that leave nothing to choose."""

from collections import Counter
from contextlib import nullcontext
from itertools import permutations

import numpy as np
import pytest
import scipy.sparse as sp
import torch

from ntkrun import machine
from ntkrun.datasets.digits import Digits
from ntkrun.errors import ConfigError, MachineError
from ntkrun.executors.serial import Serial
from ntkrun.maths.method.ntk_nystrom import NTKNystrom
from ntkrun.maths.method.ntk_random_features import NTKRandomFeatures
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.maths.network.nystrom import landmarks
from ntkrun.solvers.ridge import Ridge
from ntkrun.stages import memory
from ntkrun.stages.tasks import task_of

RNG = np.random.default_rng(23)
X = RNG.normal(size=(300, 5)) * RNG.uniform(0.5, 2, size=(300, 1))
NEW = RNG.normal(size=(40, 5))
KERNELS = ["ntk", "rbf"]


def make(n_components, **options):
    return NTKNystrom(n_components, dtype="float64", **options)


def kernel_error(z, k):
    return np.linalg.norm(z @ z.T - k) / np.linalg.norm(k)


@pytest.mark.parametrize("sampling", ["pivoted", "uniform"])
@pytest.mark.parametrize("name", KERNELS)
def test_features_are_those_of_the_formula(name, sampling):
    method = make(30, depth=2, kernel_name=name, sampling=sampling).fit(X)
    landmark = X[method.compact()[1]]
    assert landmark.shape == (30, 5)
    between, across = method.kernel(landmark), method.kernel(NEW, landmark)
    floor = landmarks.FLOOR * np.diag(np.diag(between))
    z = method.transform(NEW)
    assert np.allclose(z @ z.T, across @ np.linalg.solve(between + floor, across.T), rtol=1e-8, atol=1e-10)
    # and the kernel itself between a landmark and any row
    k = method.kernel(landmark, NEW)
    assert np.abs(method.transform(landmark) @ z.T - k).max() < 1e-5 * np.abs(k).max()


@pytest.mark.parametrize("depth", [1, 3])
def test_error_falls_with_columns_and_is_below_that_of_random_features(depth):
    k = NTKNystrom(4, depth=depth).fit(X).kernel(NEW)
    errors = [kernel_error(make(m, depth=depth).fit(X).transform(NEW), k) for m in (16, 64, 256)]
    assert errors[0] > 1.5 * errors[1] > 2.25 * errors[2]
    oblivious = kernel_error(NTKRandomFeatures(256, depth=depth).fit(X).transform(NEW), k)
    assert oblivious > 2 * errors[2]


def test_blocks_draw_with_the_law_of_one_by_one():
    """The second landmark of a pair is drawn given the first, which in a block is seen only afterwards."""
    z = RNG.normal(size=(4, 3)) * np.array([[1], [2], [1], [1.5]])
    gram = z @ z.T
    diagonal = np.diag(gram).copy()
    correlation = torch.from_numpy(gram / np.sqrt(np.outer(diagonal, diagonal)))
    generator, draws = torch.Generator().manual_seed(0), 3000
    seen = Counter(
        tuple(
            landmarks.pivots(
                lambda i, j: correlation[i][:, j], torch.from_numpy(diagonal), 2, generator
            ).tolist()
        )
        for _ in range(draws)
    )
    for i, j in permutations(range(4), 2):
        left = diagonal - gram[:, i] ** 2 / diagonal[i]
        law = diagonal[i] / diagonal.sum() * left[j] / left.sum()
        assert seen[i, j] / draws == pytest.approx(law, abs=4 * (law / draws) ** 0.5)


def clustered():
    """Make many rows around one centre and a few around each of thirty."""
    sizes = [850] + [5] * 30
    centres = 3 * RNG.normal(size=(31, 6))
    return np.repeat(centres, sizes, 0) + 0.05 * RNG.normal(size=(1000, 6))


@pytest.mark.parametrize("name", KERNELS)
def test_pivoted_landmarks_are_near_the_best_and_find_small_clusters(name):
    x = clustered()
    options = {"kernel_name": name, "depth": 1, "bandwidth": 3.0}
    left = {}
    for sampling in ("pivoted", "uniform"):
        shares = []
        for seed in range(3):
            method = make(60, sampling=sampling, random_state=seed, **options).fit(x)
            z = method.transform(x)
            shares.append(1 - np.sum(z**2) / np.trace(method.kernel(x)))
        left[sampling] = np.mean(shares)
    values = np.linalg.eigvalsh(method.kernel(x))
    best = values[:-60].sum() / values.sum()
    assert left["pivoted"] < 3 * best
    assert left["uniform"] > 3 * left["pivoted"]


def test_memory_has_no_matrix_of_all_candidates():
    x = RNG.normal(size=(20_000, 8)).astype(np.float32)
    NTKNystrom(64, depth=1, candidates=20_000).fit(x[:2000])  # loads what is loaded once
    before = machine.rss_mb()
    if not machine.reset_peak_rss():
        pytest.skip("this system does not tell the peak of a part of a process")
    method = NTKNystrom(64, depth=1, candidates=20_000).fit(x)
    assert len(set(method.compact()[1].tolist())) == 64
    assert machine.peak_rss_mb() - before < 100  # 20,000 x 20,000 numbers take 1,526 or more


@pytest.mark.parametrize("name", KERNELS)
def test_kind_and_number_type_of_the_rows_do_not_matter(name):
    x = sp.random(200, 30, 0.3, format="csr", random_state=0, dtype=np.float64)
    plain = make(40, kernel_name=name).fit(x.toarray())
    z = plain.transform(x.toarray())
    for same in (x, torch.from_numpy(x.toarray()), x.toarray().reshape(200, 5, 3, 2)):
        again = make(40, kernel_name=name).fit(same)
        assert np.array_equal(again.compact()[1], plain.compact()[1])
        if not sp.issparse(same):
            assert np.array_equal(np.asarray(again.transform(same)), z)
    single = NTKNystrom(40, kernel_name=name).fit(x.toarray()).transform(x.toarray())
    assert single.dtype == np.float32
    assert np.abs(single @ single.T - z @ z.T).max() < 1e-3 * np.abs(z @ z.T).max()


def test_single_precision_is_enough_for_a_kernel_of_low_rank():
    """1,000 smooth columns: without the floor the small eigenvalues would be rounding times their inverse."""
    x = RNG.normal(size=(1500, 3))
    options = {"kernel_name": "rbf", "bandwidth": 4.0, "sampling": "uniform"}
    single, double = (NTKNystrom(1000, dtype=t, **options).fit(x) for t in ("float32", "float64"))
    z, k = single.transform(x[:200]).astype(float), double.kernel(x[:200])
    assert np.abs(z @ z.T - k).max() < 1e-4
    assert np.abs(z - double.transform(x[:200])).max() < 1e-2


@pytest.mark.parametrize("name", KERNELS)
def test_fewer_rows_than_columns_are_all_landmarks(name):
    method = make(50, kernel_name=name).fit(X[:20])
    z, k = method.transform(X[:20]), method.kernel(X[:20])
    assert z.shape == (20, 50)
    assert not z[:, 20:].any()
    assert np.abs(z @ z.T - k).max() < 1e-5 * np.abs(k).max()


@pytest.mark.parametrize("sampling", ["pivoted", "uniform"])
@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize(
    ("rows", "distinct"),
    [
        (np.repeat(X[:7], 30, 0), 7),
        (np.zeros((100, 5)), 1),
        (np.full((100, 5), 3.0), 1),
        (np.concatenate([np.zeros((190, 5)), X[:10]]), 11),
        (np.repeat(X[:7], 30, 0) * 1e25, 7),
    ],
    ids=["duplicates", "zero", "constant", "zeros and others", "huge duplicates"],
)
def test_rows_that_repeat(rows, distinct, name, sampling):
    method = make(24, kernel_name=name, sampling=sampling).fit(rows)
    z, k = method.transform(rows), method.kernel(rows)
    assert np.isfinite(z).all()
    if sampling == "pivoted":
        assert len(method.compact()[1]) <= distinct
        assert np.abs(z @ z.T - k).max() <= 1e-5 * np.abs(k).max()


def test_rows_of_any_length_are_served_alike():
    """The NTK is homogeneous, so a landmark's length does not matter and a row's is that of its features."""
    length = 10.0 ** RNG.uniform(-6, 6, size=(300, 1))
    plain, scaled = (make(60, sampling="uniform").fit(x).transform(x) for x in (X, length * X))
    assert np.allclose(scaled / length, plain, rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("name", KERNELS)
@pytest.mark.parametrize("sampling", ["pivoted", "uniform"])
def test_landmarks_alone_give_the_same_fit(name, sampling):
    method = NTKNystrom(24, kernel_name=name, sampling=sampling).fit(X)
    parameters, rows = method.compact()
    again = NTKNystrom(**parameters).fit(X[rows])
    assert np.array_equal(again.transform(NEW), method.transform(NEW))
    assert np.array_equal(again.compact()[1], np.arange(24))
    assert np.array_equal(again.fitted()[0], method.fitted()[0])


def test_a_landmark_is_taken_from_all_candidates_and_from_no_others():
    chosen = make(20, candidates=100).fit(X).compact()[1]
    assert chosen.max() < 100  # numbers of the sample of every third row
    assert make(20).fit(X).compact()[1].max() >= 100
    assert NTKNystrom(200, candidates=100).sample_rows == 200


def test_bandwidth_is_that_of_rff():
    assert (
        make(8, kernel_name="rbf").fit(X).bandwidth_
        == RandomFourierFeatures(8, dtype="float64").fit(X).bandwidth_
    )
    assert make(8, kernel_name="rbf").reference() is None
    assert make(8, depth=2).reference().depth == 2


def test_the_plan_counts_the_fit(monkeypatch):
    task = task_of(Digits().load(), NTKNystrom(1000))
    for free, fits in ((task.fit_bytes() - 1, False), (task.fit_bytes(), True)):
        monkeypatch.setattr(machine, "available_memory", lambda free=free: free)
        assert task.bytes(64, Ridge()) < free
        with nullcontext() if fits else pytest.raises(MachineError, match="The run needs about"):
            memory.plan(task, 64, Ridge(), Serial())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kernel_name": "cntk"}, "kernel_name of NTKNystrom must be one of ntk, rbf. Got 'cntk' instead."),
        ({"sampling": "best"}, "sampling of NTKNystrom must be one of pivoted, uniform"),
        ({"candidates": 0}, r"candidates of NTKNystrom must be an integer in \[1, 1048576\]"),
        ({"bandwidth": -1.0}, "bandwidth of NTKNystrom must be a finite number > 0"),
    ],
)
def test_wrong_parameters_are_named(options, message):
    with pytest.raises(ConfigError, match=message):
        NTKNystrom(8, **options).fit(X)
