"""Check that executors give the same bits, pass errors on and retry tasks of lost workers."""

import json
import os
import pickle
import signal
import time

import numpy as np
import pytest
import torch

from ntkrun.cli import main as cli
from ntkrun.datasets.digits import Digits
from ntkrun.errors import ConfigError, DataError, IntegrityError, MachineError
from ntkrun.executors import EXECUTORS
from ntkrun.executors.base import Call, die_with_parent
from ntkrun.executors.serial import Serial
from ntkrun.executors.shared import LARGE, Shared, _read
from ntkrun.maths.method.cntk_sketch import CNTKSketch
from ntkrun.maths.ridge.normal import NormalEquations
from ntkrun.solvers.ridge import Ridge
from ntkrun.stages import featurize, regress
from ntkrun.stages.tasks import task_of
from tests.faults.harness import shards


def square(n):
    return n * n


def odd_one_out(n):
    if n == 3:
        raise DataError("three is one too many")
    return n


def dies(name, folder, times):
    """Kill the worker the first few times."""
    mark = folder / name
    tries = mark.stat().st_size if mark.exists() else 0
    with mark.open("a") as file:
        file.write("x")
    if tries < times:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


def length(shared):
    return len(shared.value)


@pytest.fixture(scope="module")
def process():
    with EXECUTORS.get("process")(workers=2) as made:
        yield made


@pytest.mark.parametrize("make", [Serial, None], ids=["serial", "process"])
def test_every_task_is_done_once(make, process):
    workers = make() if make else process
    found = dict(workers.run(square, [Call("a", (i,)) for i in range(7)]))
    assert found == {i: i * i for i in range(7)}
    assert list(workers.run(square, [])) == []


def test_an_error_of_a_task_is_raised_here(process):
    with pytest.raises(DataError, match="one too many"):
        list(process.run(odd_one_out, [Call("a", (i,)) for i in range(6)]))


@pytest.mark.slow
def test_a_lost_worker_costs_its_task_a_second_try_and_no_more(tmp_path):
    tasks = [Call(f"t{i}", (f"t{i}", tmp_path, 2 if i == 1 else 0)) for i in range(5)]
    with EXECUTORS.get("process")(workers=2) as workers:
        assert dict(workers.run(dies, tasks)) == {i: f"t{i}" for i in range(5)}


@pytest.mark.slow
def test_a_task_that_always_takes_its_worker_along_is_named(tmp_path):
    tasks = [Call(f"t{i}", (f"t{i}", tmp_path, 99 if i == 1 else 0)) for i in range(3)]
    with EXECUTORS.get("process")(workers=2) as workers, pytest.raises(MachineError, match="t1 has lost"):
        list(workers.run(dies, tasks))


def test_what_tasks_share_is_a_file_for_as_long_as_it_is_needed(process, tmp_path):
    with Shared(list(range(1000)), tmp_path) as shared:
        assert set(dict(process.run(length, [Call("a", (shared,))] * 4)).values()) == {1000}
        assert len(list(tmp_path.iterdir())) == 1
    assert not list(tmp_path.iterdir())


