"""N1-N6, P8: wrong, cut, endless, slow and redirected downloads; no bad file is kept."""

import contextlib
import hashlib
import os
import random
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from ntkrun.datasets import fetch
from ntkrun.errors import DataError, NetworkError
from tests.faults.plan import SEED, count, record

GOOD = random.Random(SEED).randbytes(300_000)
KNOWN = "sha256:" + hashlib.sha256(GOOD).hexdigest()


class Server(BaseHTTPRequestHandler):
    """Answer by the first part of the path: /good/f, /cut-1000/f, /404/f, ..."""

    asked: ClassVar[list[str]] = []

    def log_message(self, *_):
        pass

    def do_GET(self):
        what, _, number = self.path.split("/")[1].partition("-")
        self.asked.append(what)
        if what in ("404", "500"):
            self.send_error(int(what))
        elif what in ("loop", "scheme"):
            self.send_response(302)
            self.send_header("Location", self.path if what == "loop" else "file:///etc/passwd")
            self.end_headers()
        else:
            body = GOOD[::-1] if what == "wrong" else GOOD
            self.send_response(200)
            if what not in ("endless", "stall"):
                self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            with contextlib.suppress(OSError):  # the other side has given up
                self.body(what, int(number or len(body)), body)

    def body(self, what, number, body):
        while what == "endless":
            self.wfile.write(bytes(1 << 16))
        for byte in body if what == "stall" else b"":
            self.wfile.write(bytes([byte]))
            self.server.stop.wait(0.05)
        if what != "stall":
            self.wfile.write(body[:number])
        if number < len(body):
            self.connection.close()


@pytest.fixture(scope="module")
def base():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    server.daemon_threads, server.stop = True, threading.Event()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.stop.set()
    server.shutdown()


@pytest.fixture(autouse=True)
def online(monkeypatch):
    monkeypatch.delenv("NTKRUN_OFFLINE", raising=False)
    monkeypatch.setattr(fetch, "LARGEST", 1 << 20)
    monkeypatch.setattr(fetch, "PATIENCE", 1)


def get(base, folder, *ways):
    return fetch.obtain("The set", [{"url": f"{base}/{way}/f", "hash": KNOWN} for way in ways], folder)


def kept(folder):
    return [p.name for p in folder.iterdir() if p.name != ".download.lock"]


WRONG = ["wrong", "404", "500", "loop", "scheme", "endless", "stall", "cut-0", "cut-1"]


@pytest.mark.parametrize("way", WRONG)
def test_bad_answers_are_refused_and_the_next_mirror_is_asked(way, base, tmp_path):
    with pytest.raises(NetworkError, match="could not be downloaded") as caught:
        get(base, tmp_path / "a", way, way)
    assert "\n" not in str(caught.value)
    assert "Put f into" in str(caught.value)
    assert not kept(tmp_path / "a")
    assert get(base, tmp_path / "b", way, "good").read_bytes() == GOOD
    assert kept(tmp_path / "b") == ["f"]
    record("N1/N2/N4/N5", f"all mirrors {way}: nothing kept; then a good mirror: taken", 2)


def test_connections_cut_at_any_byte(base, tmp_path):
    rng, trials = random.Random(SEED), count(10, 200)
    for at in [rng.randrange(len(GOOD)) for _ in range(trials)]:
        with pytest.raises(NetworkError):
            get(base, tmp_path, f"cut-{at}")
        assert not kept(tmp_path)
    record("N3", "connection closed at a random byte", trials)


def test_many_at_once_download_once(base, tmp_path):
    trials = count(2, 20)
    for trial in range(trials):
        Server.asked.clear()
        with ThreadPoolExecutor(8) as pool:
            paths = list(pool.map(lambda _, n=trial: get(base, tmp_path / str(n), "good"), range(8)))
        assert len(set(paths)) == 1
        assert paths[0].read_bytes() == GOOD
        assert Server.asked == ["good"]
    record("P8", "8 at once want the same file: one download", trials)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("unshare") is None, reason="needs unshare")
def test_without_any_network(tmp_path, cifar_archive):
    prefix = ["unshare", "-rn", sys.executable, "-m", "ntkrun", "dataset=cifar10", "baseline=none"]
    prefix += ["dataset.n_train=40", "dataset.n_test=20", "feature_dim=32", "depth=2", "method=rff"]
    prefix += [f"output_dir={tmp_path / 'out'}"]
    env = {k: v for k, v in os.environ.items() if k != "NTKRUN_OFFLINE"}
    if subprocess.run(["unshare", "-rn", "true"], check=False, capture_output=True).returncode:
        pytest.skip("unshare is not allowed here")
    none = subprocess.run([*prefix, f"data_dir={tmp_path}"], capture_output=True, text=True, env=env)
    assert none.returncode == 6, none.stderr
    assert f"into {tmp_path}, or set dataset.path=FILE" in none.stderr
    there = [*prefix, f"dataset.path={cifar_archive}"]
    done = subprocess.run(there, capture_output=True, text=True, env=env)
    assert done.returncode == 0, done.stderr
    record("N6", "no network: the file and its place are named; data that are there run", 2)


def test_a_file_that_has_rotted_since_it_was_downloaded(tmp_path):
    rng, trials = random.Random(SEED), count(50, 1200)
    mirror, path = {"url": "http://nowhere.invalid/f", "hash": KNOWN}, tmp_path / "f"
    for trial in range(trials):
        path.write_bytes(GOOD)
        assert fetch.obtain("f", [mirror], tmp_path) == path
        data, at = bytearray(GOOD), rng.randrange(len(GOOD))
        if trial % 6 == 0:
            del data[at:]
        else:
            data[at] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
        with pytest.raises(DataError, match="Delete it to have it downloaded again"):
            fetch.obtain("f", [mirror], tmp_path)
        assert path.read_bytes() == data
    record("D", "a downloaded file flipped or cut: told before use; as many sound ones taken", trials)
