"""S1-S5, S10-S12: no code named in a config runs, no secret is written, no link leads outside."""

import json
import os
import subprocess
import sys
import tomllib
from pathlib import Path

import psutil
import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from ntkrun.cli import main as cli
from ntkrun.executors import EXECUTORS
from ntkrun.executors.base import Call
from ntkrun.log import redacted
from ntkrun.store import atomic
from tests.faults.plan import record

TINY = ["dataset.n_train=60", "dataset.n_test=20", "feature_dim=48", "depth=2", "baseline=none"]

TARGETS = [
    "os.system",
    "logging.os.system",
    "posix.system",
    "builtins.eval",
    "subprocess.Popen",
    "functools.partial",
    "itertools.accumulate",
    "pdb.Pdb._getval",
    "os._exit",
    "hydra.utils.instantiate",
    "ntkrun.machine.os.system",
    "ntkrun.maths.method.base.os.system",
]


@pytest.mark.parametrize("target", TARGETS)
def test_importable_names_in_a_config_are_not_called(target, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HYDRA_INSTANTIATE_ALLOWLIST_OVERRIDE", target)
    call = f"{{_target_: {target}, command: 'touch CANARY', _args_: ['touch CANARY']}}"
    for words in (
        [f"method.name={target}"],
        [f"dataset.name={target}"],
        [f"+method._target_={target}", "+method._args_=['touch CANARY']"],
        [f"+dataset.extra={call}"],
        [f"feature_dim={call}"],
        [f"study={target}"],
    ):
        assert cli.main([*words, f"output_dir={tmp_path / 'out'}"]) == 2, words
        assert "Traceback" not in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    record("S1", f"{target} at six places of a configuration", 6)


def test_a_saved_run_configuration_calls_nothing_either(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main([*TINY, f"output_dir={out}"]) == 0
    (folder,) = (out / "runs").iterdir()
    config = json.loads((folder / "config.json").read_text())
    for key, value in (("method", {"name": "os.system", "command": "true"}), ("study", "os.system")):
        (folder / "config.json").write_text(json.dumps({**config, key: value}))
        assert cli.main(["rerun", str(folder)]) == 2
        assert "Traceback" not in capsys.readouterr().err
    record("S1", "a foreign run folder given to rerun", 2)


def test_secrets_reach_no_file_and_no_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "tok-SECRET-1")
    out = tmp_path / "out"
    uri = "http://alice:pw-SECRET-2@127.0.0.1:9/x"
    assert cli.main([*TINY, f"output_dir={out}", f"tracking.uri={uri}"]) == 0
    cli.main(["sync", str(out), "--uri", uri])
    cli.main(["list", str(out)])
    cli.main(["report", str(out)])
    said = capsys.readouterr()
    assert "SECRET" not in said.out + said.err
    assert "http://***@127.0.0.1:9" in said.err
    files = [p for p in out.rglob("*") if p.is_file()]
    assert len(files) > 10
    for path in files:
        assert b"SECRET" not in path.read_bytes(), path
    record("S3", "a token and a password: in no file and no line of output", 2)


def test_redaction():
    assert (
        redacted("sqlite:////tmp/a@b.db and https://u:p@h/x") == "sqlite:////tmp/a@b.db and https://***@h/x"
    )
    assert redacted("postgresql+psycopg2://user:p%40w@db:5432/x") == "postgresql+psycopg2://***@db:5432/x"


AUDIT = """
import sys
seen = []
def hook(event, arguments):
    if event in ("pickle.find_class", "subprocess.Popen", "os.system", "socket.connect", "os.exec"):
        seen.append((event, str(arguments)[:200]))
sys.addaudithook(hook)
from ntkrun.cli import main as cli
code = cli.main({words!r})
print("EVENTS", seen)
sys.exit(code)
"""


def test_a_whole_run_unpickles_nothing_and_connects_to_nothing(tmp_path):
    words = [*TINY, f"output_dir={tmp_path / 'out'}"]
    done = subprocess.run([sys.executable, "-c", AUDIT.format(words=words)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    line = next(s for s in done.stdout.splitlines() if s.startswith("EVENTS"))
    events = eval(line.removeprefix("EVENTS"))
    connected = [e for e in events if e[0] == "socket.connect"]
    assert not connected
    assert not [e for e in events if e[0] in ("os.system", "os.exec")]
    started = [e for e in events if e[0] == "subprocess.Popen"]
    # the revision and the processor, for the record
    assert all("'git'" in e[1] or "'uname'" in e[1] for e in started), started
    unpickled = [e for e in events if e[0] == "pickle.find_class"]
    assert not unpickled
    record(
        "S4", "audit hook over a whole run: nothing unpickled, no connection, no program but git and uname", 1
    )


@pytest.mark.slow
def test_what_lies_in_the_current_folder_is_not_imported(tmp_path):
    for name in ("hydra_plugins", "hydra_plugins/evil", "ntkrun", "conf"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("open('CANARY', 'w')")
    for name in ("hydra_plugins/evil.py", "sitecustomize.py", "torch.py"):
        (tmp_path / name).write_text("open('CANARY', 'w')")
    (tmp_path / ".env").write_text("MLFLOW_TRACKING_URI=http://127.0.0.1:9\n")
    (tmp_path / "conf" / "config.yaml").write_text("depth: 7\n")
    program = Path(sys.executable).with_name("ntkrun")
    env = {k: v for k, v in os.environ.items() if k != "PYTHONPATH"}
    command = [str(program), *TINY, f"output_dir={tmp_path / 'out'}"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=env)
    assert done.returncode == 0, done.stderr
    assert not (tmp_path / "CANARY").exists()
    assert f"in sqlite:///{tmp_path / 'out' / 'mlflow.db'}" in done.stdout
    record("S2", "plugins, modules, .env and conf in the current folder: not looked at", 7)


def test_links_are_not_followed_out(tmp_path, capsys):
    out, secret = tmp_path / "out", tmp_path / "secret.txt"
    secret.write_text("private")
    assert cli.main([*TINY, f"output_dir={out}"]) == 0
    shard = next(out.glob("features/*/test-*.h5"))
    shard.unlink()
    shard.symlink_to(secret)
    assert cli.main([*TINY, f"output_dir={out}"]) == 0
    assert not shard.is_symlink()
    assert secret.read_text() == "private"
    record("S5", "a shard replaced by a link to a private file", 1)


def test_temporary_names_cannot_be_planted(tmp_path, monkeypatch):
    victim = tmp_path / "victim"
    victim.write_text("untouched")
    names = iter(["aaaaaaaa", "bbbbbbbb"])
    monkeypatch.setattr("tempfile._get_candidate_names", lambda: names)
    (tmp_path / f"{atomic.TEMPORARY}aaaaaaaa").symlink_to(victim)
    atomic.write_atomic(tmp_path / "file", b"data")
    assert victim.read_text() == "untouched"
    assert (tmp_path / "file").read_bytes() == b"data"
    record("S11", "a link planted at the temporary name", 1)


def test_files_are_not_open_to_all_while_written(tmp_path, monkeypatch):
    modes = []
    real = os.fdopen

    def look(handle, *arguments):
        modes.append(os.fstat(handle).st_mode & 0o777)
        return real(handle, *arguments)

    monkeypatch.setattr(os, "fdopen", look)
    atomic.write_atomic(tmp_path / "file", b"data")
    assert modes == [0o600]


# older versions have holes that matter here (SECURITY.md)
FLOORS = {"hydra-core": "1.3.8", "torch": "2.10", "mlflow": "3.9"}


def below(requirement, floor):
    """Return whether a requirement allows a version below `floor`."""
    least = [Version(s.version) for s in requirement.specifier if s.operator in (">=", "==", "~=")]
    return not least or max(least) < Version(floor)


def test_versions_have_floors():
    root = Path(__file__).resolve().parents[2]
    loose = tomllib.loads((root / "pyproject.toml").read_text())["project"]["dependencies"]
    pins = (line.split("#")[0].strip() for line in (root / "constraints.txt").read_text().splitlines())
    for lines in (loose, filter(None, pins)):
        found = {r.name: r for r in map(Requirement, lines)}
        assert not [name for name, floor in FLOORS.items() if below(found[name], floor)]
    assert below(Requirement("torch>=2.9"), FLOORS["torch"])
    assert below(Requirement("torch"), FLOORS["torch"])
    record("S12", "floors of hydra-core, torch and mlflow, in pyproject.toml and in constraints.txt", 6)


def test_a_dask_cluster_of_its_own_listens_on_this_machine_only():
    me = psutil.Process()
    before = {c.laddr for c in me.net_connections("tcp")}
    with EXECUTORS.get("dask")(workers=1) as workers:
        assert list(workers.run(len, [Call("abc", ("abc",))])) == [(0, 3)]
        there = [me, *me.children(recursive=True)]
        heard = [c for p in there for c in p.net_connections("tcp") if c.status == psutil.CONN_LISTEN]
        places = [c.laddr.ip for c in heard if c.laddr not in before]
    assert len(places) >= 2  # the scheduler and a worker
    assert set(places) == {"127.0.0.1"}
    record("S10", "ports of a dask cluster that ntkrun starts: on 127.0.0.1 alone", 1)
