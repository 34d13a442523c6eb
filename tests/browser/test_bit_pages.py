"""Bits in a real browser: rasters in both themes and sizes, rows painted, bits held, and a run that learns heartbeats."""

from __future__ import annotations

import re


def test_pages_of_bits_in_both_themes_and_sizes(visit):
    one = visit()
    for name, path in {
        "schedule": "/schedule?data=Heartbeat",
        "forward": "/forward?data=Heartbeat",
        "reverse": "/reverse?model=heartbeat_mlp",
        "bound": "/bound?bits_of=heartbeat_mlp",
        "likelihood": "/likelihood?likelihood_of=heartbeat_mlp",
        "inpaint": "/inpaint?picture_name=bits",
    }.items():
        page = one.open(path)
        page.get_by_text("Export", exact=True).wait_for(timeout=60_000)
        for scheme, width in one.looks():
            one.check_fit(name)
            one.shot(f"bits-{name}-{scheme}-{width}")


def test_rows_are_painted_by_mouse_and_keyboard(visit):
    """A click sets a bit, a drag sets a row, space and arrows do it without a mouse; the link has them all, and the stage follows."""
    one = visit()
    page = one.open("/forward?data=painted")
    one.stage()
    cells = page.locator(".pad .bit")
    assert cells.count() == 48 and cells.nth(2).get_attribute("data-bit") == "0"
    cells.nth(2).click()
    page.wait_for_url(re.compile("cells=111000110000"), timeout=15_000)
    first, last = cells.nth(12).bounding_box(), cells.nth(23).bounding_box()
    page.mouse.move(first["x"] + 5, first["y"] + 5)
    page.mouse.down()
    page.mouse.move(last["x"] + 5, last["y"] + 5, steps=24)
    page.mouse.up()
    page.wait_for_url(re.compile("cells=.{12}111111111111"), timeout=15_000)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Space")
    assert cells.nth(13).get_attribute("data-bit") == "0"
    page.wait_for_url(re.compile("cells=.{12}101111111111"), timeout=15_000)
    one.settle()
    assert cells.nth(13).get_attribute("data-bit") == "0", "what comes back does not undo what was clicked"
    one.check_fit("painted rows")


def test_held_bits_are_completed(visit):
    """Three clicks hold a 1, a 0 and nothing again; bits that no heartbeat has are said to be none, and stay."""
    one = visit(height=1100)
    page = one.open("/inpaint?picture_name=bits")
    page.get_by_text("Distance to the exact posterior").wait_for(timeout=60_000)
    cells = page.locator(".pad .bit")
    for value in ("1", "0", "."):
        cells.nth(4).click()
        page.wait_for_url(re.compile(rf"held=00..{re.escape(value)}" if value != "." else r"inpaint(\?(?!.*held)|$)"), timeout=15_000)
        assert cells.nth(4).get_attribute("data-bit") == value
    for place in (4, 5):
        cells.nth(place).click()
        page.wait_for_timeout(300)
    page.get_by_text("No pattern in the data agrees with the known bits").wait_for(timeout=30_000)
    assert [cells.nth(i).get_attribute("data-bit") for i in (4, 5)] == ["1", "1"]
    cells.nth(5).click()
    cells.nth(5).click()
    page.get_by_text("Distance to the exact posterior").wait_for(timeout=30_000)


def test_a_network_learns_heartbeats_live(visit):
    one = visit(height=1000)
    page = one.open("/train?data=Heartbeat&max_steps_bits=400&batch_bits=128")
    page.locator(".st-key-earlier").first.wait_for(timeout=60_000)  # the page is whole
    page.get_by_role("button", name="Start", exact=True).click()
    page.get_by_text("Finished at step 400").wait_for(timeout=120_000)
    stage = one.stage()
    assert int(stage.get_attribute("data-version") or 0) > 0 or page.locator(".versions").is_visible()
    assert page.get_by_text("best K with independent-bit steps").count() > 0
    one.check_fit("training on bits")
