import json
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from ntkrun.cli import main as cli
from scripts import objective

TINY = ["dataset.n_train=60", "dataset.n_test=20", "feature_dim=48", "depth=2", "baseline=none"]


def runs(folder):
    """Return run folders in the order in which they ended: names do not order runs of one second."""
    return sorted(folder.glob("runs/*"), key=lambda path: (path / "result.json").stat().st_mtime_ns)


def results(folder):
    return [json.loads((path / "result.json").read_text()) for path in runs(folder)]


@pytest.mark.pictures
def test_a_run_writes_folder_and_mlflow(ntkrun, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["mine", "and mine"])  # the caller's list is left alone
    code, out, err = ntkrun(*TINY)
    assert code == 0, err
    assert sys.argv == ["mine", "and mine"]
    (result,) = results(ntkrun.out)
    assert f"test accuracy {result['test/accuracy']:.4f}" in out
    for key in (
        "valid/accuracy",
        "lambda",
        "time/featurize_s",
        "time/solve_s",
        "time/predict_s",
        "time/total_s",
        "memory/peak_rss_mb",
        "n_train",
        "n_test",
        "feature_dim",
        "mlflow/run_id",
        "cache/shards_reused",
    ):
        assert key in result
    folder = next(ntkrun.out.glob("runs/*"))
    names = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    model = ["MLmodel", "input_example.json", "model.json", "model.npz"]
    model += ["requirements.txt", "serving_input_example.json"]
    assert names == {
        *(f"model/{name}" for name in model),
        "config.json",
        "environment.json",
        "figures/confusion.png",
        "figures/lambda.png",
        "figures/time.png",
        "lambda_path.json",
        "predictions.npz",
        "result.json",
        "run.log",
        "status.json",
    }
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{ntkrun.out / 'mlflow.db'}")
    run = client.get_run(result["mlflow/run_id"])
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time > 100  # the run's time in ms, without publishing
    assert run.data.metrics["test/accuracy"] == result["test/accuracy"]
    assert run.data.params["degree"] == "2"
    assert run.data.params["seed"] == "0"
    assert len(client.get_metric_history(run.info.run_id, "path/valid_accuracy")) == 28
    assert run.inputs.dataset_inputs[0].dataset.name == "digits"
    assert {a.path for a in client.list_artifacts(run.info.run_id)} >= {
        "figures",
        "result.json",
        "config.json",
    }

    code, out, err = ntkrun(*TINY)
    assert "3 of 3 shards reused" in err
    a, b = results(ntkrun.out)
    assert a["test/accuracy"] == b["test/accuracy"]
    assert b["cache/shards_reused"] == 3


def test_measured_baseline_stands_beside_the_run(ntkrun):
    code, out, err = ntkrun(*[w for w in TINY if not w.startswith("baseline")], "baseline=exact")
    assert code == 0, err
    (result,) = results(ntkrun.out)
    assert result["exact/time_kind"] == "measured"
    assert result["speedup"] == pytest.approx(result["exact/time_s"] / result["time/total_s"])
    assert result["exact/accuracy"] > 0.5
    assert "exact kernel" in out
    assert "measured" in out


@pytest.mark.slow
def test_estimated_baseline_says_so_and_is_near_the_truth(ntkrun):
    size = ["dataset.n_train=500", "dataset.n_test=100", "depth=2", "feature_dim=64"]
    ntkrun(*size, "baseline=estimate")
    ntkrun(*size, "baseline=exact")
    guess, truth = sorted(results(ntkrun.out), key=lambda r: r["exact/time_kind"])
    assert guess["exact/time_kind"] == "extrapolated"
    assert "exact/accuracy" not in guess
    assert guess["exact/time_s"] == pytest.approx(truth["exact/time_s"], rel=0.6)


def test_exact_method_runs_through_the_same_road(ntkrun):
    code, _, err = ntkrun("method=exact_cntk", *TINY)
    assert code == 0, err
    assert results(ntkrun.out)[0]["test/accuracy"] > 0.6


def test_sweep_makes_a_run_each_and_a_failing_job_does_not_stop_the_others(ntkrun):
    code, _, err = ntkrun("feature_dim=48,64", "seed=0,-1", "-m", *[w for w in TINY if "feature" not in w])
    assert code == 7
    assert len(list(ntkrun.out.glob("sweeps/*/multirun.yaml"))) == 1
    assert not Path("multirun.yaml").exists()
    assert {(r["feature_dim"], r["run_name"]) for r in results(ntkrun.out)} == {
        (48, "cntk_sketch 48 s0 digits"),
        (64, "cntk_sketch 64 s0 digits"),
    }
    assert "2 jobs failed" in err
    assert "random_state (seed) of CNTKSketch must be an integer" in err


