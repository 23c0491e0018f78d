"""A real browser without a screen, driven through its driver's own HTTP interface: no package is needed for it."""

import base64
import json
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

NAMES = ("chromium", "chromium-browser", "google-chrome")
ARGUMENTS = [
    "--headless=new", "--no-sandbox", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--hide-scrollbars", "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader", "--window-size=1280,1400", "--disable-dev-shm-usage",
]  # fmt: skip


@dataclass(frozen=True)
class Browser:
    """One browser session; `script` is the body of a JavaScript function."""

    session: str

    def post(self, command: str, **arguments: Any) -> Any:
        request = urllib.request.Request(
            f"{self.session}/{command}", json.dumps(arguments).encode(), {"Content-Type": "application/json"}
        )
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            pytest.fail(f"{command}: {error.read().decode()[:2000]}")

    def open(self, address: str) -> None:
        self.post("url", url=address)

    def run(self, script: str) -> Any:
        return self.post("execute/sync", script=script, args=[])

    def emulate(self, *, dark: bool = False, media: str = "") -> None:
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.post("goog/cdp/execute", cmd="Emulation.setEmulatedMedia", params={"media": media, "features": [scheme]})

    def wait_for(self, script: str, seconds: float = 60) -> Any:
        """Run a script until it returns something true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if found := self.run(script):
                return found
            time.sleep(0.2)
        return pytest.fail(f"never true: {script}; console: {self.console()}")

    def console(self) -> list[str]:
        """Take the console's messages since the last time, warnings and errors."""
        return [entry["message"] for entry in self.post("se/log", type="browser")]

    def requests(self) -> list[str]:
        """Take the addresses asked for since the last time, data: addresses left out."""
        events = [json.loads(entry["message"])["message"] for entry in self.post("se/log", type="performance")]
        sent = [e["params"]["request"]["url"] for e in events if e["method"] == "Network.requestWillBeSent"]
        return [address for address in sent if not address.startswith("data:")]

    def point(self, x: int, y: int) -> None:
        """Move the mouse."""
        moves = [{"type": "pointerMove", "duration": 0, "x": x, "y": y}]
        self.post("actions", actions=[{"type": "pointer", "id": "mouse", "actions": moves}])

    def screenshot(self) -> bytes:
        with urllib.request.urlopen(f"{self.session}/screenshot", timeout=120) as answer:
            return base64.b64decode(json.load(answer)["value"])


@pytest.fixture(scope="session")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """Start Chromium and its driver once; skip with a reason where they are not installed."""
    chromium = next((path for path in map(shutil.which, NAMES) if path), None)
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium with chromedriver (Debian: apt-get install chromium chromium-driver)")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    folder = tmp_path_factory.mktemp("browser")
    environment = os.environ | {"HOME": str(folder)}
    process = subprocess.Popen(
        [driver, f"--port={port}"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        session = start_session(f"http://127.0.0.1:{port}", chromium, folder)
        yield session
        urllib.request.urlopen(urllib.request.Request(session.session, method="DELETE"), timeout=60).close()
    finally:
        process.terminate()
        process.wait(30)


def start_session(address: str, chromium: str, folder: Path) -> Browser:
    """Wait for the driver, then start a browser that logs what it says and asks for."""
    options = {"binary": chromium, "args": [*ARGUMENTS, f"--user-data-dir={folder / 'profile'}"]}
    wanted = {
        "browserName": "chrome",
        "goog:chromeOptions": options,
        "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
    }
    for _ in range(100):
        try:
            with urllib.request.urlopen(f"{address}/status", timeout=5) as answer:
                if json.load(answer)["value"]["ready"]:
                    break
        except OSError:
            time.sleep(0.1)
    started = Browser(address).post("session", capabilities={"alwaysMatch": wanted})
    browser = Browser(f"{address}/session/{started['sessionId']}")
    browser.post("timeouts", script=120_000)  # software rendering on a busy machine takes its time
    browser.open("about:blank")  # the page that a new browser shows asks for things of its own
    return browser
