"""Start the toy run with faults, and check what must hold after a fault and a second start."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import sqlite3
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
# numbers of a result that must repeat
STEADY = ("test/accuracy", "valid/accuracy", "lambda", "relative_lambda", "n_train", "n_test", "features_key")


def build_shim(folder: Path) -> Path:
    """Compile the shim and return it."""
    path = folder / "shim.so"
    subprocess.run(
        ["gcc", "-shared", "-fPIC", "-O1", "-o", str(path), str(HERE / "shim.c"), "-ldl"], check=True
    )
    return path


def toy_data(path: Path) -> None:
    """Write 500 + 100 images of 8 x 8 x 2 pixels in three classes."""
    rng = np.random.default_rng(7)
    arrays = {}
    for part, n in (("train", 500), ("test", 100)):
        y = np.arange(n) % 3
        x = rng.normal(size=(n, 8, 8, 2)) + (y[:, None, None, None] - 1) * np.linspace(-1, 1, 8)[:, None]
        arrays |= {f"x_{part}": x.astype(np.float32), f"y_{part}": y}
    np.savez(path, **arrays)


@dataclass
class Outcome:
    """Outcome of one start: exit code (negative: the signal), calls counted, both outputs."""

    code: int
    count: int
    seconds: float
    out: str
    err: str


class Toy:
    """Start the toy run in a folder with data."""

    def __init__(self, folder: Path, shim: Path):
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self.data = folder / "toy.npz"
        toy_data(self.data)
        self.words = [
            "dataset=npz",
            f"dataset.path={self.data}",
            "feature_dim=64",
            "depth=2",
            "shard_rows=20",
        ]
        self.words += ["baseline=none", "solver.lambda_count=5"]
        env = {**os.environ, "LD_PRELOAD": str(shim), "NTKRUN_OFFLINE": "1", "PYTHONPATH": str(ROOT)}
        env["MLFLOW_HTTP_REQUEST_BACKOFF_FACTOR"] = "0"  # do not wait between retries
        self.server = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.server"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=env,
            cwd=ROOT,
        )
        assert self.server.stdout is not None
        assert self.server.stdout.readline() == "ready\n"
        self.template = folder / "template"
        self.template.mkdir()
        # copy an existing store: making one takes longer than the run
        self.start(self.template)
        self.oracle = state(self.template)
        for name in ("features", "runs", "mlartifacts"):
            shutil.rmtree(self.template / name)
        self.number = 0

    def close(self) -> None:
        """Stop the server."""
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(30)

    def fresh(self) -> Path:
        """Return a new output folder."""
        self.number += 1
        path = self.folder / f"out{self.number}"
        path.mkdir()
        shutil.copy(self.template / "mlflow.db", path)
        with sqlite3.connect(path / "mlflow.db") as database:
            place = (path / "mlartifacts" / "ntkrun").as_uri()
            database.execute("update experiments set artifact_location = ? where name = 'ntkrun'", (place,))
            for table in ("runs", "params", "metrics", "tags", "latest_metrics", "inputs", "datasets"):
                database.execute(f"delete from {table}")
        return path

    def start(self, out: Path, *words: str, **fault: Any) -> Outcome:
        """Run ntkrun in a forked process with a fault."""
        return self.ask([*self.words, *words, f"output_dir={out}"], prefix=f"{out}/", **fault)

    def ask(self, words: list[str], **fault: Any) -> Outcome:
        """Run ntkrun with any words."""
        request = self._request(words, 0, **fault)
        return self._outcome(request, self._send(request))

    def together(self, starts: list[list[str]]) -> list[Outcome]:
        """Run several at the same time."""
        requests = [self._request(words, i) for i, words in enumerate(starts)]
        answers = self._send(requests)
        return [self._outcome(r, a) for r, a in zip(requests, answers, strict=True)]

    def _request(self, words: list[str], number: int, **fault: Any) -> dict[str, Any]:
        files = {s: str(self.folder / f"{s}{number}.txt") for s in ("stdout", "stderr")}
        return {"words": [str(w) for w in words], "prefix": "/nowhere/", **files, **fault}

    def _send(self, request: Any) -> Any:
        assert self.server.stdin is not None
        assert self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        return json.loads(self.server.stdout.readline())

    @staticmethod
    def _outcome(request: dict[str, Any], answer: dict[str, Any]) -> Outcome:
        out, err = (Path(request[s]).read_text(errors="replace") for s in ("stdout", "stderr"))
        return Outcome(**answer, out=out, err=err)


def shards(out: Path) -> dict[str, str]:
    """Return the sha256 of every shard file."""
    return {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in sorted(out.glob("features/*/*.h5"))}


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    """Return inode and modification time of every shard file."""
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in out.glob("features/*/*.h5")}


def result(folder: Path) -> dict[str, Any]:
    """Return the steady numbers of a run folder."""
    document = json.loads((folder / "result.json").read_text())
    return {k: document[k] for k in STEADY}


def state(out: Path) -> dict[str, Any]:
    """Return the state that must be the same after any fault."""
    newest = max(out.glob("runs/*/result.json"), key=lambda p: p.stat().st_mtime_ns).parent
    return {"shards": shards(out), "result": result(newest)}


def temporaries(out: Path) -> list[Path]:
    """Return files that a killed writer left among the features."""
    return sorted(out.glob("features/*/.tmp-*"))


def recorded(out: Path) -> set[str]:
    """Return the shards in the manifest, which must not be computed again."""
    return set(receipts(out))


def receipts(out: Path) -> dict[str, str]:
    """Return the sha256 of every shard as told by the sound lines of the manifest."""
    found: dict[str, str] = {}
    for path in out.glob("features/*/manifest.jsonl"):
        for line in path.read_bytes().split(b"\n"):
            check, _, body = line[12:-1].partition(b'", "body": ')
            if (line[:12], line[-1:]) != (b'{"sha256": "', b"}"):
                continue
            if hashlib.sha256(body).hexdigest().encode() == check and b'"name"' in body:
                shard = json.loads(body)
                found[shard["name"]] = shard["sha256"]
    return found


def check_resumed(
    toy: Toy, out: Path, before: dict[str, tuple[int, int]], known: set[str], again: Outcome
) -> None:
    """Assert R1-R6: the second start ends well, with the same bytes, and touches no finished shard."""
    assert again.code == 0, again.err
    assert state(out) == toy.oracle
    after = stamps(out)
    touched = [name for name in known if name in before and before[name] != after[name]]
    assert not touched
    assert not temporaries(out)


def mlflow_runs(out: Path) -> list[Any]:
    """Return all runs of the experiment in the MLflow store of an output folder."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{out / 'mlflow.db'}")
    return client.search_runs([client.get_experiment_by_name("ntkrun").experiment_id], max_results=5000)


def check_tracked(out: Path) -> None:
    """Assert that every finished run folder is one MLflow run, and no other MLflow run is unfinished."""
    runs = mlflow_runs(out)
    folders = [
        p.parent.name
        for p in out.glob("runs/*/status.json")
        if json.loads(p.read_text())["status"] == "FINISHED"
    ]
    assert sorted(Path(r.data.tags["run_folder"]).name for r in runs) == sorted(folders)
    assert {r.info.status for r in runs} <= {"FINISHED"}
