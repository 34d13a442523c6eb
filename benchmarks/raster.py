"""How a raster of bits plays: 200 rows of 64 bits at 500 times, mounted alone in headless Chromium on the same machine.

* frames per second while playing at full speed, over 4 s, from the player's own count of draws; target 55 or more
* the message, bits packed eight to a byte; target 1 MB or less
"""

from __future__ import annotations

import tempfile
from pathlib import Path

from benchmarks._browser import ROOT, browser, new_page, player, server
from benchmarks._report import footer, table, verdict

ROWS, BITS, FRAMES, PLAY_SECONDS = 200, 64, 500, 4
SCRIPT = f"""
import sys

sys.path.insert(0, {str(ROOT)!r})
import streamlit as st
from benchmarks.raster import payload
from pages.ui.components.player import player

st.set_page_config(layout="wide")
st.title("Raster")
player(payload(), key="raster")
"""


def payload() -> bytes:
    """The message: bits of a heartbeat of 64 places, dissolving."""
    import numpy as np
    import torch

    from dpm_core.data.bits import make_bits
    from dpm_core.process import BinomialDiffusion
    from dpm_core.schedules import make_schedule
    from pages.ui.components.player import Stage, pack
    from pages.ui.kinds.bits import bit_stages

    data = make_bits("heartbeat", (("length", BITS), ("period", 8)))
    diffusion = BinomialDiffusion(make_schedule("paper", FRAMES - 1), data.rate)
    x = diffusion.forward_trajectory(data.sample(ROWS, torch.Generator().manual_seed(0)), torch.Generator().manual_seed(1))
    panel = bit_stages.panel("steps", "x⁽ᵗ⁾", "data", x.numpy().astype(np.uint8))
    return pack(Stage((panel,), list(range(FRAMES)), FRAMES - 1, duration=FRAMES / 60))


def main() -> None:
    megabytes = len(payload()) / 1e6
    with tempfile.TemporaryDirectory() as folder, browser() as chromium:
        script = Path(folder) / "raster.py"
        script.write_text(SCRIPT)
        with server(script) as address:
            page = new_page(chromium)
            page.goto(address)
            root = player(page)
            root.locator(".bar").first.press("Home")
            root.locator("button.play").first.click()
            rate = root.evaluate(
                """async (root, seconds) => {
                  const [draws, start] = [Number(root.dataset.draws), performance.now()];
                  await new Promise((done) => setTimeout(done, seconds * 1000));
                  return (Number(root.dataset.draws) - draws) / (performance.now() - start) * 1000;
                }""",
                PLAY_SECONDS,
            )
    rows = [
        ["playing, frames/s", f"{rate:.1f}", f"{rate / 55:.2f}", verdict(rate, 55, 0, at_most=False)],
        ["message, MB", f"{megabytes:.2f}", f"{megabytes:.2f}", verdict(megabytes, 1, 0)],
    ]
    table([f"{ROWS} rows × {BITS} bits × {FRAMES} times", "value", "÷ target", "target"], rows)
    footer()


if __name__ == "__main__":
    main()
