"""C1-C36: bad configurations exit with 2 and one line before any data are read, and leave nothing behind."""

import pytest

from ntkrun.cli import main as cli
from ntkrun.datasets.digits import Digits
from tests.faults.plan import record

DEEP = "{a:" * 5000 + "1" + "}" * 5000
# case: words, exit code, text in the line; None runs to the end
CASES = {
    "C1 unknown key": (["colour=3"], 2, "'colour' is not a key of the configuration"),
    "C2 misspelt group value": (["method=cntk_sketsch"], 2, "Did you mean method=cntk_sketch?"),
    "C3 missing value": (["dataset=npz"], 2, "dataset.path"),
    "C4 wrong type": (["feature_dim=ten"], 2, "must be an integer in [1, 16777216]. Got 'ten'"),
    "C5 feature_dim 0": (["feature_dim=0"], 2, "must be an integer in [1, 16777216]. Got 0"),
    "C6 feature_dim -1": (["feature_dim=-1"], 2, "Got -1 instead"),
    "C7 feature_dim 1e12": (["feature_dim=1000000000000"], 2, "Got 1000000000000 instead"),
    "C8 feature_dim 1.5": (["feature_dim=1.5"], 2, "Got 1.5 instead"),
    "C9 feature_dim nan": (["feature_dim=nan"], 2, "Got nan instead"),
    "C10 lambda -1": (["solver.lambda_min=-1"], 2, "lambda_min of Ridge must be a finite number > 0"),
    "C11 lambda inf": (["solver.lambda_max=inf"], 2, "lambda_max of Ridge must be a finite number > 0"),
    "C12 no lambda": (["solver.lambda_count=0"], 2, "lambda_count of Ridge must be an integer in [1, 1000]"),
    "C13 depth 0": (["depth=0"], 2, "depth of CNTKSketch must be an integer in [1, 100]. Got 0"),
    "C14 depth 1e6": (["depth=1000000"], 2, "depth of CNTKSketch must be an integer in [1, 100]"),
    "C15 even filter": (["filter_size=4"], 2, "filter_size of CNTKSketch must be odd. Got 4"),
    "C16 filters larger than the image": (
        ["method.padding=valid", "filter_size=11", "method.sketch_dim=200"],
        3,
        "pixels for method.padding=valid",
    ),
    "C17 seed -1": (["seed=-1"], 2, "random_state (seed) of CNTKSketch must be an integer"),
    "C18 seed 2**64": (["seed=18446744073709551616"], 2, "random_state (seed) of CNTKSketch"),
    "C19 seed abc": (["seed=abc"], 2, "Got 'abc' instead"),
    "C20 dtype": (["dtype=int8"], 2, "dtype of CNTKSketch must be one of float32, float64. Got 'int8'"),
    "C21 shard_rows 0": (["shard_rows=0"], 2, "shard_rows of ntkrun must be an integer >= 1. Got 0"),
    "C22 shard_rows beyond the rows": (["shard_rows=100000"], 0, None),
    "C fuzz a number for a group": (["method@x=-1"], 2, "Config group override must be a string"),
    "C23 no workers": (["executor=process", "executor.workers=0"], 2, "workers of Process must be"),
    "C24 a hundred thousand workers": (
        ["executor=process", "executor.workers=100000"],
        2,
        "workers of Process must be",
    ),
    "C25 no such device": (["device=cuda:99"], 5, "device of ntkrun must be one this machine has"),
    "C31 interpolation cycle": (["feature_dim=${degree}", "degree=${feature_dim}"], 2, ""),
    "C32 environment variable that is not set": (
        ["seed=${oc.env:NO_SUCH_VARIABLE_HERE}"],
        2,
        "NO_SUCH_VARIABLE",
    ),
    "C34a path with NUL": (["output_dir='a\0b'"], 2, ""),
    "C34b path of 5,000 characters": (["output_dir=" + "x" * 5000], 5, "File name too long"),
    "C34c path with a line end": (['output_dir="{out}/a\\nb"'], 0, None),
    "C34d path with spaces and =": (["output_dir='{out}/a b=c'"], 0, None),
    "C34e path that is not UTF-8": (
        ["output_dir='{out}/a\udcff'"],
        2,
        "output_dir of ntkrun must be text in UTF-8",
    ),
    "C34g data whose name is not UTF-8": (
        ["dataset=npz", "dataset.path='a\udcff.npz'"],
        2,
        "dataset.path of ntkrun must be text in UTF-8",
    ),
    "C34f path below the home folder": (["output_dir='~/a b'"], 0, None),
    "C35b experiment name of 300 characters": (["tracking.experiment=" + "n" * 300], 0, None),
    "C35 experiment name with / and ..": (["tracking.experiment='../x/🙂, y'"], 0, None),
    "C36 several at once": (
        ["degree=1", "depth=0", "solver.lambda_min=-1"],
        2,
        "degree of CNTKSketch",
    ),
    "number that is a word": (["baseline=never"], 2, "baseline of ntkrun must be one of auto, exact"),
    "not a boolean": (["skip_finished=perhaps"], 2, "skip_finished of ntkrun must be true or false"),
}


