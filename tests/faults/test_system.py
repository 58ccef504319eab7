"""F2, F6-F8, K9: limits, folders without permission, folders that vanish, wrong clocks."""

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time

import pytest

from tests.faults import harness
from tests.faults.harness import check_resumed, recorded, stamps
from tests.faults.plan import FULL, count, record


def real(toy, out, *words, **how):
    """Run a separate process to its end."""
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(harness.ROOT)}
    command = [sys.executable, "-m", "ntkrun", *toy.words, *words, f"output_dir={out}"]
    return subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=120, **how)


def one_line(done, code):
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    assert sum(line.startswith("ntkrun: ") for line in done.stderr.splitlines()) == 1


@pytest.mark.slow
@pytest.mark.parametrize("limit", [1 << 10, 16 << 10])
def test_files_may_not_be_large(toy, limit):
    out = toy.fresh()
    (out / "mlflow.db").unlink()  # larger than the limit, and beside the point here
    words = ["tracking.uri=sqlite:///:memory:", "feature_dim=256"]
    done = real(
        toy, out, *words, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    )
    one_line(done, 5)
    assert "File too large" in done.stderr
    assert not harness.temporaries(out)
    assert real(toy, out, *words).returncode == 0
    record("F2", f"files of at most {limit:,} bytes, then the same command", 1)


@pytest.mark.skipif(not shutil.which("setpriv"), reason="setpriv of util-linux is not here")
@pytest.mark.parametrize("what", ["output_dir", "features", "runs"] if FULL else ["runs"])
def test_folders_that_may_not_be_written(toy, what, tmp_path):
    out = tmp_path / "out"
    folder = out if what == "output_dir" else out / what
    folder.mkdir(parents=True)
    folder.chmod(0o555)
    # without this capability root needs permission too
    less = "-dac_override,-dac_read_search"
    drop = ["setpriv", "--inh-caps", less, "--bounding-set", less] if os.geteuid() == 0 else []
    env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(harness.ROOT)}
    command = [*drop, sys.executable, "-m", "ntkrun", *toy.words, f"output_dir={out}"]
    done = subprocess.run(command, capture_output=True, text=True, env=env, check=False, timeout=120)
    one_line(done, 5)
    assert "Permission denied" in done.stderr
    assert not list(folder.iterdir())
    record("F6", f"{what} may not be written", 1)


@pytest.mark.slow
def test_the_features_vanish_while_they_are_made(toy):
    trials = count(1, 20)
    for trial in range(trials):
        out = toy.fresh()
        env = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(harness.ROOT)}
        command = [sys.executable, "-m", "ntkrun", *toy.words, f"output_dir={out}"]
        run = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env)
        deadline = time.monotonic() + 60
        while not list(out.glob(f"features/*/train-{trial:05}*")) and time.monotonic() < deadline:
            time.sleep(0.001)
        shutil.rmtree(out / "features", ignore_errors=True)
        _, err = run.communicate(timeout=120)
        assert run.returncode in (0, 4, 5), err
        assert "Traceback" not in err
        again = toy.start(out)
        assert again.code == 0, again.err
        assert harness.state(out) == toy.oracle
    record("F7", "the features' folder removed in mid-run, then the same command", trials)


@pytest.mark.parametrize("name", ["features", "runs", "mlartifacts"])
def test_a_file_in_place_of_a_folder(toy, name):
    out = toy.fresh()
    (out / name).write_text("I am a file")
    first = toy.start(out)
    if name == "mlartifacts":
        assert first.code == 0
        assert "the run folder is complete" in first.err
    else:
        assert first.code == 5, first.err
    assert "Traceback" not in first.err
    assert (out / name).read_text() == "I am a file"
    (out / name).unlink()
    before, known = stamps(out), recorded(out)
    check_resumed(toy, out, before, known, toy.start(out))
    record("F7", f"{name} is a file", 1)


@pytest.mark.parametrize("when", [0, 1 << 31, 5_000_000_000] if FULL else [0])
def test_times_of_files_decide_nothing(toy, when):
    out = toy.fresh()
    assert toy.start(out).code == 0
    for path in out.rglob("*"):
        os.utime(path, (when, when))
    before = stamps(out)
    again = toy.start(out)
    assert "30 of 30 shards reused" in again.err
    assert stamps(out) == before
    assert toy.ask(["verify", out]).code == 0
    record("F8", f"all files from second {when} of 1970", 1)


def test_killed_while_downloading(tmp_path):
    """The first start is killed during a download; the second one gets the whole file."""
    trials = count(2, 60)
    script = tmp_path / "get.py"
    script.write_text(GET)
    env = {k: v for k, v in os.environ.items() if k != "NTKRUN_OFFLINE"} | {"PYTHONPATH": str(harness.ROOT)}
    for trial in range(trials):
        folder = tmp_path / f"cache{trial}"
        run = subprocess.Popen([sys.executable, script, folder, "slow"], env=env)
        deadline = time.monotonic() + 60
        while not [p for p in folder.glob("*") if p.stat().st_size > 1000 * trial]:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        run.wait(10)
        assert not (folder / "f").exists()
        done = subprocess.run(
            [sys.executable, script, folder, "fast"], env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == 300_000
    record("K9", "SIGKILL in the middle of a download, then again", trials)


GET = """
import hashlib, json, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from ntkrun.datasets.fetch import obtain

BODY = bytes(range(250)) * 1200

class Server(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        for at in range(0, len(BODY), 1000):
            self.wfile.write(BODY[at : at + 1000])
            time.sleep(0.05 if sys.argv[2] == "slow" else 0)

server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
threading.Thread(target=server.serve_forever, daemon=True).start()
known = "sha256:" + hashlib.sha256(BODY).hexdigest()
mirror = {"url": f"http://127.0.0.1:{server.server_port}/f", "hash": known}
print(json.dumps(obtain("f", [mirror], Path(sys.argv[1])).stat().st_size))
"""


@pytest.mark.slow
@pytest.mark.parametrize("limit", [8] if not FULL else [8, 9, 10, 12, 16, 32, 64])
def test_few_files_may_be_open(toy, limit):
    out = toy.fresh()
    done = real(toy, out, preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit)))
    if done.returncode:
        one_line(done, 5)
        assert "Too many open files" in done.stderr
    assert limit < 32 or done.returncode == 0
    before, known = stamps(out), recorded(out)
    check_resumed(toy, out, before, known, toy.start(out))
    ended = "ends with 5" if done.returncode else "works"
    record("F5", f"at most {limit} open files: {ended}, then a plain second start", 1)
