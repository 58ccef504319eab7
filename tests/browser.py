"""A headless Chromium, driven by chromedriver over WebDriver and DevTools commands."""

import base64
import json
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request

MISSING = "no chromium and chromedriver on the path (Debian: apt-get install chromium chromium-driver)"


def installed():
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """Context with one page, in a browser that runs the scripts of pages or does not."""

    def __init__(self, scripts=True):
        self.scripts = scripts

    def __enter__(self):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._root = f"http://127.0.0.1:{probe.getsockname()[1]}"
        port = self._root.rpartition(":")[2]
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        options = {"args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]}
        options["binary"] = shutil.which("chromium")
        if not self.scripts:
            options["prefs"] = {"profile.managed_default_content_settings.javascript": 2}
        wanted = {
            "goog:chromeOptions": options,
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        }
        deadline = time.monotonic() + 60
        while True:
            try:
                made = self._call("POST", "/session", {"capabilities": {"alwaysMatch": wanted}})
                break
            except (urllib.error.URLError, ConnectionError):
                if time.monotonic() > deadline:
                    self._driver.kill()
                    raise
                time.sleep(0.1)
        self._session = f"/session/{made['sessionId']}"
        return self

    def __exit__(self, *_):
        try:
            self._call("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait()

    def _call(self, method, path, body=None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._root + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=200) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from error

    def devtools(self, command, **parameters):
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(self, path, width=1440, height=900, dark=False):
        """Show a file as on a screen of this width, and wait until its charts are drawn."""
        phone = width < 640
        self.devtools(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=phone,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.devtools("Emulation.setEmulatedMedia", features=[scheme])
        self._call("POST", f"{self._session}/url", {"url": "about:blank"})
        self._call("POST", f"{self._session}/url", {"url": path.absolute().as_uri()})
        if self.scripts:
            self.wait("return document.documentElement.classList.contains('drawn')")

    def run(self, code, *words):
        """Return what JavaScript returns."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": code, "args": list(words)})

    def wait(self, code, seconds=120):
        deadline = time.monotonic() + seconds
        while not (found := self.run(code)):
            assert time.monotonic() < deadline, f"still false: {code}; {self.console()}"
            time.sleep(0.1)
        return found

    def move(self, x, y):
        """Move the mouse to a place in the window."""
        self.devtools("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def console(self):
        """Return what the console has said since the last call."""
        found = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in found]

    def requests(self):
        """Return the addresses that were asked for since the last call."""
        found = self._call("POST", f"{self._session}/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in found]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def picture(self, path, whole=True):
        found = self.devtools("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(found["data"]))
