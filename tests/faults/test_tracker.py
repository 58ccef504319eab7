"""F9: the tracking server fails at any request; the run ends well and `ntkrun sync` publishes it."""

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from mlflow.tracking import MlflowClient

from tests.faults.harness import result
from tests.faults.plan import FULL, record


class Proxy(BaseHTTPRequestHandler):
    """Pass requests on to `server.behind`, and fail from request number `server.first` on."""

    def log_message(self, *_):
        pass

    def handle_any(self):
        server = self.server
        with server.lock:
            server.seen += 1
            broken = server.first <= server.seen < server.first + server.length
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if broken and server.way == "hangs up":
            self.close_connection = True
            return
        if broken:
            status, kind, data = (
                (500, "text/plain", b"no") if server.way == "500" else (200, "text/html", b"<p>")
            )
        else:
            status, kind, data = self.passed_on(body)
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def passed_on(self, body):
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("host", "connection")}
        request = urllib.request.Request(
            self.server.behind + self.path, body or None, headers, method=self.command
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, answer.headers.get("Content-Type", ""), answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers.get("Content-Type", ""), error.read()

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_any


@pytest.fixture(scope="module")
def proxy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tracker")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    behind = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "mlflow", "server", "--workers", "1", "--port", str(port)]
    command += ["--backend-store-uri", f"sqlite:///{folder}/db", "--artifacts-destination", str(folder / "a")]
    with (folder / "log").open("wb") as log:
        mlflow = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder, start_new_session=True)
    for _ in range(240):
        try:
            urllib.request.urlopen(behind + "/health")
            break
        except OSError:
            time.sleep(0.5)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.behind, server.lock = behind, threading.Lock()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    os.killpg(mlflow.pid, 9)


@pytest.mark.slow
@pytest.mark.timeout(7200)
@pytest.mark.parametrize("way", ["hangs up", "500", "nonsense"])
@pytest.mark.parametrize("length", [1, 10**9], ids=["once", "from then on"])
def test_a_tracker_that_fails_at_any_request(toy, proxy, way, length):
    url = f"http://127.0.0.1:{proxy.server_port}"

    def start(out, first):
        proxy.seen, proxy.first, proxy.length, proxy.way = 0, first, length, way
        return toy.start(out, f"tracking.uri={url}")

    assert start(toy.fresh(), 10**9).code == 0
    calls, failed = proxy.seen, 0
    assert calls > 10
    every = range(1, calls + 1, 1 if FULL else calls // 2)
    for first in every:
        out = toy.fresh()
        done = start(out, first)
        assert done.code == 0, done.err
        assert "Traceback" not in done.err
        folder = next(out.glob("runs/*/result.json")).parent
        assert result(folder) == toy.oracle["result"]
        failed += "publish it later with ntkrun sync" in done.err
        proxy.first = 10**9
        assert toy.ask(["sync", out]).code == 0
        key = json.loads((folder / "status.json").read_text())["key"]
        client = MlflowClient(proxy.behind)
        experiment = client.get_experiment_by_name("ntkrun").experiment_id
        runs = client.search_runs([experiment], f"tags.`ntkrun.key` = '{key}'")
        assert [run.info.status for run in runs] == ["FINISHED"]
        ours = f"source_run_id = '{runs[0].info.run_id}'"
        assert [str(m.status) for m in client.search_logged_models([experiment], ours)] == ["READY"]
        numbers = json.loads((folder / "result.json").read_text())
        assert runs[0].info.run_id == numbers["mlflow/run_id"]
        for name, value in runs[0].data.metrics.items():
            if not name.startswith(("path/", "system/")):
                assert value == pytest.approx(numbers[name], rel=1e-12), name
    assert failed or length == 1  # the client retries by itself
    how = "once" if length == 1 else "from then on"
    record("F9", f"the server {way} at request n {how}, n = 1..M", len(every), len(every) == calls)
