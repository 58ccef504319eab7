"""Words that Hydra takes for numbers or cannot read, devices, terminals, and remedies as they are typed."""

import io
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from ntkrun.cli import main as cli
from ntkrun.errors import ConfigError, MachineError
from ntkrun.maths.method.base import torch_device
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from tests.cases.base import DIGITS, ROOT, TABLE, Case, rows

FAST = " tracking.uri=sqlite:///:memory: output_dir={out}"
OK = TABLE + "dataset.path={cases}/ok.csv" + FAST
GIVEN = "tracking.uri=sqlite:///:memory: " + DIGITS


def table(name):
    """Return what brings the sound table under another name."""
    return lambda stage: stage.copy("ok.csv", name)


def no_run(stage):
    assert not (stage.here / "outputs").exists()


def experiment_is(name):
    def check(stage):
        (path,) = stage.outputs.glob("runs/*/config.json")
        assert json.loads(path.read_text())["tracking"]["experiment"] == name

    return check


# a file whose name Hydra would read as something else
NUMBERS = [
    Case(
        "16.13",
        f"a file called `{name}`",
        "it is that file: text stays as it is typed",
        TABLE + f"dataset.path={name}" + FAST,
        before=table(name),
        number=0.0123,
    )
    for name in ("2024", "2024.10", "1_000", "1e3", "true", "inf")
]
NUMBERS += [
    Case(
        "16.13",
        "a sweep over files called `2024.10` and `2_024`",
        "each job reads its own",
        TABLE + "-m dataset.path=2024.10,2_024" + FAST,
        before=lambda stage: (stage.copy("ok.csv", "2024.10"), stage.copy("ok.csv", "2_024")),
        says=["2 jobs: 2 ok"],
    ),
    Case(
        "16.13",
        "`output_dir=2024.10`",
        "that folder is made",
        OK.replace("{out}", "2024.10"),
        number=None,
        check=lambda stage: (stage.here / "2024.10" / "runs").rename(stage.here / "there"),
    ),
    Case(
        "16.13",
        "`tracking.experiment=2024`",
        "it is the experiment's name",
        OK + " tracking.experiment=2024",
        check=experiment_is("2024"),
    ),
    Case(
        "16.13",
        "`dataset.path=null` for a table",
        "null means that no file is named; one line says what to set",
        "dataset=csv dataset.path=null",
        code=2,
        says=["dataset.path of Csv must be", "Set dataset.path=FILE."],
        check=no_run,
    ),
    Case(
        "16.13",
        "`data_dir=2024` and a data set that is not there",
        "the message names the folder `2024`",
        "dataset=protein data_dir=2024 method=raw baseline=none",
        code=3,
        says=["2024/protein.csv.gz"],
        check=no_run,
    ),
]
REFUSED = [
    Case("16.13", f"`{words}`", "one line before any work", words, code=2, says=[says], check=no_run)
    for words, says in (
        ("tracking.uri=5", "tracking.uri of ntkrun must be like sqlite:///FILE"),
        ("tracking=null", "tracking of ntkrun must be a group of keys. Got None"),
        ("tracking=x", "tracking of ntkrun must be a group of keys. Got 'x'"),
        ("tracking.experiment=", "tracking.experiment of ntkrun must be non-empty text"),
        ("dataset=null", "dataset of ntkrun must be one of cifar10, cifar100, csr"),
        ("method=null", "method of ntkrun must be one of auto, ckn, cntk_nystrom"),
        ("method=2024", "method of ntkrun must be one of auto, ckn, cntk_nystrom"),
        ("solver=null", "solver of ntkrun must be one of ridge"),
        ("executor=null", "executor of ntkrun must be one of dask"),
        ("study_size=3", "study_size of ntkrun must be a group of keys. Got 3"),
        ("dataset=mnist dataset.mirrors=3", "dataset.mirrors of Idx must be a list of"),
        ("dataset=mnist dataset.class_names=5", "dataset.class_names of Idx must be a list of text or null"),
        ("method=exact_cntk method.layers=conv", "method.layers of ExactCNTK must be a list of text"),
        ("method.trained=[all]", "method.trained of CNTKSketch must be one of inner, all. Got ['all']"),
        ("seed=true", "random_state (seed) of CNTKSketch must be an integer"),
        ("depth=null", "depth of CNTKSketch must be an integer"),
        ("method=raw depth=null", "depth of ntkrun must be an integer"),
        ("output_dir=null", "output_dir of ntkrun must be non-empty text. Got None"),
        ("~baseline", "baseline is missing from the configuration"),
        ("~method.name", "method.name is missing from the configuration"),
        ("dataset=csv", "dataset.path has no value. Type dataset.path=FILE, such as mine.csv"),
    )
]
DEVICES = [
    Case(
        "16.13",
        f"`device={name}`",
        "one line names the devices that there are",
        f"{GIVEN}device={name}",
        code=2,
        says=["device of ntkrun must be"],
        never=["torch."],
        check=no_run,
    )
    for name in ("mps", "xpu", "hpu", "meta", "xla", "cuda:-1", "", "null", "0", "cpu:1")
]