def test_tracking_that_fails_does_not_cost_the_run(ntkrun):
    code, _, err = ntkrun(*TINY, "tracking.uri=http://127.0.0.1:9/nowhere", "tracking.experiment=x")
    assert code == 0
    (result,) = results(ntkrun.out)
    assert result["mlflow/run_id"] is None
    assert "the run folder is complete" in err


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (
            ["method=cntk_sketsch"],
            2,
            "method of ntkrun must be one of auto, ckn, cntk_nystrom, cntk_sketch, exact_cntk, exact_ntk, "
            "grad_rf, ntk_nystrom, ntk_random_features, ntk_sketch, random_patches, raw, rff, union. "
            "Got 'cntk_sketsch' instead. Did you mean method=cntk_sketch?",
        ),
        (["experiment=nothing"], 2, "experiment of ntkrun must be one of"),
        (["feature_dims=3"], 2, "not a key of the configuration. Did you mean feature_dim? All keys"),
        (["n_train=3"], 2, "Did you mean dataset.n_train?"),
        (["tracking.url=x"], 2, "Did you mean tracking.uri?"),
        (["reprot"], 2, "'reprot' is not key=value and not a command. Did you mean ntkrun report?"),
        (["method.colour=3"], 2, "is not a key of the configuration. All keys"),
        (["+method.colour=3"], 2, "colour"),
        (
            ["feature_dim=-3"],
            2,
            "n_components (feature_dim) of CNTKSketch must be an integer in [1, 16777216]. Got -3",
        ),
        (["degree=1.5"], 2, "degree of CNTKSketch must be an integer in [2, 64]. Got 1.5 instead."),
        (["degree=ten", "seed=-1"], 2, "random_state (seed) of CNTKSketch must be"),
        (["baseline=never"], 2, "baseline of ntkrun must be one of auto, exact, estimate, none. Got 'never'"),
        (["solver.lambda_min=-1"], 2, "lambda_min of Ridge must be a finite number > 0. Got -1"),
        (["solver.lambda_count=0"], 2, "lambda_count of Ridge must be an integer in [1, 1000]. Got 0"),
        (["solver=ridge_cg", "solver.tolerance=2"], 2, "tolerance of RidgeCG must be a finite number"),
        (["solver=ridge_cg", "solver.rank=0"], 2, "rank of RidgeCG must be an integer >= 1. Got 0 instead."),
        (
            ["executor=process", "executor.workers=0"],
            2,
            "workers of Process must be an integer in [1, 10000]",
        ),
        (["dataset.n_train=100000"], 3, "n_train of digits must be at most 1438. Got 100000 instead."),
        (
            ["dataset.valid_fraction=1"],
            2,
            "valid_fraction of Digits must be a finite number in (0, 0.9). Got 1",
        ),
        (["dataset=npz"], 2, "dataset.path"),
        (
            ["dataset=npz", "dataset.path=/no/such.npz"],
            3,
            "path of Npz must be an existing file. Got '/no/such.npz'",
        ),
        (
            ["dataset=cifar10", "dataset.path=/no/such"],
            3,
            "path of Cifar10 must be an existing archive or folder",
        ),
        (
            ["device=cuda"],
            5,
            "device of ntkrun must be one this machine has. Got 'cuda' instead. Use device=cpu.",
        ),
        (["device=quantum"], 2, "device of ntkrun must be auto, cpu, cuda or cuda:N. Got 'quantum'"),
        (
            ["method.padding=valid", "depth=5"],
            3,
            "at least 11 x 11 pixels for method.padding=valid. Got '8 x 8'",
        ),
        (["feature_dim=48", "a b=3"], 2, ""),
        (["--nonsense"], 2, ""),
    ],
)
def test_mistakes_cost_one_line_and_leave_nothing(ntkrun, words, code, message):
    import torch

    if words == ["device=cuda"] and torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    got, _, err = ntkrun(*words)
    assert got == code
    assert message in err
    assert "Traceback" not in err
    lines = [line for line in err.strip().splitlines() if not line.startswith("data       ")]
    assert message in lines[-1]
    assert len(lines) == 1 or words == ["--nonsense"]  # argparse prints its usage too
    assert not ntkrun.out.exists() or not any(ntkrun.out.iterdir())


def test_corrupt_archive_is_one_line(ntkrun, tmp_path):
    bad = tmp_path / "cifar-10-binary.tar.gz"
    bad.write_bytes(b"\x1f\x8b" + b"x" * 500)
    code, _, err = ntkrun("dataset=cifar10", f"dataset.path={bad}")
    assert code == 3
    assert "is not a readable tar archive" in err
    assert "Traceback" not in err
    assert not ntkrun.out.exists()


