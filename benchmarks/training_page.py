"""How the Train page feels while it trains: the digits, the page's own defaults, headless Chromium on the same machine.

* From a click to its answer on screen, thirty times each: a size chosen in the sidebar (the page runs anew and says that the
  controls have changed), and Pause and Resume in turn (each makes way for the other). The clock is the page's own, from
  the click to the frame that shows the answer. Targets: median 60 ms, nine in ten within 120 ms.
* Steps per second of the job with the page open, browser and all, against the same job without any page, in a process
  of its own (benchmarks._job); the two take turns. Both are read from the run's metrics on disk, so snapshots,
  which every job takes, count in both. Target: at most 5 % slower.
* Ten sessions on various pages, two of them training: one after the other runs anew, a few rounds. Where no job is watched
  the key "r" is pressed and the time taken until the last message of the server, after which it is quiet; where one is,
  a size is chosen, as above. Target: every session's median at most 500 ms.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep

from playwright.sync_api import Browser, Page

from benchmarks._browser import browser, server
from benchmarks._job import Training
from benchmarks._report import footer, table, verdict

MEDIAN, NINETIETH, SLOWER, RERUN = 60, 120, 5, 500  # targets: ms, ms, %, ms
CLICKS, ROUNDS, WINDOW, SETTLE = 30, 4, 20.0, 4.0  # seconds of a window and before it
SESSIONS = ("train", "train", "", "forward", "train", "schedule", "reverse", "checkpoints", "forward", "reverse")
TRAINING = 2  # of the sessions, the first
PATIENCE = 180_000  # ms
LINK = "train?max_steps_images=1000000"  # a run that does not end meanwhile
# bench.when(test, event) measures from the next such event to the first frame after which test() holds,
# bench.quiet(event) from there to the last message of the server (what it shows of a short run is drawn in one go,
# so the page itself does not tell that there was one)
WATCH = """
window.WebSocket = class extends WebSocket {
  constructor(...parts) {
    super(...parts);
    this.addEventListener("message", () => { bench.message = performance.now(); });
  }
};
window.bench = {
  quiet(event) {
    bench.answer = null;
    addEventListener(event, ({timeStamp}) => {
      bench.message = null;
      const timer = setInterval(() => {
        if (bench.message === null || performance.now() - bench.message < 600) return;
        clearInterval(timer);
        bench.answer = bench.message - timeStamp;
      }, 50);
    }, {capture: true, once: true});
  },
  when(test, event) {
    bench.answer = null;
    addEventListener(event, ({timeStamp}) => {
      const look = () => {
        if (!test()) return;
        observer.disconnect();
        requestAnimationFrame(() => requestAnimationFrame((now) => { bench.answer = now - timeStamp; }));
      };
      const observer = new MutationObserver(look);
      observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
    }, {capture: true, once: true});
  }
};
"""
CHANGED = """[...document.querySelectorAll('[data-testid="stCaptionContainer"]')]
  .some((caption) => caption.textContent.includes("controls have changed"))"""
SHOWN = """!!document.querySelector(".st-key-%s button")"""


def open_page(chromium: Browser, address: str) -> Page:
    """A session of its own at the address, its script run once."""
    page = chromium.new_context(viewport={"width": 1440, "height": 900}).new_page()
    page.add_init_script(WATCH)
    go(page, address)
    return page


def go(page: Page, address: str) -> None:
    """To the address, until its heading stands there."""
    page.goto(address, timeout=PATIENCE)
    page.locator("h1").first.wait_for(timeout=PATIENCE)


def answer(page: Page, test: str, act: Callable[[], None]) -> float:
    """Milliseconds from the click of ``act`` to the frame on which ``test`` holds."""
    page.evaluate(f"bench.when(() => {test}, 'click')")
    act()
    return answered(page)


def rerun(page: Page) -> float:
    """Press "r"; milliseconds until the server has said all."""
    page.evaluate("bench.quiet('keydown')")
    page.keyboard.press("r")
    return answered(page)


def answered(page: Page) -> float:
    """What the page measured, once it has."""
    page.wait_for_function("bench.answer !== null", timeout=PATIENCE)
    return float(page.evaluate("bench.answer"))


def press(page: Page, key: str, then: str) -> float:
    """Click the button of that key; milliseconds until the button of key ``then`` is there."""
    return answer(page, SHOWN % then, page.locator(f".st-key-{key} button").click)


def choose_size(page: Page) -> float:
    """Choose the other of two sizes; milliseconds until the page says that the controls have changed, or no longer says it."""
    changed = page.evaluate(CHANGED)
    size = page.locator(".st-key-net_size").get_by_text("Small" if changed else "Medium", exact=True)
    return answer(page, f"!({CHANGED})" if changed else CHANGED, size.click)


def start(page: Page, folder: Path) -> Path:
    """Start a run; its folder among ``folder``'s, once it has written something."""
    before = set(folder.glob("[!.]*"))
    page.locator(".st-key-earlier").first.wait_for(timeout=PATIENCE)  # the page is whole: a click during its first run is lost
    page.locator(".st-key-start button").click(timeout=PATIENCE)
    page.locator(".st-key-pause button").wait_for(timeout=PATIENCE)
    end = monotonic() + PATIENCE / 1000
    while not (new := [p for p in set(folder.glob("[!.]*")) - before if (p / "job.json").exists() and last_step(p)]):
        if monotonic() > end:
            raise RuntimeError("The run has written nothing.")
        sleep(0.05)
    return new[0]


