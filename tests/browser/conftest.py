"""A running app and a real Chromium, shared by the browser tests. Screenshots go to artefacts/."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright
from playwright.sync_api import Error as PlaywrightError

ROOT = Path(__file__).resolve().parents[2]
ARTEFACTS = ROOT / "artefacts"
# true once the page has run to its end, nothing waits to be replaced, and for 300 ms no element or height has changed
SETTLED = """async () => {
  const sign = () => {
    const app = document.querySelector('[data-testid="stApp"]')
    const busy = app?.dataset.testScriptState !== 'notRunning' || document.querySelector('[data-stale="true"], [data-testid="stSkeleton"]')
    return busy ? '' : `${document.querySelectorAll('*').length} ${document.querySelector('[data-testid="stMain"]')?.scrollHeight}`
  }
  const first = sign()
  for (let i = 0; first && i < 3; i++) {
    await new Promise((resolve) => setTimeout(resolve, 100))
    if (sign() !== first) return false
  }
  return Boolean(first)
}"""
# true once the ground of the page is as dark as asked
GROUND = """(dark) => {
  const ground = getComputedStyle(document.querySelector('[data-testid="stApp"]')).backgroundColor
  return (ground.match(/\\d+/g).slice(0, 3).reduce((sum, c) => sum + Number(c), 0) < 380) === dark
}"""
SIZES = ((1440, 900), (390, 844))
LAUNCH = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--no-first-run", "--disable-sync"]


class Server:
    """``streamlit run`` of the app, or of another script, on a free port, with its own folders for checkpoints and runs."""

    def __init__(self, folder: Path, script: Path = ROOT / "app.py", streamlit: Sequence[str] = ("-m", "streamlit")):
        with socket.socket() as s:
            s.bind(("127.0.0.1", 0))
            self.port = s.getsockname()[1]
        self.url = f"http://localhost:{self.port}"
        options = ["--server.headless", "true", "--server.port", str(self.port), "--server.fileWatcherType", "none"]
        command = [sys.executable, *streamlit, "run", str(script), *options]
        self.seen: Counter[str] = Counter()
        self.runs = folder / "runs"
        self.log = (folder / "server.log").open("w")
        self.process = subprocess.Popen(
            command,
            cwd=ROOT,
            stdout=self.log,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "DPM_CHECKPOINTS": str(folder / "own"),
                "DPM_RUNS": str(folder / "runs"),
                "DPM_CLUSTER": "",
            },
        )
        for _ in range(300):
            try:
                urllib.request.urlopen(self.url + "/_stcore/health", timeout=1)
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError("The app did not start.")

    def wait_for_log(self, sentence: str) -> None:
        """Wait until the server has printed a sentence once more than when this was called last.

        A signal that another thread receives does not wake the server's main thread, which alone may handle it: a request does.
        """
        self.seen[sentence] += 1
        deadline = time.monotonic() + 30
        while Path(self.log.name).read_text().count(sentence) < self.seen[sentence]:
            assert time.monotonic() < deadline, f"The server never printed: {sentence}"
            urllib.request.urlopen(self.url + "/_stcore/health", timeout=5)
            time.sleep(0.02)

    def stop(self) -> None:
        """End the server and the runs that a test has left behind, which would train on for minutes."""
        self.process.terminate()
        self.process.wait(10)
        self.log.close()
        for place in self.runs.glob("*/worker.json"):
            with contextlib.suppress(OSError, ValueError, KeyError):
                os.kill(json.loads(place.read_text())["pid"], signal.SIGKILL)


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    running = Server(tmp_path_factory.mktemp("server"))
    yield running
    running.stop()


@pytest.fixture(scope="session")
def browser():
    executable = next((path for name in ("chromium", "chromium-browser", "google-chrome") if (path := shutil.which(name))), None)
    ARTEFACTS.mkdir(exist_ok=True)
    with sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=executable, args=LAUNCH)
        yield instance
        instance.close()


_contexts: dict[tuple, BrowserContext] = {}


def _context(browser: Browser, scheme: str, **options) -> BrowserContext:
    """One for all visits with the same options: with Streamlit's scripts in its cache a page opens for a third of the work."""
    key = (browser, scheme, *sorted(options.items()))
    if key not in _contexts:
        permissions = ["clipboard-read", "clipboard-write"]
        _contexts[key] = browser.new_context(color_scheme=scheme, accept_downloads=True, permissions=permissions, **options)
    return _contexts[key]


