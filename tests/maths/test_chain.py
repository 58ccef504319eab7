"""Check that with exact layers in place of sketched ones a method's features give its kernel to 1e-10."""

import numpy as np
import pytest
import torch

from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.method.ntk_sketch import NTKSketch
from ntkrun.maths.network.exact.features import ExactConv, ExactFeatures
from ntkrun.maths.network.layers import read, steps

RNG = np.random.default_rng(5)


def assert_exact(method, x):
    z, k = method.transform(x), method.kernel(x)
    assert np.abs(z @ z.T - k).max() < 1e-10 * np.abs(k).max()


@pytest.mark.parametrize("trained", ["inner", "all"])
@pytest.mark.parametrize(
    ("padding", "depth", "shape"),
    [
        ("same", 1, (5, 3)),
        ("same", 2, (5, 3)),
        ("same", 3, (3, 5)),
        ("same", 5, (5, 3)),
        ("valid", 2, (7, 6)),
        ("valid", 3, (7, 9)),
    ],
)
def test_convolutional_chain(trained, padding, depth, shape):
    if trained == "inner" and depth == 1:
        pytest.skip("nothing is trained")
    x = RNG.normal(size=(3, *shape, 2))
    x[1, 0] = 0
    method = CNTKSketch(
        64, depth=depth, trained=trained, padding=padding, layout="channels_last", dtype="float64"
    ).fit(x)
    method._network = read(method.steps(), ExactFeatures(trained == "all", 3, padding == "same"))
    assert_exact(method, x)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_fully_connected_chain(depth):
    x = RNG.normal(size=(11, 7))
    method = NTKSketch(64, depth=depth, dtype="float64").fit(x)
    method._network = read(steps(["act"] * depth, 1), ExactFeatures(True))
    assert_exact(method, x)


def test_a_wrong_scale_in_the_chain_would_be_seen():
    x = RNG.normal(size=(4, 5, 3, 2))
    method = CNTKSketch(64, depth=2, dtype="float64").fit(x)

    class Wrong(ExactConv):
        def __call__(self, state):
            out = super().__call__(state)
            out.phi = out.phi * 1.05**0.5
            return out

    method._network = read(method.steps(), ExactFeatures(False, 3))
    assert_exact(method, x)
    method._network.layers[2] = Wrong(3, True)
    with pytest.raises(AssertionError):
        assert_exact(method, x)
    assert torch.get_default_dtype() == torch.float32
