"""ntkrun ui: open MLflow's pages about the runs in a folder."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
import webbrowser
from collections.abc import Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import IO, Any

from ntkrun.cli.commands import add_folder, opened
from ntkrun.errors import ConfigError, DataError, MachineError, must_be
from ntkrun.log import redacted
from ntkrun.store.paths import absolute_url, sqlite_file
from ntkrun.store.runs import scan

HOST = "127.0.0.1"  # this machine only
PATIENCE = 120  # seconds that the server may take to start
NEWS = 5  # seconds between two lines while it starts
# what a local server for one reader does without
SPARED = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}

EXAMPLE = "ntkrun ui --port 5001"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    add_folder(parser, "output_dir of the runs")
    parser.add_argument("--port", type=int, default=os.environ.get("PORT", "5000"), help="default: 5000")
    parser.add_argument("--uri", help="MLflow store; default: $MLFLOW_TRACKING_URI, else that of the folder")
    parser.add_argument("--experiment", help="default: $MLFLOW_EXPERIMENT_NAME, else that of the newest run")
    parser.add_argument("--no-browser", action="store_true", help="only print the address")


def run(options: argparse.Namespace) -> int:
    """Serve the store of the runs, print the address of their list and open it; end with Ctrl-C.

    A store behind http is served already: its address is printed.
    """
    from ntkrun.tracking import pages, view
    from ntkrun.tracking.database import settle
    from ntkrun.tracking.tracker import Tracker, relocated

    port = options.port
    if not 0 < port < 65536:
        raise ConfigError(must_be("--port", "ntkrun ui", "from 1 to 65535", port))
    root = opened(options.folder)
    runs = list(scan(root))
    recorded = (runs[-1].config.get("tracking") or {}) if runs else {}
    before = Path(str(runs[-1].config.get("output_dir", root))) if runs else root
    tracker = Tracker.of({"tracking": {"uri": options.uri, "experiment": options.experiment}}, root)
    uri, experiment = absolute_url(tracker.uri), tracker.experiment
    if not (options.uri or "MLFLOW_TRACKING_URI" in os.environ):
        uri = relocated(recorded.get("uri"), before, root) or uri
    if not (options.experiment or "MLFLOW_EXPERIMENT_NAME" in os.environ):
        experiment = recorded.get("experiment") or experiment
    state = view.state(runs, root)
    if uri.startswith(("http:", "https:")):
        show(pages.link(uri, experiment, state), options.no_browser)
        return 0
    file = sqlite_file(uri)
    if file and not file.is_file():
        raise DataError(f"{file} is not there: no run of {root} has been published. See ntkrun list.")
    settle(root)
    free(port)
    try:
        with served(uri, port, experiment, state) as server:
            address = f"http://{HOST}:{port}"
            address = address + pages.PATH if registered() else pages.link(address, experiment, state)
            show(address, options.no_browser)
            sys.stdout.write("Ctrl-C     ends it\n")
            sys.stdout.flush()
            return server.wait()
    except KeyboardInterrupt as stop:  # Ctrl-C is how it ends
        return getattr(stop, "exit_code", 0)


def registered() -> bool:
    """Return whether MLflow finds our page: an installation of an earlier version does not name it."""
    return any(one.name == "ntkrun" for one in entry_points(group="mlflow.app"))


def free(port: int) -> None:
    """Raise MachineError if another program listens on the port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as error:
            reason = f"port {port} of this machine cannot be used: {error.strerror}"
            raise MachineError(f"{reason}. Take another: ntkrun ui --port {port % 65535 + 1}.") from error


@contextlib.contextmanager
def served(uri: str, port: int, experiment: str, state: dict[str, Any]) -> Iterator[subprocess.Popen[bytes]]:
    """Start MLflow's server with one worker, and end it with its processes when the block ends."""
    words = [sys.executable, "-m", "mlflow", "server", "--host", HOST, "--port", str(port), "--workers", "1"]
    words += ["--uvicorn-opts", "--log-level warning", *(["--app-name", "ntkrun"] if registered() else [])]
    from ntkrun.tracking import pages

    given = {pages.VARIABLE: json.dumps({"experiment": experiment, "state": state})}
    around, words = SPARED | dict(os.environ) | given, [*words, "--backend-store-uri", uri]
    with tempfile.TemporaryFile() as said:
        server = subprocess.Popen(words, env=around, stdout=said, stderr=said, start_new_session=True)
        try:
            wait(server, port, redacted(uri), said)
            yield server
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(server.pid, signal.SIGTERM)
            server.wait()


def wait(server: subprocess.Popen[bytes], port: int, store: str, said: IO[bytes]) -> None:
    """Wait until the server answers, and say so; MachineError if it ends or takes too long."""
    begin = told = time.monotonic()
    sys.stdout.write(f"starting MLflow's server for {store}\n")
    sys.stdout.flush()
    while not _answers(port):
        now = time.monotonic()
        if server.poll() is not None or now - begin > PATIENCE:
            said.seek(0)
            last = (said.read().decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
            raise MachineError(f"MLflow's server did not start: {last}. See ntkrun doctor.")
        if now - told > NEWS:
            told = now
            sys.stdout.write(f"waiting    for MLflow's server to load, {now - begin:.0f} s so far\n")
            sys.stdout.flush()
        time.sleep(0.1)


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/health", timeout=2) as answer:
            return answer.status == 200
    except OSError:  # of urllib too
        return False


def show(address: str, no_browser: bool) -> None:
    """Print the address, and open it if a person with a screen asked."""
    sys.stdout.write(f"MLflow     {address}\n")
    sys.stdout.flush()
    screen = sys.platform in ("darwin", "win32") or {"DISPLAY", "WAYLAND_DISPLAY"} & set(os.environ)
    if screen and sys.stdout.isatty() and not no_browser:
        webbrowser.open(address)
