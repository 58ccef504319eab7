"""Run scikit-learn's own checks, and use the estimators inside its tools."""

import pickle
import warnings

import numpy as np
import pytest
import scipy.sparse as sp
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.estimator_checks import parametrize_with_checks

import ntkrun
from ntkrun import (
    CNTKNystrom,
    CNTKSketch,
    ConvKernelNetwork,
    ExactCNTK,
    ExactNTK,
    GradientFeatures,
    MethodUnion,
    NTKNystrom,
    NTKRandomFeatures,
    NTKRidgeClassifier,
    NTKRidgeRegressor,
    NTKSketch,
    RandomPatches,
)
from ntkrun.errors import ConfigError, DataError
from ntkrun.maths.method.raw import Raw
from ntkrun.maths.method.rff import RandomFourierFeatures

ESTIMATORS = [
    CNTKSketch(64),
    CNTKNystrom(64),
    ExactCNTK(),
    ExactNTK(),
    NTKSketch(64),
    NTKNystrom(64),
    NTKRandomFeatures(64),
    GradientFeatures(256),
    RandomFourierFeatures(64),
    Raw(),
    RandomPatches(64, filter_size=1, cells=1),
    ConvKernelNetwork(64, filters=32, filter_size=1, whiten=None),
    MethodUnion(64, parts={"rff": {}, "ntk_sketch": {}}),
    NTKRidgeClassifier(NTKSketch(64)),
    NTKRidgeClassifier(Raw()),
    NTKRidgeRegressor(NTKRandomFeatures(64)),
    NTKRidgeRegressor("passthrough", alpha_per_target=True),
]


@parametrize_with_checks(ESTIMATORS)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def test_every_public_estimator_is_checked():
    assert set(ntkrun.__all__) - {"plot_run"} <= {type(estimator).__name__ for estimator in ESTIMATORS}


def test_pipeline_grid_search_and_cross_validation():
    x, y = load_digits(return_X_y=True)
    pipeline = make_pipeline(StandardScaler(), NTKRidgeClassifier(NTKSketch(256, depth=1)))
    search = GridSearchCV(pipeline, {"ntkridgeclassifier__features__depth": [1, 2]}, cv=2, n_jobs=2)
    search.fit(x[:600], y[:600])
    assert search.score(x[600:], y[600:]) > 0.85
    x, y = load_diabetes(return_X_y=True)
    regressor = make_pipeline(StandardScaler(), NTKRidgeRegressor(NTKRandomFeatures(256, depth=1)))
    assert cross_val_score(regressor, x, y, cv=4).mean() > 0.4


def test_batches_give_the_same_solution_as_the_whole():
    x, y = load_digits(return_X_y=True)
    whole = NTKRidgeClassifier(NTKRandomFeatures(128)).fit(x, y)
    parts = NTKRidgeClassifier(NTKRandomFeatures(128))
    for i in range(0, len(x), 100):
        parts.partial_fit(x[i : i + 100], y[i : i + 100], classes=range(10))
    assert np.allclose(whole.decision_function(x), parts.decision_function(x), atol=1e-6)
    assert whole.score(x, y) > 0.93
    again = pickle.loads(pickle.dumps(parts))
    assert np.array_equal(again.predict(x), parts.predict(x))


def test_sparse_rows_give_what_dense_ones_do():
    rng = np.random.default_rng(0)
    x = sp.random(200, 600, 0.03, format="coo", random_state=0)
    y = np.asarray(x.tocsr()[:, :100].sum(1)).ravel()
    for method in (
        NTKSketch(64),
        NTKNystrom(64),
        NTKRandomFeatures(64),
        RandomFourierFeatures(64),
        Raw(),
        ExactNTK(),
    ):
        dense, sparse = clone(method).fit(x.toarray()), clone(method).fit(x)
        assert np.array_equal(dense.transform(x.toarray()), dense.transform(x.tocsc()))
        assert np.allclose(sparse.transform(x.toarray()), sparse.transform(x.tocsc()), atol=1e-6)
        assert get_tags(method).input_tags.sparse
    for features in (NTKRandomFeatures(64, sketch="dense"), "passthrough", Raw()):
        fits = [NTKRidgeRegressor(features).fit(z, y).predict(z[:9]) for z in (x.tocsr(), x.toarray())]
        assert np.allclose(*fits, atol=1e-4)
    x.data[rng.integers(len(x.data))] = np.nan
    with pytest.raises(DataError, match="finite"):
        NTKSketch(64).fit(x)


def test_rows_that_may_not_be_written_to_are_no_reason_to_warn():
    x, y = load_digits(return_X_y=True)
    x.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert NTKRidgeClassifier("passthrough").fit(x, y).score(x, y) > 0.9


def test_images_and_tensors_go_through():
    x, y = load_digits(return_X_y=True)
    images = x.reshape(-1, 8, 8, 1).astype(np.float32) / 8 - 1
    model = NTKRidgeClassifier(CNTKSketch(256, depth=2)).fit(images[:500], y[:500])
    assert model.score(images[500:], y[500:]) > 0.9
    tensors = clone(model).fit(torch.from_numpy(images[:500]), y[:500])
    assert np.array_equal(tensors.predict(images), model.predict(images))


def test_what_is_wrong_is_said():
    x, y = load_digits(return_X_y=True)
    with pytest.raises(ConfigError, match="lambda_max of NTKRidgeClassifier must be >= lambda_min"):
        NTKRidgeClassifier(lambda_min=1, lambda_max=0.1).fit(x, y)
    with pytest.raises(ConfigError, match="classes of NTKRidgeClassifier must be given in the first call"):
        NTKRidgeClassifier().partial_fit(x, y)
    with pytest.raises(DataError, match="labels in `classes`"):
        NTKRidgeClassifier().partial_fit(x, y, classes=[0, 1])
    names = NTKSketch(32).fit(x).get_feature_names_out()
    assert (names[0], len(names)) == ("ntksketch0", 32)
