"""Images in Python, as torch and as this package keep them."""

import json

import numpy as np
import pytest
import torch
from sklearn.base import clone

from ntkrun import (
    CNTKNystrom,
    CNTKSketch,
    ConvKernelNetwork,
    ExactCNTK,
    RandomPatches,
)
from ntkrun.datasets.inputs import Inputs
from ntkrun.datasets.preprocess.standardize import Standardize
from ntkrun.maths.ridge.normal import Linear
from ntkrun.model import Model
from tests.cases.base import DIGITS, Case, rows

RNG = np.random.default_rng(5)
LAST = RNG.normal(size=(4, 7, 6, 3)).astype("float32")
FIRST = np.ascontiguousarray(LAST.transpose(0, 3, 1, 2))
IMAGES = [
    CNTKSketch(64, depth=2),
    CNTKNystrom(64, dim=8, depth=2, candidates=64),
    ExactCNTK(depth=2),
    RandomPatches(64),
    ConvKernelNetwork(64, filters=32),
]


def refused(x, **options):
    """A call that hands images to every method for them; each has to refuse."""

    def call(stage):
        for method in IMAGES[1:]:
            with pytest.raises(ValueError, match="layout='channels_first'"):
                clone(method).set_params(**options).fit(x)
        clone(IMAGES[0]).set_params(**options).fit(x)

    return call


def torch_images(stage):
    for method in IMAGES:
        last = clone(method).set_params(layout="channels_last").fit(LAST)
        for x, options in (
            (FIRST, {}),
            (torch.from_numpy(FIRST), {}),
            (FIRST.reshape(4, -1), {"image_shape": (3, 7, 6)}),
        ):
            first = clone(method).set_params(layout="channels_first", **options).fit(x)
            z = first.transform(x)
            z = z.numpy() if isinstance(z, torch.Tensor) else z
            assert np.array_equal(z, last.transform(LAST))
            assert np.array_equal(np.asarray(first.kernel(x, x[:2])), last.kernel(LAST, LAST[:2]))
    ix, iy = np.array([0, 3]), np.array([2, 3])
    first, last = ExactCNTK(layout="channels_first"), ExactCNTK()
    assert torch.equal(first.pairs(FIRST, FIRST, ix, iy), last.pairs(LAST, LAST, ix, iy))


def grey_images(stage):
    grey = LAST[..., 0]
    for method in IMAGES:
        want = clone(method).fit(grey[..., None]).transform(grey[..., None])
        assert np.array_equal(clone(method).fit(grey).transform(grey), want)
        one = clone(method).set_params(layout="channels_first").fit(grey[:, None])
        assert np.array_equal(one.transform(grey[:, None]), want)


def keys_stay(stage):
    identity = CNTKSketch(layout="channels_last").identity()
    assert "layout" not in identity
    assert identity == CNTKSketch().identity()
    assert CNTKSketch(layout="channels_first").identity()["layout"] == "channels_first"


def older_model(stage):
    """A model of a run from before there was a layout, for images that would be refused without one."""
    x = np.random.default_rng(0).integers(0, 255, (60, 3, 8, 2), dtype=np.uint8)
    method = CNTKSketch(64, depth=2, layout="channels_last").fit(x)
    linear = Linear(torch.ones(64, 2).double(), torch.zeros(2).double(), 1.0)
    plain = Standardize(x, np.arange(60))
    inputs = Inputs((3, 8, 2), x.dtype, None, None)
    model = Model(method, plain, linear, x[:1], 1, ["a", "b"], inputs)
    model.save(stage.here / "model")
    record = json.loads((stage.here / "model" / "model.json").read_text())
    del record["method"]["layout"], record["inputs"]
    (stage.here / "model" / "model.json").write_text(json.dumps(record))
    assert np.allclose(Model.load(stage.here / "model", "cpu").values(x), model.values(x))


CASES = [
    Case(
        "16.2",
        "images (n, 3, H, W) for a method in Python",
        "refused; the line names layout='channels_first' and layout='channels_last'",
        call=refused(FIRST),
        code=3,
        says=["X of CNTKSketch must be images (n, H, W, C)", "layout='channels_last'"],
    ),
    Case(
        "16.2",
        "images (n, 1, H, W), as torch keeps grey ones, for a method in Python",
        "refused in the same way",
        call=refused(FIRST[:, :1]),
        code=3,
        says=["If 1 is the number of channels: layout='channels_first'"],
    ),
    Case(
        "16.2",
        "rows of torch images with image_shape=(3, H, W) in Python",
        "refused in the same way",
        call=refused(FIRST.reshape(4, -1), image_shape=(3, 7, 6)),
        code=2,
        says=["image_shape of CNTKSketch must be height, width, channels", "layout='channels_first'"],
    ),
    Case(
        "16.2",
        "rows of torch images with method.image_shape=[3,H,W] in a run",
        "refused before any data is read",
        DIGITS + "method=cntk_sketch method.image_shape=[3,8,8]",
        code=2,
        says=["image_shape of CNTKSketch must be height, width, channels", "method.layout=channels_first"],
    ),
    Case(
        "16.2",
        "method.layout=channels_first for a data set of images",
        "refused: the layout of a file is its data set's",
        DIGITS + "method=cntk_sketch method.layout=channels_first",
        code=3,
        says=["layout of CNTKSketch must be null", "dataset.layout=channels_first"],
    ),
    Case(
        "16.2",
        "torch images with layout='channels_first'",
        "the numbers of channels-last images",
        call=torch_images,
    ),
    Case("16.2", "grey images (n, H, W) in Python", "one channel", call=grey_images),
    Case(
        "16.2",
        "a saved model from before there was a layout, for images of height 3",
        "it is loaded as channels-last",
        call=older_model,
    ),
    Case(
        "16.2",
        "features that were made before there was a layout",
        "found again by their key",
        call=keys_stay,
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
