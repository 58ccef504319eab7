"""A headless Chromium, driven by chromedriver over WebDriver and DevTools commands; screenshots of a page.

    python -m scripts.browser outputs/report.html docs/screenshots/report
    python -m scripts.browser outputs/docs docs/screenshots

The first writes report_1440.png, report_390.png and report_dark.png; tests drive the report with it. The
second takes pictures of the documentation after `make docs`, and names pages that scroll sideways.
"""

from __future__ import annotations

import base64
import io
import json
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

# pictures of the documentation: page, width, height that is kept, dark colours
SITE = {
    "site_landing_1440": ("index", 1440, 1700, False),
    "site_landing_390": ("index", 390, 1800, False),
    "site_landing_dark": ("index", 1440, 1700, True),
    "site_choosing_1440": ("choosing", 1440, 1700, False),
    "site_theory_1440": ("theory", 1440, 1200, False),
    "site_api_1440": ("api", 1440, 1500, False),
    "site_math_1440": ("math", 1440, 1700, False),
    "site_gallery_1440": ("gallery/sweep", 1440, 1700, False),
}
WIDER = "return document.documentElement.scrollWidth > window.innerWidth"
MISSING = "no chromium and chromedriver on the path (Debian: apt-get install chromium chromium-driver)"


def installed() -> bool:
    """Return whether both programs are there."""
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """Context with one page, in a browser that runs the scripts of pages or does not."""

    def __init__(self, scripts: bool = True):
        self.scripts = scripts

    def __enter__(self) -> Browser:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._root = f"http://127.0.0.1:{probe.getsockname()[1]}"
        port = self._root.rpartition(":")[2]
        self._driver = subprocess.Popen(
            ["chromedriver", f"--port={port}"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        options: dict[str, Any] = {
            "args": ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        }
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

    def __exit__(self, *_: Any) -> None:
        try:
            self._call("DELETE", self._session)
        finally:
            self._driver.terminate()
            self._driver.wait()

    def _call(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(
            self._root + path, data, {"Content-Type": "application/json"}, method=method
        )
        try:
            with urllib.request.urlopen(request, timeout=200) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(json.load(error)["value"]["message"]) from error

    def devtools(self, command: str, **parameters: Any) -> Any:
        """Return the answer to a DevTools command."""
        return self._call("POST", f"{self._session}/goog/cdp/execute", {"cmd": command, "params": parameters})

    def open(
        self, path: Path, width: int = 1440, height: int = 900, dark: bool = False, charts: bool = True
    ) -> None:
        """Show a file as on a screen of this width; if it has charts, wait until they are drawn."""
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
        self.address("about:blank")
        self.address(path.absolute().as_uri())
        if self.scripts and charts:
            self.wait("return document.documentElement.classList.contains('drawn')")

    def address(self, url: str) -> None:
        """Show an address."""
        self._call("POST", f"{self._session}/url", {"url": url})

    def run(self, code: str, *words: Any) -> Any:
        """Return what JavaScript returns."""
        return self._call("POST", f"{self._session}/execute/sync", {"script": code, "args": list(words)})

    def wait(self, code: str, seconds: float = 120) -> Any:
        """Return what JavaScript returns as soon as that is true; AssertionError after some time."""
        deadline = time.monotonic() + seconds
        while not (found := self.run(code)):
            assert time.monotonic() < deadline, f"still false: {code}; {self.console()}"
            time.sleep(0.1)
        return found

    def move(self, x: float, y: float) -> None:
        """Move the mouse to a place in the window."""
        self.devtools("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def console(self) -> list[str]:
        """Return what the console has said since the last call."""
        found = self._call("POST", f"{self._session}/se/log", {"type": "browser"})
        return [entry["message"] for entry in found]

    def requests(self) -> list[str]:
        """Return the addresses that were asked for since the last call."""
        found = self._call("POST", f"{self._session}/se/log", {"type": "performance"})
        events = [json.loads(entry["message"])["message"] for entry in found]
        return [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]

    def picture(self, whole: bool = True) -> bytes:
        """Return a PNG of the page, or of what the window shows of it."""
        found = self.devtools("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(found["data"])


def small(png: bytes, height: int) -> bytes:
    """Return the upper part of a PNG with 256 colours."""
    from PIL import Image

    image = Image.open(io.BytesIO(png)).convert("RGB")
    out = io.BytesIO()
    image.crop((0, 0, image.width, min(height, image.height))).quantize(256, dither=Image.Dither.NONE).save(
        out, "png", optimize=True
    )
    return out.getvalue()


def main(words: list[str]) -> int:
    """Take the screenshots and return the exit code."""
    if len(words) != 2:
        print("Type: python -m scripts.browser PAGE.html PLACE/NAME, or outputs/docs FOLDER", file=sys.stderr)
        return 2
    page, name = Path(words[0]), words[1]
    with Browser() as browser:
        if page.is_dir():
            site(browser, page, Path(name))
            return 0
        for ending, width, dark in (("1440", 1440, False), ("390", 390, False), ("dark", 1440, True)):
            browser.open(page, width=width, dark=dark)
            Path(f"{name}_{ending}.png").write_bytes(small(browser.picture(), 1500))
    return 0


def site(browser: Browser, pages: Path, out: Path) -> None:
    """Take the pictures of the documentation in `pages`, and print which of its pages scroll sideways."""
    for name, (page, width, height, dark) in SITE.items():
        browser.open(pages / f"{page}.html", width=width, dark=dark, charts=False)
        browser.wait("return document.fonts.status === 'loaded'")
        (out / f"{name}.png").write_bytes(small(browser.picture(), height))
    for path in sorted(pages.rglob("*.html")):
        for width in (1440, 390):
            browser.open(path, width=width, charts=False)
            if browser.run(WIDER):
                print(f"{path.relative_to(pages)} scrolls sideways at {width} px")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
