"""What a run needs is planned before it starts; runs without stored features are runs like others."""

import json
import shutil
from types import SimpleNamespace

import pytest

from ntkrun.cli import main as cli
from ntkrun.cli.commands.rerun import UNSTEADY
from ntkrun.datasets.digits import Digits
from ntkrun.errors import ConfigError, MachineError
from ntkrun.executors import EXECUTORS
from ntkrun.executors.serial import Serial
from ntkrun.maths.method.exact_ntk import ExactNTK
from ntkrun.maths.method.rff import RandomFourierFeatures
from ntkrun.solvers.ridge import Ridge
from ntkrun.solvers.ridge_cg import RidgeCG
from ntkrun.stages import featurize, memory, plan, summed
from ntkrun.stages.tasks import FeatureTask, task_of
from tests.test_summed import ROWS, SPLITS, task_for


@pytest.fixture
def passes(monkeypatch):
    """Store no shard at all."""
    monkeypatch.setattr(summed, "SMALL_BYTES", -1)


@pytest.mark.parametrize(
    ("make", "solver", "message"),
    [
        (
            lambda: task_for(columns=400),
            Ridge(),
            r"for fewer rows \(300\) than columns \(400\).*feature_dim=300",
        ),
        (task_for, RidgeCG(), "for solver=ridge_cg, which reads them many times.*or solver=ridge"),
        (lambda: task_of(SPLITS["classes"](), ExactNTK()), Ridge(), "for the kernel values of exact_ntk"),
    ],
)
def test_what_needs_stored_features_says_so(make, solver, message):
    with pytest.raises(ConfigError, match="^features of ntkrun must be stored " + message) as found:
        plan.check("summed", make(), solver)
    assert "\n" not in str(found.value)
    plan.check("auto", make(), solver)


@pytest.mark.parametrize(
    ("wanted", "free", "expected"),
    [
        ("stored", 1 << 40, True),
        ("summed", 1 << 40, False),
        ("auto", 1 << 40, True),
        ("auto", 400_000, False),
        ("stored", 10_000, "Take features=summed, lower feature_dim or choose another output_dir"),
        ("summed", 10_000, "free. Lower feature_dim or choose another output_dir"),
        ("auto", 10_000, "free. Lower feature_dim or choose another output_dir"),
    ],
)
def test_the_plan_looks_at_the_disk(wanted, free, expected, tmp_path, monkeypatch, caplog, listening):
    caplog.set_level("INFO")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=free))
    split = Digits().load()
    task = FeatureTask(split, RandomFourierFeatures(64))
    task.fit()
    arguments = (wanted, task, tmp_path / "absent", 512, Ridge(), Serial())
    if isinstance(expected, str):
        with pytest.raises(MachineError, match=expected):
            plan.complete(*arguments)
        return
    assert plan.complete(*arguments).stored is expected
    (line,) = [r.getMessage() for r in caplog.records if r.getMessage().startswith("plan")]
    assert "of memory" in line
    assert f"{free / 2**20:,.1f} MiB free)" in line or "GiB free)" in line
    said = [
        r.getMessage() for r in caplog.records if r.getMessage().startswith("features   summed: as files")
    ]
    assert len(said) == (wanted == "auto" and not expected)


def test_features_that_are_there_need_no_disk(tmp_path, monkeypatch):
    task = task_for()
    featurize.compute(task, tmp_path, ROWS, Serial())
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    assert plan.complete("auto", task, tmp_path, ROWS, Ridge(), Serial()).stored


TINY = ["dataset=digits", "dataset.n_train=200", "dataset.n_test=40", "feature_dim=32", "method=rff"]
TINY += ["baseline=none", "tracking.uri=sqlite:///:memory:"]


def test_the_command_line(ntkrun, passes):
    found = {}
    for features in ("stored", "summed"):
        code, _, err = ntkrun(*TINY, f"features={features}")
        assert code == 0, err
        (found[features],) = set(ntkrun.out.glob("runs/*")) - set(found.values())
    a, b = (json.loads((folder / "result.json").read_text()) for folder in found.values())
    assert (a["cache/features"], b["cache/features"]) == ("stored", "summed")
    assert b["cache/shards_reused"] == 0
    assert b["time/featurize_s"] > 0 < b["time/solve_s"]
    steady = [key for key in a if not key.startswith(UNSTEADY)]
    assert {key: a[key] for key in steady} == {key: b[key] for key in steady}
    for name in ("model/model.npz", "lambda_path.json"):
        assert len({(folder / name).read_bytes() for folder in found.values()}) == 1
    assert json.loads((found["summed"] / "config.json").read_text())["features"] == "summed"
    code, _, err = ntkrun(*TINY, "features=auto", "skip_finished=true")
    assert "skipped" in err + _
    code, _, err = ntkrun(*TINY, "features=none")
    assert code == 2
    assert "features of ntkrun must be one of stored, summed, auto. Got 'none' instead." in err


def test_commands_on_runs_without_shards(ntkrun, passes, capsys):
    assert ntkrun(*TINY, "features=summed")[0] == 0
    (folder,) = ntkrun.out.glob("runs/*")
    assert cli.main(["verify", str(ntkrun.out)]) == 0
    said = "0 sets of features with 0 shards, 2 files of sums and 1 run folders: nothing damaged"
    assert said in capsys.readouterr().out
    assert cli.main(["rerun", str(folder)]) == 0
    assert "the same numbers" in capsys.readouterr().out
    for command in ("list", "report"):
        assert cli.main([command, str(ntkrun.out)]) == 0
    one = next(ntkrun.out.glob("features/*/*.sums"))
    one.write_bytes(one.read_bytes()[:-1])
    capsys.readouterr()
    assert cli.main(["verify", str(ntkrun.out)]) == 4
    assert f"{one.name} does not have its recorded checksum" in capsys.readouterr().out


def test_the_memory_of_workers_that_sum_is_planned():
    task = task_for()
    with EXECUTORS.get("process")(workers=3) as executor:
        stored, here = (memory.plan(task, ROWS, Ridge(), executor, stored) for stored in (True, False))
    assert here.worker - stored.worker == 2 * 8 * 32**2 + 12 * ROWS * 32
    assert here.here == task.bytes(ROWS, Ridge(), False) + 3 * 8 * 32**2
