"""How live the Train page is: from the click on Start to the first training step, and from a snapshot to its picture on the page.

Digits and points, headless Chromium on the same machine. The first step is the first row of the run's metrics; a snapshot is made when
its file appears, and seen when the player's label says its step. All clocks are the machine's. Targets: 1.5 s, and 200 ms.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

from playwright.sync_api import Page

from benchmarks._browser import browser, server
from benchmarks._report import footer, table, verdict
from benchmarks.training_page import last_step

LINKS = {"digits": "train?max_steps_images=1000000", "points": "train?data=Swiss+roll&max_steps=1000000"}
START, SEEN = 1.5, 0.2  # targets, s
WATCHED = 40.0  # seconds for which snapshots are counted
NOTE = """(player) => {
  window.clicked = null
  window.seen = {}
  addEventListener('click', ({timeStamp}) => { window.clicked ??= performance.timeOrigin + timeStamp }, {capture: true})
  const look = () => {
    const label = player.innerText.match(/training step ([\\d,]+)/)
    if (label) window.seen[label[1].replaceAll(',', '')] ??= performance.timeOrigin + performance.now()
    requestAnimationFrame(look)
  }
  look()
}"""


def measure(page: Page, folder: Path, seconds: float) -> tuple[float, list[float]]:
    """Seconds from the click to the first step, and of each snapshot from its file to the page."""
    page.locator(".dpm-player").first.evaluate(NOTE)
    page.locator(".st-key-start button").click()
    while not (runs := [path for path in folder.glob("[!.]*/metrics.jsonl") if last_step(path.parent)]):
        time.sleep(0.002)
    began, (metrics,) = time.time(), runs
    made, until = dict[int, float](), time.monotonic() + seconds
    while time.monotonic() < until:
        for path in (metrics.parent / "snapshots").glob("[0-9]*.safetensors"):
            made.setdefault(int(path.stem), path.stat().st_mtime)
        page.wait_for_timeout(100)
    seen = {int(step): at / 1000 for step, at in page.evaluate("window.seen").items()}
    return began - page.evaluate("window.clicked") / 1000, [seen[step] - at for step, at in sorted(made.items()) if step and step in seen]


def main() -> None:
    """Both kinds of data, a fresh server each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=WATCHED, help="for which snapshots are counted")
    seconds, rows = parser.parse_args().seconds, []
    for name, link in LINKS.items():
        with tempfile.TemporaryDirectory() as folder, browser() as chromium:
            os.environ |= {"DPM_RUNS": f"{folder}/runs", "DPM_CHECKPOINTS": f"{folder}/models"}
            with server() as address:
                page = chromium.new_page(viewport={"width": 1440, "height": 900})
                page.goto(f"{address}/{link}")
                page.locator(".st-key-earlier").first.wait_for(timeout=60_000)
                page.wait_for_timeout(3000)
                begun, delays = measure(page, Path(folder) / "runs", seconds)
                page.locator(".st-key-stop button").click()
                page.wait_for_timeout(1000)
        middle = statistics.median(delays)
        cells = [f"{begun:.2f}", str(len(delays)), f"{1000 * middle:.0f}", f"{1000 * sorted(delays)[int(0.9 * len(delays))]:.0f}"]
        rows.append([name, *cells, f"{verdict(begun, START, 1)}; {verdict(1000 * middle, 1000 * SEEN, 0)}"])
    table(["data", "click → first step, s", "snapshots", "made → on the page, median ms", "90 % ms", "targets"], rows)
    footer()


if __name__ == "__main__":
    main()