def last_step(run: Path) -> int:
    """The step of the last whole row of a run's metrics; 0 before the first."""
    try:
        whole = (run / "metrics.jsonl").read_bytes()[-4096:].rpartition(b"\n")[0]
        return int(json.loads(whole.rsplit(b"\n", 1)[-1])["step"])
    except (OSError, ValueError):
        return 0


def rate(run: Path, seconds: float, page: Page | None = None) -> float:
    """Steps per second, from the first to the last row that comes within ``seconds``."""
    seen, last, end = [], last_step(run), monotonic() + seconds
    while monotonic() < end or len(seen) < 2:
        if (step := last_step(run)) != last:
            last = step
            seen.append((monotonic(), step))
        if page is None:
            sleep(0.02)
        else:
            page.wait_for_timeout(20)  # playwright handles the page's events only meanwhile
        if monotonic() > end + 60:
            raise RuntimeError("The run does not go on.")
    return (seen[-1][1] - seen[0][1]) / (seen[-1][0] - seen[0][0])


def responses(page: Page, clicks: int) -> dict[str, list[float]]:
    """Milliseconds of both kinds of click, the moments spread over the page's own half-second rhythm."""
    pick, found = random.Random(0), {"size in the sidebar": [], "Pause and Resume": []}
    choose_size(page), choose_size(page)  # what a size needs for the first time is then kept
    for i in range(clicks):
        page.wait_for_timeout(pick.uniform(600, 1600))
        found["size in the sidebar"].append(choose_size(page))
        page.wait_for_timeout(pick.uniform(600, 1600))
        found["Pause and Resume"].append(press(page, *(("pause", "resume"), ("resume", "pause"))[i % 2]))
    if clicks % 2:
        press(page, "resume", "pause")
    return found


def watched(page: Page, run: Path, rounds: int, window: float, scratch: Path) -> tuple[list[float], list[float]]:
    """Steps per second with and without the page, round by round; the page's job runs at the beginning, and pauses at the end."""
    header = json.loads((run / "job.json").read_text())
    link = page.url
    press(page, "pause", "resume")
    alone = Training(scratch / "alone", header["job"] | {"threads": header["threads"]})
    alone.wait_for_steps()
    alone.say("pause")
    with_page, without = [], []
    for _ in range(rounds):
        go(page, link)
        press(page, "resume", "pause")
        page.wait_for_timeout(1000 * SETTLE)
        with_page.append(rate(run, window, page))
        press(page, "pause", "resume")
        page.goto("about:blank")
        alone.say("resume")
        sleep(SETTLE)
        without.append(rate(scratch / "alone", window))
        alone.say("pause")
        sleep(0.5)
    alone.close()
    return with_page, without