@pytest.fixture
def start(tmp_path, capsys, monkeypatch):
    """Start ntkrun in an empty folder; return code and stderr."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    out = tmp_path / "out"

    def run(words):
        words = [w.replace("{out}", str(out)) for w in words]
        if not any(w.startswith("output_dir") for w in words):
            words = [*words, f"output_dir={out}"]
        tiny = ["dataset.n_train=60", "dataset.n_test=20", "baseline=none", "tracking.uri=sqlite:///:memory:"]
        keys = {w.split("=")[0] for w in words}
        tiny = [w for w in tiny if w.split("=")[0] not in keys]
        words += [w for w in tiny if "dataset=npz" not in words or not w.startswith("dataset")]
        if "feature_dim" not in keys and "filter_size" not in keys:
            words.append("feature_dim=64")
        code = cli.main(words)
        return code, capsys.readouterr().err

    run.folder = tmp_path
    return run


@pytest.mark.parametrize("case", CASES)
def test_case(case, start, monkeypatch):
    words, code, message = CASES[case]
    if code == 2:
        monkeypatch.setattr(Digits, "load", lambda self: pytest.fail("data were read"))
    got, err = start(words)
    assert got == code, err
    assert "Traceback" not in err
    if message is not None:
        lines = [line for line in err.strip().splitlines() if not line.startswith("data   ")]
        assert len(lines) == 1
        assert message in lines[0]
        left = [p for p in start.folder.rglob("*") if p.is_file()]
        assert not left
    record("C", case, 1)


def test_all_problems_are_told_at_once(start):
    _, err = start(CASES["C36 several at once"][0])
    for word in ("degree of CNTKSketch", "depth of CNTKSketch", "lambda_min of Ridge"):
        assert word in err


YAMLS = {
    "C26 syntax error": b"a: [1, 2\nb: }",
    "C27 tabs": b"method:\n\tname: x\n",
    "C28 not UTF-8": b"name: \xff\xfe\n",
    "C29 alias bomb": b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + b"".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n".encode() for i in range(1, 11)),
    "C30 nesting 5,000": ("a: " + "[" * 5000 + "]" * 5000).encode(),
    "C33 duplicate key": b"degree: 2\ndegree: 3\n",
}


@pytest.mark.parametrize("case", YAMLS)
def test_yaml_case(case, tmp_path, capsys, monkeypatch):
    folder = tmp_path / "mine" / "experiment"
    folder.mkdir(parents=True)
    (folder / "bad.yaml").write_bytes(b"# @package _global_\n" + YAMLS[case])
    monkeypatch.setattr(Digits, "load", lambda self: pytest.fail("data were read"))
    out = tmp_path / "out"
    code = cli.main(["--config-dir", str(tmp_path / "mine"), "experiment=bad", f"output_dir={out}"])
    err = capsys.readouterr().err
    assert code == 2, err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert not out.exists()
    record("C", case, 1)
