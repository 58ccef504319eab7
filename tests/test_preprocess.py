"""Test preprocessing and mirror images: fitted on train, applied everywhere, averaged at the end."""

import json

import numpy as np
import pytest
import torch
from scipy.stats import norm, rankdata

from ntkrun.cli import main as cli
from ntkrun.datasets.preprocess import PREPROCESS
from ntkrun.datasets.preprocess.contrast import Contrast
from ntkrun.datasets.preprocess.standardize import Standardize
from ntkrun.datasets.preprocess.zca import REGULARISER, ZCA
from ntkrun.datasets.split import Role, make_split
from ntkrun.errors import DataError
from ntkrun.maths import metrics
from ntkrun.stages import featurize

RNG = np.random.default_rng(2)
SUBSET = {"n_train": None, "n_test": None, "valid_fraction": 0.25, "split_seed": 0, "classes": 2}
X, Y = RNG.normal(size=(48, 5, 4, 2)) + RNG.normal(size=(48, 1, 1, 1)), np.arange(48) % 2


def flat(x):
    x = x.reshape(len(x), -1)
    x = x - x.mean(1, keepdims=True)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_zca_is_the_inverse_root_of_the_covariance():
    x = np.concatenate([X] * 30)  # more than one batch
    mine = ZCA(x, np.arange(len(x)))(torch.from_numpy(X)).numpy().reshape(48, -1)
    rows = flat(X)
    values, vectors = np.linalg.eigh(np.cov(rows.T, bias=True))
    root = vectors / np.sqrt(np.maximum(values, 0) + REGULARISER * values.mean()) @ vectors.T
    want = (rows - rows.mean(0)) @ root
    assert np.allclose(mine, want, atol=1e-4 * np.abs(want).max())
    covariance = np.cov(mine.T, bias=True)
    assert np.linalg.eigvalsh(covariance)[-1] < 1.001
    assert not np.allclose(mine, rows, atol=0.1 * np.abs(want).max())


def test_contrast_is_standardising_and_then_each_image_at_mean_zero_and_variance_one():
    rows, x = np.arange(48), torch.from_numpy(X)
    plain = Standardize(X, rows)(x).flatten(1)
    want = (plain - plain.mean(1, keepdim=True)) / plain.std(1, correction=0, keepdim=True)
    equal = Contrast(X, rows)
    assert torch.allclose(equal(x).flatten(1), want)
    assert equal(x).shape == x.shape
    one_channel = X[..., :1]
    blank = torch.full((2, 5, 4, 1), 0.1, dtype=torch.float64)
    assert not Contrast(one_channel, rows)(blank).any()
    same_images = make_split("s", (X, Y), (X, Y), preprocess="contrast", **SUBSET)
    assert same_images.sha256 != make_split("s", (X, Y), (X, Y), **SUBSET).sha256


def test_zca_ignores_brightness_and_contrast_and_survives_blank_images():
    white = ZCA(X, np.arange(48))
    x = torch.from_numpy(X)
    assert torch.allclose(white(3 * x + 7), white(x), atol=1e-4)
    assert torch.isfinite(white(torch.ones_like(x))).all()
    assert torch.isfinite(ZCA(np.ones_like(X), np.arange(48))(x)).all()


def test_zca_is_fitted_on_train_alone():
    a = make_split("s", (X, Y), (X, Y), preprocess="zca", **SUBSET)
    b = make_split("s", (X, Y), (100 * X[::-1] + 7, Y), preprocess="zca", **SUBSET)
    assert np.array_equal(a.preprocess.matrix, b.preprocess.matrix)
    plain = make_split("s", (X, Y), (X, Y), **SUBSET)
    assert len({a.sha256, b.sha256, plain.sha256}) == 3