def reruns(chromium: Browser, address: str, folder: Path, paths: tuple[str, ...], rounds: int) -> list[tuple[str, list[float]]]:
    """Milliseconds of every session's reruns, one session per path."""
    sessions = []
    for i, path in enumerate(paths):
        page = open_page(chromium, f"{address}/{LINK if path == 'train' else path}")
        if i < TRAINING:
            start(page, folder)
        sessions.append((page, i < TRAINING, []))
    for round in range(rounds + 1):
        for page, trains, times in sessions:
            page.wait_for_timeout(300)
            page.bring_to_front()
            took = choose_size(page) if trains else rerun(page)
            times += [took] if round else []  # the first fills caches
    for page, *_ in sessions:
        page.context.close()
    names = [f"/{path}{', training' if i < TRAINING else ''}" for i, path in enumerate(paths)]
    return [(name, times) for name, (*_, times) in zip(names, sessions)]


def ninetieth(values: list[float]) -> float:
    """The value that nine in ten do not exceed (the nearest rank)."""
    return sorted(values)[-(-9 * len(values) // 10) - 1]


def target(value: float, limit: float) -> list[str]:
    """The last two cells of a row."""
    return [f"{value / limit:.2f}", verdict(value, limit, 0)]


def main() -> None:
    parser = argparse.ArgumentParser(description="The Train page's responses, what watching costs, ten sessions.")
    parser.add_argument("--quick", action="store_true", help="only try the script: few clicks, short windows")
    quick = parser.parse_args().quick
    clicks, rounds, window, again = (2, 1, 3.0, 1) if quick else (CLICKS, ROUNDS, WINDOW, 5)
    paths = SESSIONS[:4] if quick else SESSIONS

    rows: list[list[str]] = []

    def found(what: str, value: str, *target: str) -> None:
        rows.append([what, value, *(target or ("", ""))])
        print("  " + " | ".join(rows[-1]), flush=True)  # at once as well: the whole takes a quarter of an hour

    with tempfile.TemporaryDirectory(prefix="dpm-training-page-") as name, browser() as chromium:
        scratch = Path(name)
        folder = scratch / "runs"
        folder.mkdir()
        os.environ |= {"DPM_RUNS": str(folder), "DPM_CHECKPOINTS": str(scratch / "checkpoints")}  # the server inherits them
        with server() as address:
            page = open_page(chromium, f"{address}/{LINK}")
            run = start(page, folder)
            page.wait_for_timeout(1000 * SETTLE)
            for what, times in responses(page, clicks).items():
                middle, most = statistics.median(times), ninetieth(times)
                found(f"click → answer, {what}: median, ms", f"{middle:.0f}", *target(middle, MEDIAN))
                found(f"click → answer, {what}: nine in ten, ms", f"{most:.0f}", *target(most, NINETIETH))
            with_page, without = watched(page, run, rounds, window, scratch)
            page.context.close()
            slower = 100 * (1 - statistics.median(a / b for a, b in zip(with_page, without)))
            found("steps/s without a page", f"{statistics.median(without):.1f}")
            found("steps/s with the page open", f"{statistics.median(with_page):.1f}")
            found("slowed by being watched, %", f"{slower:.1f}", *target(slower, SLOWER))
        with server() as address:
            sessions = reruns(chromium, address, folder, paths, again)
    slowest = max(statistics.median(times) for _, times in sessions)
    found(f"rerun with {len(paths)} sessions, slowest session's median, ms", f"{slowest:.0f}", *target(slowest, RERUN))
    table(["measured", "value", "÷ target", "target"], rows)
    middles = [(name, statistics.median(times), max(times)) for name, times in sessions]
    cells = [[name, f"{middle:.0f}", f"{most:.0f}", *target(middle, RERUN)] for name, middle, most in middles]
    table(["session", "rerun, median ms", "longest", "÷ target", "target"], cells)
    footer()


if __name__ == "__main__":
    main()
