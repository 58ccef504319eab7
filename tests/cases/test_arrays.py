"""Arrays as people have them: layouts, scales and types."""

import numpy as np
import pytest

from tests.cases.base import Case, rows

NPZ = "dataset=npz dataset.path={here}/d.npz method=ntk_sketch depth=2 feature_dim=32 baseline=none "
NPZ += "tracking.uri=sqlite:///:memory: "
IMAGES = NPZ.replace("ntk_sketch", "cntk_sketch")


def arrays(change=lambda a: a, shape=(6, 6, 1), name="d.npz"):
    """Write images whose upper half is brighter in class 1, or rows, after a change."""

    def before(stage):
        rng = np.random.default_rng(0)
        made = {}
        for part, n in (("train", 48), ("test", 16)):
            y = np.arange(n) % 2
            x = rng.normal(size=(n, *shape))
            x[y == 1, : shape[0] // 2] += 2
            made |= {f"x_{part}": x, f"y_{part}": y}
        np.savez(stage.here / name, **change(made))

    return before


def each(part, function):
    """Return a change of x or y in train and test."""
    return lambda a: {k: function(v) if k.startswith(part) else v for k, v in a.items()}


def first(x):
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2))


def same_numbers(stage):
    one, other = stage.results()
    assert one["data_sha256"] == other["data_sha256"]
    scores = [
        {k: v for k, v in r.items() if k.startswith(("test/", "valid/", "lambda"))} for r in (one, other)
    ]
    assert scores[0] == scores[1]


def both(change, shape=(6, 5, 1), plain=lambda a: a):
    """Write images as they should be and after a change."""

    def before(stage):
        arrays(plain, shape=shape, name="last.npz")(stage)
        arrays(change, shape=shape)(stage)

    return before


def scaled(made, train, test):
    """Return pixels 0..1 or 0..255 by part, floats or bytes."""
    for part, kind in (("x_train", train), ("x_test", test)):
        x = np.clip((made[part] + 3) / 6, 0, 1)
        x = (x - x.min()) / (x.max() - x.min()) * (255 if "255" in kind else 1)
        made[part] = np.round(x).astype(np.uint8) if "bytes" in kind else x
    return made


BOTH = ("dataset.layout=channels_first", "dataset.layout=channels_last")
LAST = IMAGES.replace("d.npz", "last.npz")

