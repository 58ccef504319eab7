"""Test list, rerun, sync, verify, doctor and ui on a real tiny run."""

import json
import os
import subprocess
import sys

import pytest

from ntkrun.cli import main as cli
from ntkrun.cli.commands import COMMANDS
from tests.faults.plan import record
from tests.server import pretend

TINY = ["dataset.n_train=60", "dataset.n_test=20", "feature_dim=48", "depth=2", "baseline=none"]


@pytest.fixture
def out(tmp_path, capsys):
    """Make an output folder with one finished run."""
    folder = tmp_path / "out"
    assert cli.main([*TINY, f"output_dir={folder}"]) == 0
    capsys.readouterr()
    return folder


def run_folder(out):
    (folder,) = (out / "runs").iterdir()
    return folder


def say(capsys, *words):
    code = cli.main([str(w) for w in words])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_list_shows_scores_and_states(out, capsys):
    code, text, _ = say(capsys, "list", out)
    assert code == 0
    score = json.loads((run_folder(out) / "result.json").read_text())["test/accuracy"]
    head, line = text.splitlines()
    assert head.split()[:5] == ["id", "started", "state", "dataset", "method"]
    assert line.split()[0] == run_folder(out).name[-4:]
    assert f"accuracy {score:.4f}" in line
    assert json.loads(say(capsys, "list", out, "--json")[1])[0]["score"] == score
    status = run_folder(out) / "status.json"
    gone = {**json.loads(status.read_text()), "status": "RUNNING", "pid": 2**22 + 1}
    status.write_text(json.dumps(gone))
    assert "DIED" in say(capsys, "list", out, "--failed")[1]
    status.write_text(json.dumps({**gone, "pid": os.getpid()}))
    assert "RUNNING" in say(capsys, "list", out)[1]


def test_rerun_gives_the_same_numbers_or_says_what_differs(out, capsys):
    first = run_folder(out)
    code, text, _ = say(capsys, "rerun", first)
    assert code == 0
    assert "the same numbers" in text
    result = json.loads((first / "result.json").read_text())
    (first / "result.json").write_text(json.dumps({**result, "test/accuracy": 0.123}))
    environment = json.loads((first / "environment.json").read_text())
    environment["packages"]["torch"] = "1.0"
    (first / "environment.json").write_text(json.dumps(environment))
    code, text, _ = say(capsys, "rerun", first)
    assert code == 4
    assert f"test/accuracy: 0.123 then, {result['test/accuracy']} now" in text
    assert "torch: 1.0 then" in text


def test_rerun_of_what_is_no_run(tmp_path, capsys):
    code, _, err = say(capsys, "rerun", tmp_path)
    assert code == 3
    assert "is not a run folder" in err


def test_sync_publishes_what_could_not_be(tmp_path, capsys):
    from mlflow.tracking import MlflowClient

    folder = tmp_path / "out"
    assert cli.main([*TINY, f"output_dir={folder}", "tracking.uri=http://127.0.0.1:9"]) == 0
    result = json.loads((run_folder(folder) / "result.json").read_text())
    assert result["mlflow/run_id"] is None
    capsys.readouterr()
    code, _, err = say(capsys, "sync", folder)
    assert code == 6
    assert "cannot be reached; 0 of 1 runs are published" in err
    store = f"sqlite:///{tmp_path / 'other.db'}"
    code, text, _ = say(capsys, "sync", folder, "--uri", store)
    assert code == 0
    assert "1 runs published" in text
    synced = json.loads((run_folder(folder) / "result.json").read_text())
    run = MlflowClient(store).get_run(synced["mlflow/run_id"])
    assert run.data.metrics["test/accuracy"] == result["test/accuracy"]
    assert say(capsys, "sync", folder, "--uri", store)[1].startswith("0 runs published")


def test_verify_names_what_is_damaged(out, capsys):
    code, text, _ = say(capsys, "verify", out)
    assert (code, text) == (0, "1 sets of features with 3 shards and 1 run folders: nothing damaged\n")
    shard = next(out.glob("features/*/test-*.h5"))
    data = bytearray(shard.read_bytes())
    data[len(data) // 2] ^= 4
    shard.write_bytes(data)
    (run_folder(out) / "result.json").write_text("{")
    code, text, _ = say(capsys, "verify", out)
    assert code == 4
    assert f"{shard} does not have its recorded checksum" in text
    assert "result.json cannot be read as JSON" in text
    assert "2 damaged" in text


def test_doctor_tells_of_the_machine(tmp_path, capsys):
    code, text, _ = say(capsys, "doctor", tmp_path)
    assert code == 0
    for word in ("torch", "threads", "GiB free", "data_dir", "nothing stands in the way"):
        assert word in text
    if os.geteuid():
        tmp_path.chmod(0o500)
        assert say(capsys, "doctor", tmp_path / "x")[0] == 5


def test_ui_starts_mlflow_on_this_machine_only(out, capsys, monkeypatch):
    called = pretend(monkeypatch)
    assert cli.main(["ui", str(out), "--port", "5055"]) == 0
    assert "http://127.0.0.1:5055/ntkrun" in capsys.readouterr().out
    ((words, _),) = called
    assert words[0] == sys.executable
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert words[-1] == f"sqlite:///{out / 'mlflow.db'}"
    record("S8", "ntkrun ui: on 127.0.0.1", 1)
    code, _, err = say(capsys, "ui", out / "nowhere")
    assert code == 3
    assert "is not there" in err
    (out / "mlflow.db").unlink()
    code, _, err = say(capsys, "ui", out)
    assert code == 3
    assert "has been published" in err


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_that_costs_nothing(name):
    code = (
        f"import sys; from ntkrun.cli.main import main; code = main(['{name}', '--help']);"
        "heavy = {'torch', 'mlflow', 'matplotlib'} & set(sys.modules);"
        "assert not heavy, heavy; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert f"usage: ntkrun {name}" in done.stdout


def test_a_run_reports_both_errors_of_its_kernel(ntkrun):
    assert ntkrun("dataset.n_train=200", "dataset.n_test=20", "feature_dim=256", "baseline=estimate")[0] == 0
    (result,) = (json.loads(p.read_text()) for p in ntkrun.out.glob("runs/*/result.json"))
    assert 0 < result["kernel/error"] < 0.5
    assert result["kernel/error"] < result["kernel/spectral_error"] < 100