def test_unwritable_output_is_one_line(ntkrun, tmp_path):
    blocker = tmp_path / "out"
    blocker.write_text("a file where a folder should be")
    code, _, err = ntkrun(*TINY)
    assert code == 5
    assert "could not be made: Not a directory" in err


def test_interrupt_marks_the_run(ntkrun, monkeypatch):
    from ntkrun.stages import regress

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(regress, "run", stop)
    code, _, err = ntkrun(*TINY)
    assert code == 130
    assert "interrupted" in err
    status = next(ntkrun.out.glob("runs/*/status.json"))
    assert json.loads(status.read_text())["status"] == "KILLED"


def python(*words, cwd=None, env=None):
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, timeout=120, cwd=cwd, env=env
    )


def test_help_is_quick_and_teaches(tmp_path):
    start = time.perf_counter()
    done = python("-m", "ntkrun", "--help", cwd=tmp_path)
    assert time.perf_counter() - start < 1
    assert done.returncode == 0
    for word in (
        "cntk_sketch | exact_cntk",
        "cifar10 | cifar100 | csr | csv | ct | digits | emnist | fashion_mnist | folder | hdf5 | million",
        "ntkrun help keys",
        "feature_dim: 1024",
        "--multirun",
        "exit codes",
    ):
        assert word in " ".join(done.stdout.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("words", [["--help"], ["help", "ckn", "keys"], ["--version"], ["--cfg", "job"]])
def test_light_commands_import_nothing_heavy(words):
    code = (
        "import sys; from ntkrun.cli.main import main; main(" + repr(words) + ");"
        "heavy = {'torch', 'mlflow', 'sklearn', 'numba', 'h5py'} & set(sys.modules); assert not heavy, heavy"
    )
    done = python("-c", code)
    assert done.returncode == 0, done.stderr
    assert done.stdout


def test_version_and_cfg():
    assert python("-m", "ntkrun", "--version").stdout.startswith("ntkrun 0.")
    shown = python("-m", "ntkrun", "method=exact_cntk", "--cfg", "job").stdout
    assert "name: exact_cntk" in shown
    assert "depth: ${depth}" in shown or "depth: 3" in shown


def test_tab_completion_answers_with_groups_and_keys():
    done = python(
        "-m",
        "ntkrun",
        "-sc",
        "query=bash",
        env={**os.environ, "COMP_LINE": "ntkrun method=", "COMP_POINT": "14", "HYDRA_FULL_ERROR": "1"},
    )
    assert {"method=cntk_sketch", "method=exact_cntk"} <= set(done.stdout.split())


def test_no_words_at_all_are_the_default_run(monkeypatch):
    """`make run` starts this."""
    started = []
    monkeypatch.setattr("ntkrun.cli.launch._single", started.append)
    assert cli.main([]) == 0
    assert started[0].method.name == "cntk_sketch"


def test_conjugate_gradients_score_like_the_normal_equations(ntkrun):
    words = ["dataset.n_train=400", "dataset.n_test=200", "feature_dim=256", "depth=2", "baseline=none"]
    words += ["solver.lambda_min=1e-6", "solver.lambda_max=1e-1", "solver.lambda_count=6"]
    assert ntkrun(*words)[0] == 0
    code, _, err = ntkrun(*words, "solver=ridge_cg", "solver.rank=32")
    assert code == 0, err
    assert "passes over the features" in err
    direct, streamed = results(ntkrun.out)
    assert streamed["cache/shards_reused"] > 0
    assert streamed["relative_lambda"] == direct["relative_lambda"]
    assert streamed["test/accuracy"] == pytest.approx(direct["test/accuracy"], abs=0.011)


@pytest.mark.pictures
def test_one_lambda_needs_no_grid_and_both_solvers_come_to_one_objective(ntkrun, capsys):
    words = ["dataset.n_train=300", "dataset.n_test=100", "feature_dim=128", "depth=2", "baseline=none"]
    words += ["solver.lambda_min=1e-4", "solver.lambda_max=1e-4", "solver.lambda_count=1"]
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for solver in ("ridge", "ridge_cg"):
            code, _, err = ntkrun(*words, f"solver={solver}")
            assert code == 0, err
            assert "edge of the grid" not in err
    assert objective.main([str(folder) for folder in runs(ntkrun.out)]) == 0
    direct, streamed = (
        float(line.split(": ")[1].split()[0]) for line in capsys.readouterr().out.splitlines()
    )
    assert direct * (1 - 1e-9) <= streamed < direct * (1 + 1e-4)
    assert objective.main([str(ntkrun.out)]) == 5