# what is typed, and the line that the message proposes
QUOTING = [
    Case(
        "16.15",
        f"`{' '.join(words)}`",
        "the message is the line to type",
        [words],
        code=2,
        says=[f"cannot be read by Hydra. Type: {line}\n"],
        check=no_run,
    )
    for words, line in (
        (["dataset.path=/a (1).csv"], "ntkrun 'dataset.path=\"/a (1).csv\"'"),
        (["dataset.path=/a=b.csv"], "ntkrun 'dataset.path=\"/a=b.csv\"'"),
        (["dataset.path=/it's.csv"], "ntkrun 'dataset.path=\"/it'\"'\"'s.csv\"'"),
        (["dataset.path=/a#1  b.csv"], "ntkrun 'dataset.path=\"/a#1  b.csv\"'"),
        (["dataset.path=/Größe.csv"], "ntkrun 'dataset.path=\"/Größe.csv\"'"),
        (["dataset.path=/a{b}$c.csv"], "ntkrun 'dataset.path=\"/a{b}$c.csv\"'"),
        (["dataset.path=/a${b}.csv)"], "ntkrun 'dataset.path=\"/a\\${b}.csv)\"'"),
        (["dataset.path=${data_dir}/a (1).csv"], "ntkrun 'dataset.path=\"${data_dir}/a (1).csv\"'"),
        (["dataset.path=[a].csv"], "ntkrun 'dataset.path=\"[a].csv\"'"),
        (["dataset.path=[a]"], "ntkrun 'dataset.path=\"[a]\"'"),
        (["dataset.path=/a", "(1).csv", "seed=1"], "ntkrun 'dataset.path=\"/a (1).csv\"' seed=1"),
        (["output_dir=o", "tracking.experiment=a&b"], "ntkrun output_dir=o 'tracking.experiment=\"a&b\"'"),
        (["dataset.path=/a;b,/c", "-m"], "ntkrun -m 'dataset.path=\"/a;b\",/c'"),
    )
]
QUOTING += [
    Case(
        "16.15",
        "a sweep over a file with a comma and brackets in its name",
        "the file that is there is one value",
        [["-m", "dataset.path=a,b (1).csv"]],
        before=table("a,b (1).csv"),
        code=2,
        says=["Type: ntkrun -m 'dataset.path=\"a,b (1).csv\"'"],
    ),
    Case(
        "16.15",
        "two values without -m",
        "one line names the flag, and the quotes for a name with a comma",
        "dataset.path=a,b.csv",
        code=2,
        says=["Add -m for a sweep", "type 'dataset.path=\"a,b.csv\"' for one text"],
        check=no_run,
    ),
    Case(
        "16.15",
        "a name with a line end in it",
        "one line says that the file has to be renamed",
        [["dataset.path=a\n(1).csv"]],
        code=2,
        says=["cannot be read by Hydra. Rename the file"],
        check=no_run,
    ),
    Case(
        "16.15",
        "a word that is no override",
        "one line says so",
        ["lst"],
        code=2,
        says=["'lst' is not key=value"],
        check=no_run,
    ),
]
REMEDIES = [
    Case(
        "16.16", f"`{words}`", "the message names keys as they are typed", GIVEN + words, code=code, says=says
    )
    for words, code, says in (
        (
            "depth=1",
            2,
            ["depth of CNTKSketch must be >= 2", "use method.trained=all."],
        ),
        ("method.padding=valid depth=5", 3, ["for method.padding=valid.", "or method.padding=same."]),
        ("method.trained=none", 2, ["method.trained of CNTKSketch must be one of"]),
        ("method.depth=0", 2, ["method.depth of CNTKSketch must be"]),
        ("dataset.n_train=9999", 3, ["dataset.n_train of digits must be at most 1438"]),
        (
            "solver.lambda_min=2 solver.lambda_max=1",
            2,
            ["solver.lambda_max of Ridge must be >= solver.lambda_min"],
        ),
        ("executor=process executor.workers=0", 2, ["executor.workers of Process must be"]),
        ("method.random_state=null", 2, ["method.random_state of CNTKSketch must be an integer >= 0."]),
        ("dataset.split_seed=-1", 2, ["dataset.split_seed of Digits must be"]),
    )
]