class Visit:
    """A page of the app in a window of its own; afterwards: no console error, no request off this host."""

    def __init__(self, browser: Browser, url: str, width: int = 1440, height: int = 900, scheme: str = "light", **options):
        self.url = url
        self.context = _context(browser, scheme, **options)
        self.page: Page = self.context.new_page()
        self.page.set_viewport_size({"width": width, "height": height})
        self.errors: list[str] = []
        self.foreign: list[str] = []
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", self._request)

    def _console(self, message) -> None:
        # below /name Streamlit first probes /name/_stcore and falls back to /_stcore: its own 404
        if message.type == "error" and "_stcore" not in message.location.get("url", ""):
            self.errors.append(f"{message.text} {message.location}")

    def _request(self, request) -> None:
        if not request.url.startswith((self.url, self.url.replace("http", "ws"), "data:", "blob:")):
            self.foreign.append(request.url)

    def open(self, path: str) -> Page:
        self.page.goto(self.url + path)
        self.page.wait_for_selector("h1", timeout=30_000)
        return self.page

    def stage(self):
        """The player, once it has drawn."""
        player = self.page.locator(".dpm-player").first
        player.wait_for(timeout=30_000)
        self.page.wait_for_function("e => Number(e.dataset.draws) > 0", arg=player.element_handle())
        return player

    def at(self, stage, t: int) -> None:
        """Wait until the player shows a time and has drawn it."""
        self.page.wait_for_function("([e, t]) => Number(e.dataset.t) === t", arg=[stage.element_handle(), t])
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def settle(self) -> Page:
        """The page, once it has run to its end and its layout has come to rest."""
        self.page.wait_for_function(SETTLED, timeout=60_000)
        self.page.evaluate("document.fonts.ready.then(() => true)")
        return self.page

    def themes(self, *schemes: str) -> Iterator[str]:
        """Show the page in one theme after the other: the name of each, once the page has come to rest in it."""
        for scheme in schemes or ("light", "dark"):
            self.page.emulate_media(color_scheme=scheme)
            self.page.wait_for_function(GROUND, arg=scheme == "dark", timeout=30_000)
            self.settle()
            yield scheme

    def looks(self, *schemes: str) -> Iterator[tuple[str, int]]:
        """Show the page, opened once, at the size of a laptop and of a phone, in each of these themes: theme and width."""
        for n, (width, height) in enumerate(SIZES):
            self.page.set_viewport_size({"width": width, "height": height})
            for scheme in self.themes(*(schemes or ("light", "dark"))[:: 1 if n == 0 else -1]):
                yield scheme, width

    def check_fit(self, name: str = "the page") -> None:
        """No error of Streamlit's on the page, and nothing that makes it scroll sideways."""
        assert self.page.get_by_text("encountered an error").count() == 0
        overflow = self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{name} scrolls sideways by {overflow}px"

    def shot(self, name: str) -> None:
        self.page.screenshot(path=str(ARTEFACTS / f"{name}.png"))

    def close(self) -> None:
        with contextlib.suppress(PlaywrightError):  # a page that never opened has no storage
            self.page.evaluate("localStorage.clear(); sessionStorage.clear()")
        for page in self.context.pages:
            page.close()
        assert not self.errors, self.errors
        assert not self.foreign, self.foreign


def differ(shoot: Callable[[], np.ndarray], before: np.ndarray, share: float) -> np.ndarray:
    """Pictures of one thing until more than a share of their pixels are others than before; the last of them."""
    deadline = time.monotonic() + 20
    while (np.abs((after := shoot()) - before).sum(2) > 60).mean() <= share:
        assert time.monotonic() < deadline, f"Not more than {share:.1%} of the pixels changed."
        time.sleep(0.05)
    return after


def visits(browser: Browser, url: str):
    """A maker of visits to one address, all closed and checked at the end."""
    opened: list[Visit] = []

    def make(**options) -> Visit:
        opened.append(Visit(browser, url, **options))
        return opened[-1]

    yield make
    for one in opened:
        one.close()


@pytest.fixture
def visit(server, browser):
    yield from visits(browser, server.url)
