"""Test the union of methods: its columns, scales and kernel, and its messages."""

import numpy as np
import pytest

from ntkrun.errors import ConfigError, DataError
from ntkrun.maths.method.rff import RandomFourierFeatures as RFF
from ntkrun.maths.method.union import MethodUnion

RNG = np.random.default_rng(3)
ROWS = RNG.normal(size=(40, 7))
IMAGES = RNG.normal(size=(12, 9, 8, 3))
TWO = {"rff": {"bandwidth": 2.0}, "narrow": {"method": "rff", "bandwidth": 0.5, "weight": 3.0}}


def spread(z):
    return (z - z.mean(0)).__pow__(2).sum(1).mean()


def test_parts_stand_side_by_side_and_vary_by_their_weights():
    union = MethodUnion(100, parts=TWO | {"raw": {}}, dtype="float64").fit(ROWS)
    z = union.transform(ROWS)
    assert z.shape == (40, union.columns) == (40, 107)
    parts = np.split(z, [50, 100], axis=1)
    assert [spread(part) for part in parts] == pytest.approx([1, 9, 1])
    assert np.allclose(parts[2] / parts[2][0, 0], ROWS / ROWS[0, 0])


def test_the_kernel_is_the_sum_of_the_kernels_of_the_parts():
    union = MethodUnion(20_000, parts=TWO, dtype="float64").fit(ROWS)
    z = union.transform(ROWS)
    wide, narrow = (RFF(16, bandwidth=b, dtype="float64").fit(ROWS).kernel(ROWS) for b in (2.0, 0.5))
    a, b = union.kernel(ROWS)[0, :2] - 0, np.stack([wide[0, :2], narrow[0, :2]])
    weights = np.linalg.solve(b.T, a)
    assert (weights > 0).all()
    assert np.allclose(union.kernel(ROWS), weights[0] * wide + weights[1] * narrow)
    assert np.allclose(z @ z.T, union.kernel(ROWS), atol=0.05 * weights.sum())


def test_equal_parts_are_drawn_apart():
    same = {"method": "rff", "bandwidth": 1.0}
    z = MethodUnion(64, parts={"a": same, "b": same}).fit_transform(ROWS)
    assert np.abs(z[:, :32] - z[:, 32:]).max() > 0.01


def test_columns_are_shared_or_given():
    columns = MethodUnion(
        101, parts={"a": {"method": "rff"}, "rff": {}, "ntk_sketch": {"n_components": 40}}
    )._columns()
    assert columns == {"a": 31, "rff": 30, "ntk_sketch": 40}


def test_fewer_columns_than_parts_are_folded():
    assert MethodUnion(1, parts=TWO).fit_transform(ROWS).shape == (40, 1)


def test_images_reach_the_parts_in_either_layout():
    parts = {"ckn": {"filters": 4}, "random_patches": {"mirror": True}, "rff": {}}
    last = MethodUnion(120, parts=parts, layout="channels_last").fit(IMAGES).transform(IMAGES)
    first = MethodUnion(120, parts=parts, layout="channels_first").fit(np.moveaxis(IMAGES, 3, 1))
    z = first.transform(np.moveaxis(IMAGES, 3, 1))
    assert np.allclose(last[:, :80], z[:, :80], atol=1e-5)
    assert MethodUnion(120, parts=parts).for_data((9, 8, 3)).layout == "channels_last"
    assert MethodUnion(120, parts={"rff": {}}).for_data((9, 8, 3)).layout is None


def test_a_new_version_of_a_part_is_another_method(monkeypatch):
    before = MethodUnion(64, parts=TWO).identity()
    assert MethodUnion(64, parts=TWO).code().count("RandomFourierFeatures 1") == 2
    assert before != MethodUnion(64, parts=TWO | {"narrow": TWO["narrow"] | {"weight": 2.0}}).identity()
    monkeypatch.setattr(RFF, "version", 99)
    assert before != MethodUnion(64, parts=TWO).identity()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"parts": {}}, "parts of MethodUnion must be a mapping of at least one method"),
        (
            {"parts": {"nothing": {}}},
            "parts.nothing of MethodUnion must be the name of a method with features",
        ),
        (
            {"parts": {"exact_ntk": {}}},
            "parts.exact_ntk of MethodUnion must be the name of a method with features",
        ),
        ({"parts": {"union": {}}}, "parts.union of MethodUnion must be the name of a method with features"),
        ({"parts": {"rff": 3}}, "parts.rff of MethodUnion must be a group of keys, {} for defaults"),
        (
            {"parts": {"rff": {"bandwith": 1}}},
            "parts.rff of MethodUnion must be parameters of its method. Got 'bandwith'",
        ),
        (
            {"parts": {"rff": {"device": "cpu"}}},
            "parts.rff of MethodUnion must be parameters of its method. Got 'device'",
        ),
        ({"parts": {"rff": {"bandwidth": -1.0}}}, "parts.rff.bandwidth of RandomFourierFeatures must be"),
        (
            {"parts": {"cntk_nystrom": {"layers": 3}}},
            "parts.cntk_nystrom.layers of CNTKNystrom must be a list of text",
        ),
        ({"parts": {"rff": {"weight": 0}}}, "parts.rff.weight of MethodUnion must be a finite number > 0"),
        ({"parts": {"rff": {"n_components": 7}}}, "must be 7, the sum of its parts. Got 64"),
        ({"parts": {"rff": {"n_components": 64}, "ntk_sketch": {}}}, "must be >= 65. Got 64"),
    ],
)
def test_one_sentence_for_a_mistake(options, message):
    with pytest.raises(ConfigError) as error:
        MethodUnion(64, **options).fit(ROWS)
    assert message in str(error.value)
    assert len(str(error.value)) < 400


def test_rows_without_variance_are_scaled_by_their_norm_and_zeros_refused():
    z = MethodUnion(64, parts={"raw": {}}).fit_transform(np.ones((3, 4)))
    assert np.allclose((z**2).sum(1), 1)
    with pytest.raises(DataError, match=r"X of MethodUnion must be other than 0 for raw\. Got 'only zeros'"):
        MethodUnion(64, parts={"raw": {}}).fit(np.zeros((3, 4)))
