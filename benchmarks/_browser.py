"""A running app and a browser in front of it, for benchmarks of pages."""

from __future__ import annotations

import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Locator, Page, sync_playwright

ROOT = Path(__file__).parent.parent
# Every clock is the page's own: when large frames arrived, when Enter was pressed, when the player drew.
WATCH = """
window.bench = {frames: [], enters: [], draws: []};
window.WebSocket = class extends WebSocket {
  constructor(...args) {
    super(...args);
    this.addEventListener("message", ({data}) =>
      bench.frames.push([performance.now(), data.byteLength ?? data.size ?? data.length]));
  }
};
addEventListener("keydown", (event) => event.key === "Enter" && bench.enters.push(performance.now()), true);
"""


@contextmanager
def server(script: Path = ROOT / "app.py") -> Iterator[str]:
    """The app, or another script, in a fresh process on a free port: its address, once the health check answers."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(script), "--server.headless", "true"]
    quiet = ["--server.port", str(port), "--server.address", "127.0.0.1", "--server.fileWatcherType", "none"]
    process = subprocess.Popen(command + quiet, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    address = f"http://127.0.0.1:{port}"
    try:
        _wait(f"{address}/_stcore/health", process)
        yield address
    finally:
        process.terminate()
        process.wait(10)


def _wait(address: str, process: subprocess.Popen, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if process.poll() is not None:
            raise RuntimeError("The app stopped before it answered; run `streamlit run app.py` to see why.")
        try:
            with urllib.request.urlopen(address, timeout=1) as answer:
                if answer.read() == b"ok":
                    return
        except OSError:
            time.sleep(0.02)
    raise RuntimeError(f"The app did not answer within {seconds:g} s.")


@contextmanager
def browser() -> Iterator[Browser]:
    """The system's Chromium without a window."""
    names = ("chromium", "chromium-browser", "google-chrome")
    path = next((found for name in names if (found := shutil.which(name))), None)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield chromium
        chromium.close()


def new_page(chromium: Browser) -> Page:
    """An empty page that takes down the times of frames, key presses and draws."""
    page = chromium.new_page(viewport={"width": 1440, "height": 900})
    page.add_init_script(WATCH)
    return page


def player(page: Page) -> Locator:
    """The player, once it has drawn and come to rest; from then on its draws are taken down."""
    root = page.locator(".dpm-player")
    root.wait_for(timeout=60_000)
    settle(page, root)
    root.evaluate(
        """(root) => new MutationObserver(() => bench.draws.push(performance.now()))
        .observe(root, {attributes: true, attributeFilter: ["data-draws"]})"""
    )
    return root


def settle(page: Page, root: Locator) -> None:
    """Wait until the player has drawn and then not drawn for half a second."""
    before = -1
    while (now := int(root.get_attribute("data-draws") or 0)) != before or now == 0:
        before = now
        page.wait_for_timeout(500)
