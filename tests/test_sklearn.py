"""scikit-learn's own checks, and life inside its tools."""

import pickle

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from ntkrun import (
    CNTKNystrom,
    CNTKSketch,
    ExactCNTK,
    ExactNTK,
    GradientFeatures,
    NTKRandomFeatures,
    NTKRidgeClassifier,
    NTKRidgeRegressor,
    NTKSketch,
)
from ntkrun.errors import ConfigError, DataError
from ntkrun.maths.method.raw import Raw
from ntkrun.maths.method.rff import RandomFourierFeatures


@parametrize_with_checks(
    [
        CNTKSketch(64, dtype="float64"),
        CNTKNystrom(64, dtype="float64"),
        ExactCNTK(dtype="float64"),
        ExactNTK(dtype="float64"),
        NTKSketch(64, dtype="float64"),
        NTKRandomFeatures(64, dtype="float64"),
        GradientFeatures(256, dtype="float64"),
        RandomFourierFeatures(64, dtype="float64"),
        Raw(dtype="float64"),
        NTKRidgeClassifier(NTKSketch(64, dtype="float64")),
        NTKRidgeClassifier(CNTKSketch(64, dtype="float64")),
        NTKRidgeRegressor(NTKRandomFeatures(64, dtype="float64")),
        NTKRidgeRegressor("passthrough"),
    ]
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


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
    with pytest.raises(DataError, match="labels that `classes` names"):
        NTKRidgeClassifier().partial_fit(x, y, classes=[0, 1])
    names = NTKSketch(32).fit(x).get_feature_names_out()
    assert (names[0], len(names)) == ("ntksketch0", 32)
