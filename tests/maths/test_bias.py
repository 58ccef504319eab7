"""Test `bias` of the methods for rows: the kernel of rows with one more entry."""

import numpy as np
import pytest

from ntkrun import ExactNTK, NTKNystrom, NTKRandomFeatures, NTKSketch
from ntkrun.errors import ConfigError

RNG = np.random.default_rng(5)
X = RNG.normal(size=(40, 3))
NEW = RNG.normal(size=(9, 3))
FEATURES = [NTKNystrom, NTKRandomFeatures, NTKSketch]


def longer(x, bias):
    return np.column_stack([x, np.full(len(x), bias * np.sqrt(x.shape[1]))])


@pytest.mark.parametrize("bias", [0.4, 2])
def test_the_kernel_is_that_of_longer_rows(bias):
    found = ExactNTK(depth=2, bias=bias, dtype="float64").fit(X)
    plain = ExactNTK(depth=2, dtype="float64")
    np.testing.assert_allclose(
        found.transform(NEW), plain.kernel(longer(NEW, bias), longer(X, bias)), rtol=1e-12
    )
    np.testing.assert_allclose(
        found.kernel(X).diagonal(), 3 * (np.square(X).sum(1) + 3 * bias**2), rtol=1e-12
    )


@pytest.mark.parametrize("cls", FEATURES)
def test_features_are_those_of_longer_rows(cls):
    found = cls(256, depth=2, bias=0.7, dtype="float64").fit(X)
    plain = cls(256, depth=2, dtype="float64").fit(longer(X, 0.7))
    np.testing.assert_allclose(found.transform(NEW), plain.transform(longer(NEW, 0.7)), atol=1e-9)
    np.testing.assert_allclose(found.kernel(X), plain.kernel(longer(X, 0.7)), rtol=1e-12)


def test_one_polynomial_knows_the_bias():
    options = {"depth": 2, "variant": "one_shot", "degree": 6, "dtype": "float64"}
    found, plain = NTKSketch(512, bias=0.7, **options), NTKSketch(512, **options)
    z = found.fit(X).transform(NEW)
    np.testing.assert_allclose(z, plain.fit(longer(X, 0.7)).transform(longer(NEW, 0.7)), atol=1e-9)


def test_without_a_bias_functions_are_homogeneous_and_with_it_they_are_not():
    def ratio(bias):
        k = ExactNTK(bias=bias, dtype="float64").kernel
        return k(5 * NEW, X) / k(NEW, X)

    np.testing.assert_allclose(ratio(0.0), 5, rtol=1e-9)
    assert ratio(1.0).max() < 4.9


@pytest.mark.parametrize("cls", [ExactNTK, *FEATURES])
def test_a_bias_of_zero_leaves_keys_and_models_as_they_were(cls):
    assert "bias" not in cls().identity()
    assert "bias" not in cls().parameters()
    assert "bias" not in cls(bias=0).parameters()
    assert cls(bias=0.5).identity()["bias"] == 0.5


def test_a_model_of_landmarks_keeps_the_bias():
    method = NTKNystrom(10, bias=0.7, dtype="float64").fit(X)
    parameters, rows = method.compact()
    np.testing.assert_allclose(
        NTKNystrom(**parameters).fit(X[rows]).transform(NEW), method.transform(NEW), atol=1e-10
    )


@pytest.mark.parametrize("wrong", [-0.1, float("nan"), float("inf"), True, "1"])
def test_a_wrong_bias_is_named(wrong):
    with pytest.raises(
        ConfigError, match=r"bias of ExactNTK must be a number in \[0, 1e\+06\]\. Got .* instead\."
    ):
        ExactNTK(bias=wrong).fit(X)