def test_large_arrays_of_what_tasks_share_are_mapped_and_stay_as_they_were(tmp_path):
    large, small = np.arange(LARGE // 4, dtype=np.int64), np.arange(5.0)
    with Shared({"a": large, "b": small, "c": large[::2]}, tmp_path) as shared:
        handed = pickle.dumps(shared)
        assert len(handed) < 500
        there = pickle.loads(handed).value
        assert all(np.array_equal(there[k], v) for k, v in shared.value.items())
        assert not there["a"].flags.owndata
        there["a"][:] = 0
        _read.cache_clear()
        assert np.array_equal(pickle.loads(handed).value["a"], large)
        (file,) = tmp_path.iterdir()
        data = bytearray(file.read_bytes())
        data[-100] ^= 1
        file.write_bytes(data)
        _read.cache_clear()
        with pytest.raises(IntegrityError, match="is not what was written for the workers"):
            pickle.loads(handed)


def run(out, *words):
    words = ["dataset=digits", "dataset.n_train=300", "dataset.n_test=60", "feature_dim=128", *words]
    words += ["shard_rows=50", "baseline=none", "tracking.uri=sqlite:///:memory:", f"output_dir={out}"]
    assert cli.main(words) == 0
    result = json.loads(next(out.glob("runs/*/result.json")).read_text())
    assert not list(out.glob("features/*/.tmp-*"))
    assert not list(out.glob(".jobs-*"))
    keys = ("test/accuracy", "valid/accuracy", "lambda", "features_key")
    return shards(out), {k: result[k] for k in keys}, next(out.glob("runs/*/model/model.npz")).read_bytes()


@pytest.mark.parametrize(
    "name",
    [
        "process",
        pytest.param("dask", marks=pytest.mark.slow),
        pytest.param("submitit", marks=pytest.mark.slow),
    ],
)
@pytest.mark.parametrize("method", ["cntk_sketch", "exact_ntk"])
def test_any_executor_gives_the_same_bits(name, method, tmp_path):
    serial = run(tmp_path / "serial", f"method={method}")
    # as many threads as here: only on Intel's processors does the number not matter
    more = [f"executor={name}", "executor.workers=2", f"executor.threads={torch.get_num_threads()}"]
    assert run(tmp_path / name, f"method={method}", *more) == serial


@pytest.mark.slow
def test_a_dask_cluster_that_is_there(tmp_path):
    from distributed import LocalCluster

    serial = run(tmp_path / "serial")
    with LocalCluster(2, threads_per_worker=1, host="127.0.0.1", dashboard_address=None) as cluster:
        more = ["executor=dask", f"executor.address={cluster.scheduler_address}"]
        more.append(f"executor.threads={torch.get_num_threads()}")
        assert run(tmp_path / "dask", *more) == serial
        assert len(cluster.scheduler.workers) == 2  # we did not start it, so we do not stop it


def test_a_dask_cluster_that_is_not_there(monkeypatch):
    monkeypatch.setattr("ntkrun.executors.dask.PATIENCE", 1)
    with (
        EXECUTORS.get("dask")(address="tcp://127.0.0.1:9") as workers,
        pytest.raises(MachineError, match=":9 could"),
    ):
        list(workers.run(square, [Call("a", (1,))]))


class Backwards(Serial):
    """Return results in reverse order."""

    elsewhere = True

    def run(self, function, tasks):
        yield from reversed(list(super().run(function, tasks)))


def test_the_order_in_which_tasks_end_is_not_seen(tmp_path):
    split = Digits(n_train=400, n_test=60).load()
    task = task_of(split, CNTKSketch(64, depth=2))
    task.fit()
    features = [
        featurize.compute(task, tmp_path / "forth" / "features", 40, Serial()),
        featurize.compute(task, tmp_path / "back" / "features", 40, Backwards()),
    ]
    assert shards(tmp_path / "forth") == shards(tmp_path / "back") != {}
    assert len(features[0].train.groups()) > 3
    forth, back = (
        regress.run(f.train, f.valid, task.method, Ridge(), e)
        for f, e in zip(features, (Serial(), Backwards()), strict=True)
    )
    assert torch.equal(forth.predictor.weight, back.predictor.weight)


def test_sums_of_groups_are_the_sums_of_all_rows():
    torch.manual_seed(0)
    z, y = torch.randn(90, 7) + 5, torch.randn(90, 2)
    whole, parts = NormalEquations(), NormalEquations()
    whole.add(z, y)
    for start in range(0, 90, 30):
        group = NormalEquations()
        group.add(z[start : start + 30], y[start : start + 30])
        parts.merge(group)
    assert parts.n == 90
    for name in ("cross", "mean_z", "mean_y", "square_y"):
        assert torch.allclose(getattr(parts, name), getattr(whole, name), rtol=1e-12, atol=1e-10)
    assert torch.allclose(parts.gram.tril(), whole.gram.tril(), rtol=1e-12, atol=1e-10)


def test_workers_end_when_their_parent_is_gone():
    pid = os.fork()
    if pid == 0:
        die_with_parent(os.getppid() + 1)  # never its parent
        time.sleep(20)
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("process", {"workers": 0}, "workers of Process must be"),
        ("dask", {"address": "host"}, "address of Dask must be like tcp://host:8786"),
        ("submitit", {"cluster": "pbs"}, "cluster of Submitit must be"),
        ("submitit", {"timeout_min": 0}, "timeout_min of Submitit must be"),
    ],
)
def test_bad_parameters(name, options, message):
    (problem,) = EXECUTORS.get(name)(**options).problems()
    assert problem.startswith(message)


def test_an_unknown_executor_is_refused():
    with pytest.raises(ConfigError, match="one of dask, process, serial, submitit"):
        EXECUTORS.get("ray")


@pytest.mark.slow
def test_two_levels_of_processes_are_warned_of(tmp_path, capsys):
    words = ["-m", "seed=0,1", "executor=process", "executor.workers=1", "hydra/launcher=joblib"]
    words += ["hydra.launcher.n_jobs=1", "dataset.n_train=100", "dataset.n_test=20", "feature_dim=32"]
    assert cli.main([*words, "baseline=none", f"output_dir={tmp_path}"]) == 0
    assert "jobs x workers" in capsys.readouterr().err


def test_a_worker_that_is_lost_while_dask_starts_costs_a_second_try(monkeypatch):
    import distributed

    real, failing = distributed.LocalCluster, [1]

    def cluster(**options):
        if failing[0]:
            failing[0] -= 1
            raise RuntimeError("Nanny failed to start worker process")
        return real(**options)

    monkeypatch.setattr(distributed, "LocalCluster", cluster)
    dask = EXECUTORS.get("dask")
    executor = dask(workers=1)
    with executor:
        executor.start()
        assert not failing[0]
    failing[0] = 100
    with pytest.raises(MachineError, match=r"dask's workers did not start: Nanny .* Try executor=process\."):
        dask(workers=1).start()