def test_every_image_is_followed_by_its_mirror_image():
    split = make_split("s", (X, Y), (X, Y), augment="flip", **SUBSET)
    plain = make_split("s", (X, Y), (X, Y), **SUBSET)
    for part in Role:
        rows = split.batch(part, 0, 99, torch.float64)
        ones = plain.batch(part, 0, 99, torch.float64)
        assert torch.equal(rows[::2], ones)
        assert torch.equal(rows[1::2], ones.flip(2))
        assert torch.equal(split.batch(part, 3, 6, torch.float64), rows[3:6])
        assert np.array_equal(split.part(part).labels(0, 99)[1::2], plain.part(part).y)
    assert split.n_train == 2 * plain.n_train
    assert np.array_equal(plain.test.x, X)  # flipping makes copies and leaves the data alone
    # the views of an example stay together
    assert all(start % 2 == 0 for _, _, start, _ in featurize.pieces(split, 5))
    with pytest.raises(DataError, match="augment of s must be none for rows"):
        make_split("s", (flat(X), Y), (flat(X), Y), augment="flip", **SUBSET)


def test_predictions_average_over_views():
    prediction = torch.tensor([[0.0, 1.0], [4.0, 1.0], [0.0, 1.0], [0.5, 1.0]])
    mean, y = metrics.per_example(prediction, torch.tensor([0, 0, 1, 1]), 2)
    assert mean.tolist() == [[2.0, 1.0], [0.25, 1.0]]
    assert metrics.score(mean, y, 2) == ("accuracy", 1.0)
    assert metrics.score(prediction, torch.tensor([0, 0, 1, 1]), 2) == ("accuracy", 0.75)


@pytest.mark.parametrize(
    "method",
    ["cntk_sketch", *(pytest.param(m, marks=pytest.mark.slow) for m in ("cntk_nystrom", "exact_cntk"))],
)
def test_a_run_with_mirror_images_and_whitening(method, tiny_npz, tmp_path, capsys):
    words = [f"method={method}", "dataset=npz", f"dataset.path={tiny_npz}", "dataset.augment=flip"]
    words += ["dataset.preprocess=zca", "feature_dim=256", "baseline=none", f"output_dir={tmp_path / 'out'}"]
    assert cli.main(words) == 0, capsys.readouterr().err
    result = json.loads(next((tmp_path / "out").glob("runs/*/result.json")).read_text())
    assert (result["n_train"], result["n_test"]) == (240, 60)
    # the class is the brighter side: mirror images make both classes one
    assert result["test/accuracy"] < 0.7


def test_ranks_become_normal_quantiles():
    rng = np.random.default_rng(0)
    x = np.stack([np.exp(3 * rng.normal(size=400)), rng.integers(0, 2, 400), np.full(400, 7.0)], 1)
    made = PREPROCESS.get("quantile")(x, np.arange(300))
    z = made(torch.from_numpy(x)).numpy()
    # the middle of equal ranks, by scipy
    expected = norm.ppf((rankdata(x[:300], axis=0) - 0.5) / 300)
    assert np.abs(z[:300] - expected).max() < 1e-12
    assert np.abs(z[:300, 0].std() - 1) < 0.02
    assert (z[:, 2] == 0).all()  # a constant column
    assert made(torch.tensor([[1e9, 0.5, -1.0]])).tolist()[0][0] == z[:300, 0].max()
    # in between it is linear; a saved object maps alike
    again = PREPROCESS.get("quantile").restore(made.arrays())
    two = np.sort(x[:300, 0])[10:12]
    middle = again(torch.tensor([[two.mean(), 0.0, 0.0]])).numpy()[0, 0]
    assert middle == pytest.approx(norm.ppf(np.array([10.5, 11.5]) / 300).mean())
    image = again(torch.from_numpy(x[:4].reshape(2, 2, 1, 3))).numpy()
    assert np.array_equal(image.reshape(4, 3), z[:4])


def test_no_scaling():
    x = np.array([[1, 200], [3, 4]], np.uint8)
    assert PREPROCESS.get("none")(x, np.arange(2))(torch.from_numpy(x)).tolist() == x.tolist()