CASES = [
    Case(
        "16.2",
        "colour images with channels first, and nothing said",
        "refused, with both words that settle it",
        IMAGES.replace("{here}/d", "{cases}/nchw_min"),
        code=3,
        says=("shape (n, 3, 8, 8)", *BOTH),
    ),
    *(
        Case(
            "16.2",
            f"images of {c} channel{'s' * (c > 1)}, channels first, and nothing said",
            "refused, with both words that settle it",
            IMAGES,
            before=arrays(each("x", first), shape=(6, 5, c)),
            code=3,
            says=(f"shape (n, {c}, 6, 5)", *BOTH),
        )
        for c in (1, 4)
    ),
    *(
        Case(
            "16.2",
            f"images of {c} channel{'s' * (c > 1)} with dataset.layout=channels_first",
            "the numbers are those of the same images stored with channels last",
            (LAST, IMAGES + "dataset.layout=channels_first"),
            before=both(each("x", first), (6, 5, c)),
            says=(f"rows of {c} x 6 x 5 are images with channels first, taken as 6 x 5 x {c}",),
            check=same_numbers,
        )
        for c in (1, 3)
    ),
    Case(
        "16.2",
        "grey images without an axis of channels, (n, H, W)",
        "they are grey images, said in one line; the numbers are those of (n, H, W, 1)",
        (LAST, IMAGES),
        before=both(each("x", lambda x: x[..., 0])),
        says=("rows of 6 x 5 are grey images, taken as 6 x 5 x 1",),
        check=same_numbers,
    ),
    Case(
        "16.2",
        "images of three rows of pixels with dataset.layout=channels_last",
        "they run with height 3",
        IMAGES + "dataset.layout=channels_last",
        before=arrays(shape=(3, 6, 6)),
        says=("3 x 6 x 6",),
    ),
    Case(
        "16.2",
        "training images with channels last, test images with channels first",
        "refused, with both shapes",
        IMAGES,
        before=arrays(lambda a: a | {"x_test": first(a["x_test"])}, shape=(6, 5, 3)),
        code=3,
        says=("x_test of d must be shaped like x_train, (n, (6, 5, 3)). Got (16, 3, 6, 5)",),
    ),
    Case(
        "16.2",
        "rows of pixels with dataset.layout=channels_first",
        "refused: rows are no images; reshape them",
        IMAGES + "dataset.layout=channels_first",
        before=arrays(each("x", lambda x: x.reshape(len(x), -1))),
        code=3,
        says=("layout of d must be null for rows (n, d)", "(n, C, H, W)"),
    ),
    Case(
        "16.2",
        "a layout by another name, NCHW",
        "refused before the data are read, with the two names there are",
        IMAGES + "dataset.layout=NCHW",
        code=2,
        says=("layout of Npz must be one of channels_last, channels_first",),
    ),
    *(
        Case(
            "16.4",
            f"training images of {a}, test images of {b}",
            "a warning of the run, with both ranges",
            NPZ,
            before=arrays(lambda d, a=a, b=b: scaled(d, a, b)),
            says=("test part has another scale than the training rows", says),
        )
        for a, b, says in (
            ("0..255", "0..1", "0 to 1 beside 0 to 255"),
            ("0..1", "0..255", "0 to 255 beside 0 to 1"),
            ("bytes 0..255", "bytes 0..1", "0 to 1 beside 0 to 255"),
        )
    ),
    Case(
        "16.4",
        "heavy tails in training and test part alike",
        "no warning",
        NPZ,
        before=arrays(each("x", lambda x: np.exp(5 * x)), shape=(9,)),
        never=("another scale",),
    ),
    Case(
        "16.13",
        "labels of type uint16",
        "it runs",
        NPZ.replace("{here}/d", "{cases}/label_uint16_min"),
        number=0.8,
    ),
    *(
        Case(
            "16.13",
            f"labels of type {kind}",
            "the numbers are those of int64",
            (LAST, IMAGES),
            before=both(each("y", lambda y, kind=kind: y.astype(kind))),
            check=same_numbers,
        )
        for kind in ("uint32", "uint64", "bool", "float32", "longdouble", ">u2")
    ),
    Case(
        "16.13",
        "labels that are fractions",
        "refused before work starts",
        NPZ,
        before=arrays(each("y", lambda y: y / 2)),
        code=3,
        says=("y_train of d must be labels for classification. Got 0.5",),
    ),
    Case(
        "16.13",
        "a label too large for int64",
        "refused before work starts",
        NPZ,
        before=arrays(each("y", lambda y: y.astype("u8") << 63)),
        code=3,
        says=("y_train of d must be labels below 2^62 in size",),
    ),
    *(
        Case(
            "16.13",
            f"{what} of type longdouble",
            "the numbers are those of float64",
            (LAST + words, IMAGES + words),
            before=both(
                each(key, lambda a: a.astype("longdouble")), plain=each(key, lambda a: a.astype(float))
            ),
            check=same_numbers,
        )
        for what, key, words in (("inputs", "x", ""), ("targets", "y", "dataset.task=regression"))
    ),
    *(
        Case(
            "16.13",
            f"{what} of type longdouble that are too large for float64",
            "refused before work starts",
            NPZ + words,
            before=arrays(each(key, lambda a: a.astype("longdouble") * np.longdouble("1e400"))),
            code=3,
            says=(f"{key}_train of d must be finite",),
        )
        for what, key, words in (("inputs", "x", ""), ("targets", "y", "dataset.task=regression"))
    ),
]


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)
