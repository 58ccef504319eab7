"""Test words before Hydra reads them, and bad values for every key: one line each."""

import shlex

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.override_parser.overrides_parser import OverridesParser
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from ntkrun.cli import words
from ntkrun.cli.help import GROUPS, choices, conf_dir
from ntkrun.cli.launch import checked
from ntkrun.errors import ConfigError, NtkrunError

ODD = st.text(
    alphabet=st.one_of(
        st.sampled_from("""()[]{}'"\\$#=:;,&%!?*~<>|`^@+-_. /aA0\x20"""),
        st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp", "Zs"]),
    ),
    min_size=1,
    max_size=12,
)


def meant(line):
    """Return the value that Hydra and OmegaConf read from the last word of a line split by the shell."""
    (override,) = OverridesParser.create().parse_overrides([shlex.split(line)[-1]])
    values = list(override.sweep_string_iterator()) if override.is_sweep_override() else [None]
    if values != [None]:
        overrides = OverridesParser.create().parse_overrides([f"x={value}" for value in values])
        return [resolved(o.value()) for o in overrides]
    return resolved(override.value())


def resolved(value):
    return OmegaConf.create({"x": value}).x


def asked(*line):
    """Return the words for Hydra, or the line that the message says to type."""
    try:
        return shlex.join(["ntkrun", *words.prepared(list(line))])
    except ConfigError as error:
        return str(error).partition(" Type: ")[2]


@settings(max_examples=300, deadline=None, database=None, suppress_health_check=list(HealthCheck))
@given(ODD)
@example("a${b}")
@example("a\\${b}(")
@example("(\\")
@example("(\\\\'\"")
@example("2024.10")
def test_the_line_to_type_gives_the_name(name):
    """For a name that Hydra cannot read; otherwise the value is the name, or Hydra's own reading."""
    for line in (asked("dataset.path=/(" + name), asked("-m", "dataset.path=/(" + name.replace(",", ""))):
        typed = "/(" + (name.replace(",", "") if " -m " in line else name)
        assert meant(line) == typed
        assert asked(*shlex.split(line)[1:]) == line  # it is accepted


@pytest.mark.parametrize(
    ("typed", "values"),
    [
        ("2024,1_000", ["2024", "1_000"]),
        ("'a,b',2024.10", ["a,b", "2024.10"]),
        ("choice(2024.10,true)", ["2024.10", "true"]),
        ("/a (1),/b", ["/a (1)", "/b"]),
        ("[x].csv,[y].csv", ["[x].csv", "[y].csv"]),
    ],
)
def test_each_value_of_a_sweep_stays_text(typed, values):
    line = asked("-m", f"dataset.path={typed}")
    assert line.startswith("ntkrun -m ")
    assert meant(line) == values


def test_words_that_are_no_text_are_left_alone():
    line = ["-m", "seed=0,1", "feature_dim=range(1,3)", "method.layers=[conv,act],null", "+dataset.fold=1e3"]
    assert words.prepared(line) == line
    assert words.prepared(["dataset.path=null", "data_dir=null", "experiment=null"])[-1] == "experiment=null"


STRANGE = [None, True, 1.5, -1, 10**30, float("nan"), "", "x", "\0", [], [1], ["a"], [[1]], {}, {"a": 1}]
# ct, protein, million_songs and fashion_mnist are csv and idx
TWINS = ("ct", "protein", "million_songs", "fashion_mnist")
FILES = [(g, name) for g in GROUPS[:4] for name in choices(g)]
SETS = [[f"{group}={name}"] for group, name in FILES if name not in TWINS]
GIVEN = {"dataset=csv": ["dataset.path=x"], "dataset=npz": ["dataset.path=x"]}


def keys(tree, prefix=""):
    for key, value in tree.items():
        yield prefix + key
        if isinstance(value, dict):
            yield from keys(value, f"{prefix}{key}.")


QUICK = [["dataset=csv"], ["dataset=folder"], ["method=auto"], ["method=ntk_nystrom"], ["solver=ridge_cg"]]
REST = [words for words in [["study=theorem_1"], *SETS] if words not in QUICK]
LATER = [
    pytest.param(words, marks=pytest.mark.slow)
    for words in [["study=theorem_1"], *SETS]
    if words not in QUICK
]


@pytest.mark.parametrize("overrides", [*QUICK, *LATER], ids=str)
def test_every_key_set_to_what_no_key_is(overrides):
    """A configuration is accepted, or one line says what is wrong; no data are read."""
    refused = 0
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = compose("config", [*overrides, *GIVEN.get(overrides[0], [])])
    tree = OmegaConf.to_container(config)
    # top-level keys only once
    mine = overrides[0].split("=")[0]
    for key in [k for k in keys(tree) if k.split(".")[0] == mine or mine == "study"]:
        for value in STRANGE:
            changed = OmegaConf.create(tree)
            OmegaConf.update(changed, key, value, merge=False)
            try:
                checked(changed)
            except (NtkrunError, OmegaConfBaseException):
                refused += 1
    assert refused > len(STRANGE)


def test_options_may_stand_anywhere():
    assert words.prepared(["a=1", "-m", "b=2", "--cfg", "job", "+experiment=x"]) == [
        "-m",
        "--cfg",
        "job",
        "a=1",
        "b=2",
        "experiment=x",
    ]
