import numpy as np
import pytest
import torch
from sklearn.base import clone

from ntkrun.errors import ConfigError, DataError
from ntkrun.maths.method.cntk_sketch import CNTKSketch

X = np.random.default_rng(0).normal(size=(9, 9, 7, 2)) + 0.3


def relative_error(method, x):
    z, k = method.fit(x).transform(x), method.kernel(x)
    return np.linalg.norm(z @ z.T - k) / np.linalg.norm(k)


@pytest.mark.parametrize("trained", ["inner", "all"])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize("depth", [2, pytest.param(3, marks=pytest.mark.slow)])
def test_wide_sketch_of_high_degree_approaches_the_exact_kernel(trained, padding, depth):
    # the fit of kappa0 sets the floor: a polynomial cannot follow its square-root singularity at 1
    errors = [
        relative_error(
            CNTKSketch(
                20_000,
                depth=depth,
                trained=trained,
                padding=padding,
                degree=8,
                sketch_dim=384,
                random_state=seed,
                dtype="float64",
            ),
            X,
        )
        for seed in range(3)
    ]
    # (`valid` leaves 3 x 1 positions at depth 3: little to average over)
    assert np.median(errors) < 0.07


def test_error_falls_with_the_sketch_dimension():
    def median(dim):
        return np.median(
            [
                relative_error(
                    CNTKSketch(20_000, degree=6, sketch_dim=dim, random_state=s, dtype="float64"), X
                )
                for s in range(7)
            ]
        )

    assert median(32) > 1.5 * median(256)


def test_rows_do_not_depend_on_the_batch():
    method = CNTKSketch(256, dtype="float64").fit(X)
    whole = method.transform(X)
    parts = np.concatenate([method.transform(X[:2]), method.transform(X[2:3]), method.transform(X[3:])])
    assert np.allclose(whole, parts, rtol=1e-10)


def test_seed_decides_everything():
    a = CNTKSketch(128, random_state=1).fit_transform(X)
    assert np.array_equal(a, clone(CNTKSketch(128, random_state=1)).fit(X[:1]).transform(X))
    assert not np.allclose(a, CNTKSketch(128, random_state=2).fit_transform(X))


@pytest.mark.parametrize("m", [1, 16, 40, 100, 777, 3000])
def test_any_feature_dim_gives_that_many_columns(m):
    assert CNTKSketch(m).fit_transform(X).shape == (9, m)


def test_tensor_in_tensor_out_and_dtype():
    z = CNTKSketch(64, device="auto").fit(X).transform(torch.from_numpy(X))
    assert isinstance(z, torch.Tensor)
    assert z.dtype == torch.float32


def test_black_image_gives_finite_features_and_zero_kernel():
    x = X.copy()
    x[0] = 0
    z = CNTKSketch(64).fit_transform(x)
    assert np.isfinite(z).all()
    assert np.abs(z[0]).max() == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            {"n_components": -3},
            "n_components (feature_dim) of CNTKSketch must be an integer in [1, 16777216]. Got -3",
        ),
        ({"degree": 1.5}, "degree of CNTKSketch must be an integer in [2, 64]. Got 1.5 instead."),
        ({"filter_size": 2}, "filter_size of CNTKSketch must be odd. Got 2"),
        ({"depth": 1}, "depth of CNTKSketch must be >= 2 for trained=inner. Got 1"),
        ({"trained": "some"}, "trained of CNTKSketch must be one of inner, all. Got 'some'"),
        ({"sketch_dim": True}, "sketch_dim of CNTKSketch must be an integer"),
        (
            {"filter_size": 7, "sketch_dim": 32},
            "sketch_dim of CNTKSketch must be >= filter_size^2 + degree = 51",
        ),
        ({"dtype": "int8"}, "dtype of CNTKSketch must be one of float32, float64. Got 'int8'"),
    ],
)
def test_bad_parameters_are_named(arguments, message):
    with pytest.raises(ConfigError) as caught:
        CNTKSketch(**arguments).fit(X)
    assert message in str(caught.value)


def test_bad_shapes_are_named():
    with pytest.raises(DataError, match=r"images \(n, H, W, C\)"):
        CNTKSketch().fit(np.ones((4, 5, 2, 1, 3)))
    with pytest.raises(DataError, match=r"rows of 12 numbers for image_shape=\(2, 3, 2\). Got 'rows of 5'"):
        CNTKSketch(image_shape=(2, 3, 2)).fit(np.ones((4, 5)))
    with pytest.raises(ConfigError, match="image_shape of CNTKSketch must be null or three integers"):
        CNTKSketch(image_shape=(2, 3)).fit(np.ones((4, 6)))
    with pytest.raises(DataError, match="at least 7 x 7 pixels for padding=valid"):
        CNTKSketch(padding="valid").fit(np.ones((4, 6, 9, 1)))
    with pytest.raises(DataError, match="finite"):
        CNTKSketch(64).fit(X).transform(np.full((1, 9, 7, 2), np.nan))
    with pytest.raises(DataError, match="of shape"):
        CNTKSketch(64).fit(X).transform(np.ones((1, 9, 9, 2)))


def test_rows_are_cut_into_images():
    rows = X.reshape(len(X), -1)
    shaped = CNTKSketch(64, image_shape=X.shape[1:]).fit_transform(rows)
    assert np.array_equal(shaped, CNTKSketch(64).fit_transform(X))
    signals = CNTKSketch(64).fit_transform(rows)
    assert np.array_equal(signals, CNTKSketch(64).fit_transform(rows[:, None, :, None]))