def in_python(stage):
    CNTKSketch(depth=1).fit(np.ones((2, 5, 5, 1)))


REMEDIES.append(
    Case(
        "16.16",
        "`CNTKSketch(depth=1)` in Python",
        "the remedy is Python's: trained='all'",
        call=in_python,
        code=2,
        says=["depth of CNTKSketch must be >= 2", "use trained='all'."],
        never=["method.trained"],
    )
)


def terminal(encoding, *words):
    """Have a command meet a terminal of another encoding."""

    def call(stage):
        stage.copy("ok.csv", "Größe 数.csv")
        with stage.monkeypatch.context() as patch:
            streams = [io.TextIOWrapper(io.BytesIO(), encoding) for _ in range(2)]
            patch.setattr(sys, "stdout", streams[0])
            patch.setattr(sys, "stderr", streams[1])
            cli.main(list(words))
        for stream in streams:
            stream.flush()
            sys.stdout.write(stream.buffer.getvalue().decode(encoding))

    return call


def locale_c(stage):
    """Start a process whose locale has ASCII alone, with what Python does against that switched off."""
    env = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "LC_ALL": "C",
        "PYTHONUTF8": "0",
        "PYTHONCOERCECLOCALE": "0",
    }
    command = [sys.executable, "-m", "ntkrun", "dataset.path=/数 (1).csv"]
    done = subprocess.run(command, capture_output=True, env=env, check=False)
    sys.stdout.write(done.stderr.decode("ascii"))
    assert done.returncode == 2


NAMED = [*TABLE.split(), 'dataset.path="Größe 数.csv"', 'output_dir="Zürich 数"']
NAMED.append("tracking.uri=sqlite:///:memory:")
TERMINALS = [
    Case(
        "16.13",
        f"a run with names in Chinese on a terminal that knows {encoding} alone",
        "it ends well; what the terminal has not is escaped",
        call=terminal(encoding, *NAMED),
        says=["test mse", "\\u6570"],
    )
    for encoding in ("ascii", "latin-1")
]
TERMINALS += [
    Case(
        "16.13",
        "a message with a name in Chinese on an ASCII terminal",
        "it is escaped",
        call=terminal("ascii", "dataset.path=/数 (1).csv"),
        says=["cannot be read by Hydra", "\\u6570"],
    ),
    Case(
        "16.13",
        "`LC_ALL=C` and a name in Chinese",
        "one line, with the name escaped",
        call=locale_c,
        says=["cannot be read by Hydra"],
    ),
]
CASES = NUMBERS + REFUSED + DEVICES + QUOTING + REMEDIES + TERMINALS


@pytest.mark.parametrize("case", rows(CASES))
def test_situation(case, stage):
    stage.play(case)


def test_a_device_that_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr("torch.cuda.device_count", lambda: 2)
    assert str(torch_device("cuda:1")) == "cuda:1"
    with pytest.raises(MachineError, match="one this machine has"):
        torch_device("cuda:2")
    with pytest.raises(ConfigError, match="auto, cpu, cuda or cuda:N"):
        torch_device(0)
