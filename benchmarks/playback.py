"""How the Forward page feels: 5,000 particles, T = 99 (100 frames), in headless Chromium on the same machine.

* frames per second while playing, over 4 s, from the player's own count of draws; target 55 or more
* the trajectory's websocket frame; target 5 MB or less
* from Enter in the seed field to the first draw of the new trajectory, median of nine; target 600 ms or less
* the same on the page Continuous with its own settings; target 400 ms or less
* from the health check of a fresh server to the page's heading, median of three servers; target 3 s or less
* a rerun that leaves the trajectory as it is, in Streamlit's own test harness; target 100 ms or less
"""

from __future__ import annotations

import statistics
from time import perf_counter

from playwright.sync_api import Browser, Locator, Page

from benchmarks._browser import ROOT, browser, new_page, player, server, settle
from benchmarks._report import footer, table, verdict

PARTICLES, T = 5000, 99
QUERY = f"particles={PARTICLES}&T={T}"
PLAY_SECONDS, CHANGES, SERVERS, RERUNS = 4, 9, 3, 15
LARGE = 500_000  # bytes: only a trajectory is this large


def first_page(chromium: Browser, path: str) -> float:
    """Median seconds from a fresh server's health check to the heading of the page at ``path``."""
    times = []
    for _ in range(SERVERS):
        with server() as address:
            page = chromium.new_page(viewport={"width": 1440, "height": 900})
            start = perf_counter()
            page.goto(f"{address}/{path}")
            page.locator("h1").first.wait_for(timeout=60_000)
            times.append(perf_counter() - start)
            page.close()
    return statistics.median(times)


def play(chromium: Browser) -> tuple[float, float, list[float]]:
    """Frames per second, MB of the trajectory, and milliseconds from each change of seed to its first draw."""
    with server() as address:
        page = new_page(chromium)
        page.goto(f"{address}/forward?{QUERY}")
        root = player(page)
        megabytes = max(size for _, size in page.evaluate("bench.frames")) / 1e6
        shown = root.locator("canvas").first.get_attribute("aria-label") or ""
        if root.get_attribute("data-frames") != f"{T + 1}" or f"{PARTICLES} particles" not in shown.replace(",", ""):
            raise RuntimeError(f"The page did not take its state from the link: it shows {shown!r}.")
        root.locator(".bar").first.press("Home")
        root.locator("button.play").first.click()
        rate = root.evaluate(
            """async (root, seconds) => {
              const [draws, start] = [Number(root.dataset.draws), performance.now()];
              await new Promise((done) => setTimeout(done, seconds * 1000));
              if (root.dataset.playing !== "true") throw new Error("The player stopped on its own.");
              return (Number(root.dataset.draws) - draws) / (performance.now() - start) * 1000;
            }""",
            PLAY_SECONDS,
        )
        root.locator("button.play").first.click()
        delays = change_seed(page, root)
        page.close()
    return rate, megabytes, delays


def change_seed(page: Page, root: Locator) -> list[float]:
    """Milliseconds from Enter in the seed field to the first draw of the new trajectory, of several changes."""
    delays = []
    for i in range(CHANGES):
        settle(page, root)
        page.evaluate("bench.frames = []; bench.enters = []; bench.draws = []")
        field = page.get_by_label("Seed", exact=True)
        field.fill(str(100 + i))
        field.press("Enter")
        drawn = f"""() => {{
          const arrived = bench.frames.find(([_, size]) => size > {LARGE});
          return arrived && (bench.draws.find((at) => at > arrived[0]) ?? 0) - bench.enters[0];
        }}"""
        delays.append(float(page.wait_for_function(f"() => ({drawn})() > 0", timeout=60_000) and page.evaluate(drawn)))
    return delays


def continuous(chromium: Browser) -> list[float]:
    """The same on the page Continuous."""
    with server() as address:
        page = new_page(chromium)
        page.goto(f"{address}/continuous")
        delays = change_seed(page, player(page))
        page.close()
    return delays


def rerun() -> float:
    """Median milliseconds of running the Forward page again with every control as it was."""
    from streamlit.testing.v1 import AppTest

    app = AppTest.from_file(str(ROOT / "app.py"), default_timeout=60)
    app.query_params["particles"] = str(PARTICLES)
    app.query_params["T"] = str(T)
    app.run().switch_page("pages/forward.py").run()
    times = []
    for _ in range(RERUNS):
        start = perf_counter()
        app.run()
        times.append((perf_counter() - start) * 1e3)
    if app.exception:
        raise RuntimeError(f"The page failed: {app.exception[0].message}")
    return statistics.median(times)


def main() -> None:
    with browser() as chromium:
        start = first_page(chromium, "")
        forward = first_page(chromium, f"forward?{QUERY}")
        rate, megabytes, delays = play(chromium)
        limit = statistics.median(continuous(chromium))
    again = rerun()
    change = statistics.median(delays)
    rows = [
        ["playing, frames/s", f"{rate:.1f}", f"{rate / 55:.2f}", verdict(rate, 55, 0, at_most=False)],
        ["trajectory, MB", f"{megabytes:.2f}", f"{megabytes / 5:.2f}", verdict(megabytes, 5, 0)],
        ["seed changed → first draw, ms", f"{change:.0f}", f"{change / 600:.2f}", verdict(change, 600, 0)],
        ["slowest of nine changes, ms", f"{max(delays):.0f}", f"{max(delays) / 600:.2f}", ""],
        ["Continuous: seed changed → first draw, ms", f"{limit:.0f}", f"{limit / 400:.2f}", verdict(limit, 400, 0)],
        ["fresh server → Start, s", f"{start:.2f}", f"{start / 3:.2f}", verdict(start, 3, 0)],
        ["fresh server → Forward, s", f"{forward:.2f}", f"{forward / 3:.2f}", verdict(forward, 3, 0)],
        ["rerun, trajectory unchanged, ms", f"{again:.0f}", f"{again / 100:.2f}", verdict(again, 100, 0)],
    ]
    table(["measured", "value", "÷ target", "target"], rows)
    footer()


if __name__ == "__main__":
    main()
