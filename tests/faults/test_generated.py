"""Run generated command lines and arrays: a finite result, or one line and nothing left behind."""

import json

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tests.faults.plan import SEED, count, record

OVERRIDES, ARRAYS = count(12, 2000), count(12, 2000)
EASY = {
    "deadline": None,
    "database": None,
    "phases": [Phase.generate],
    "suppress_health_check": list(HealthCheck),
}

# reasonable to hostile values; none that is accepted makes the toy run long
NUMBERS = ["-1", "0", "1", "2", "3", "16", "48", "64", "2147483648", "9223372036854775808", "1e300", "1e-300"]
WORDS = ["nan", "-inf", "null", "true", "rff", "contrast", "flip", "''", "[1,2]", "[]", "{}", "{a: 1}", "1.5"]
HOSTILE = [
    "${seed}",
    "${oc.env:HOME}",
    "${oc.decode:'[1'}",
    "${no.such}",
    "${eval:1}",
    "{_target_: os.system, command: 'touch CANARY'}",
    "'$(touch CANARY)'",
    "'`touch CANARY`'",
    "../../etc/passwd",
    "!!python/object/apply:os.system",
    "'\\udcff'",
    "[[[[[[",
    "}{",
    "a=b=c",
    "1,2,",
]
KEYS = ["feature_dim", "degree", "depth", "filter_size", "seed", "dtype", "baseline", "shard_rows", "study"]
KEYS += [
    "method",
    "dataset",
    "solver",
    "experiment",
    "solver.lambda_min",
    "solver.lambda_max",
    "dataset.path",
]
KEYS += [
    "dataset.path",
    "solver.lambda_count",
    "dataset.preprocess",
    "dataset.augment",
    "dataset.valid_fraction",
]
KEYS += ["dataset.n_train", "dataset.split_seed", "method.name", "method.sketch_dim", "method.trained"]
KEYS += ["tracking.experiment", "skip_finished", "hydra.verbose", "_target_", "feature_dims", ""]

values = st.one_of(
    st.sampled_from(NUMBERS + WORDS),
    st.sampled_from(HOSTILE),
    st.text(alphabet=st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=12),
)
# if every word could be wrong in every way, hardly any list would run
SANE = ["feature_dim=48", "depth=1", "degree=2", "seed=7", "dtype=float64", "method=rff", "baseline=none"]
SANE += ["solver.lambda_count=4", "dataset.preprocess=zca", "method=raw", "shard_rows=64", "study=a"]
any_word = st.builds(
    lambda sign, key, equals, value: f"{sign}{key}{equals}{value}",
    st.sampled_from(["", "", "", "", "+", "++", "~", "-", "--"]),
    st.sampled_from(KEYS),
    st.sampled_from(["=", "=", "=", "=", "", "==", "@x="]),
    values,
)
words = st.one_of(st.sampled_from(SANE), any_word)


def check(toy, out, words):
    """Run, check the outcome against the promises, and return whether it ended well."""
    before = {p for p in out.rglob("*") if "features" not in p.parts}
    done = toy.ask([*words, f"output_dir={out}"])
    assert done.code in (0, 2, 3, 5), (words, done)
    assert "Traceback" not in done.err, (words, done.err)
    new = [p for p in out.rglob("*") if "features" not in p.parts and p not in before]
    assert not list(toy.folder.rglob("CANARY*")), words
    if done.code:
        assert done.err.strip(), words
        # a failure in mid-run leaves a record and no result
        left = {p.name for p in new if p.is_file()}
        assert left <= {"config.json", "environment.json", "run.log", "status.json"}, (words, left, done)
    for path in (p for p in new if p.name == "result.json"):
        numbers = [v for v in json.loads(path.read_text()).values() if isinstance(v, float)]
        assert np.isfinite(numbers).all(), (words, path.read_text())
    return done.code == 0


@pytest.mark.slow
def test_generated_overrides(toy):
    out, ended = toy.fresh(), [0]

    @seed(SEED)
    @settings(max_examples=OVERRIDES, **EASY)
    @given(st.lists(words, min_size=1, max_size=4))
    def trial(overrides):
        ended[0] += check(toy, out, [*toy.words, "tracking.uri=sqlite:///:memory:", *overrides])

    trial()
    assert ended[0] > 0  # some run, or the strategy would test only the parser
    record("C fuzz", f"generated override lists, {ended[0]} of them ran to a finite result", OVERRIDES)


DTYPES = st.one_of(
    hnp.floating_dtypes(endianness="?"),
    hnp.integer_dtypes(endianness="?"),
    hnp.unsigned_integer_dtypes(endianness="?"),
    hnp.boolean_dtypes(),
    hnp.complex_number_dtypes(endianness="="),
    hnp.unicode_string_dtypes(max_len=3),
    hnp.datetime64_dtypes(),
)
SHAPES = st.one_of(
    st.tuples(st.just(12), st.integers(1, 4)),
    st.tuples(st.just(12), st.integers(1, 3), st.integers(1, 3), st.integers(1, 2)),
    hnp.array_shapes(max_dims=5, max_side=4, min_side=0),
)


@st.composite
def sets(draw):
    """Draw four arrays of any numbers, mostly with shapes that fit together."""
    shape, dtype = draw(SHAPES), draw(DTYPES)
    x = draw(hnp.arrays(dtype, shape))
    labels = st.one_of(
        st.just(np.arange(shape[0]) % 2),
        st.just(np.arange(shape[0]) % 3),
        hnp.arrays(st.sampled_from([np.int8, np.float32, np.uint64]), shape[:1]),
    )
    x_test = draw(st.one_of(st.just(x[:5]), hnp.arrays(dtype, (3, *shape[1:]))))
    y = draw(labels)
    return {"x_train": x, "y_train": y, "x_test": x_test, "y_test": y[: len(x_test)]}


@pytest.mark.slow
def test_generated_arrays(toy):
    out, ended = toy.fresh(), [0]
    path = toy.folder / "generated.npz"
    fixed = [f"dataset.path={path}", "dataset=npz", "baseline=none", "feature_dim=32", "depth=2"]
    fixed += ["solver.lambda_count=3", "tracking.uri=sqlite:///:memory:"]
    ways = st.sampled_from(["cntk_sketch", "ntk_random_features", "raw", "rff"])

    @seed(SEED)
    @settings(max_examples=ARRAYS, **EASY)
    @given(sets(), ways, st.sampled_from(["standardize", "contrast", "zca"]))
    def trial(arrays, method, preprocess):
        np.savez(path, **arrays)
        ended[0] += check(toy, out, [*fixed, f"method={method}", f"dataset.preprocess={preprocess}"])

    trial()
    assert ended[0] > 0
    record("X fuzz", f"generated arrays, {ended[0]} of them ran to a finite result", ARRAYS)
