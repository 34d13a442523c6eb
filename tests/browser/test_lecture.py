"""A lecture: a viewer's browser shows the lecturer's page, controls and players, and never the lecturer's secret."""

from __future__ import annotations

import json
import time

import pytest

from tests.browser.conftest import ROOT, Server

SECRET = "a-secret-of-this-test"
READ = "() => (window.__dpmPlayers?.read?.() ?? []).map((m) => ({ ...m, heading: 0 }))"


@pytest.fixture(scope="module")
def hall(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("DPM_ROLE", "lecture")
    patch.setenv("DPM_LECTURER", SECRET)
    running = Server(tmp_path_factory.mktemp("hall"), ROOT / "app.py")
    patch.undo()
    yield running
    running.stop()


@pytest.fixture
def person(browser, hall):
    """Opens the app in a browser of its own."""
    contexts = []

    def make(address="/", **options):
        contexts.append(browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options))
        page = contexts[-1].new_page()
        page.goto(hall.url + address)
        page.locator("#dpm-hall").wait_for(timeout=60_000)
        return page

    yield make
    for context in contexts:
        context.close()


def until(page, condition, seconds=20):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        page.wait_for_timeout(50)


def heading(page, name):
    page.get_by_role("heading", name=name, level=1).wait_for(timeout=30_000)


def test_a_viewer_follows_leaves_and_rejoins(person):
    """Page, controls, address and players of the lecturer, before and after the viewer came; then the viewer's own way."""
    early = person()
    early.get_by_text("The lecture has not begun").wait_for()
    lecturer = person(f"/forward?T=20&lecturer={SECRET}")
    heading(lecturer, "Forward")
    heading(early, "Forward")
    assert SECRET not in lecturer.url
    until(early, lambda: "/forward" in early.url and "T=20" in early.url)
    lecturer.get_by_role("spinbutton", name="Seed").fill("11")
    lecturer.keyboard.press("Enter")
    until(early, lambda: early.get_by_role("spinbutton", name="Seed").input_value() == "11")
    assert early.get_by_role("spinbutton", name="Steps T").input_value() == "20"
    until(early, lambda: "seed=11" in early.url)
    late = person(viewport={"width": 390, "height": 844})
    heading(late, "Forward")
    lecturer.locator(".dpm-player").first.focus()
    lecturer.keyboard.press("End")
    lecturer.keyboard.press("ArrowLeft")
    shown = lecturer.evaluate(READ)
    assert shown[0]["position"] == 19
    for viewer in (early, late):
        until(viewer, lambda viewer=viewer: viewer.evaluate(READ) == shown, 5)
        assert viewer.locator("#dpm-hall").inner_text().startswith("You follow the lecture")
    lecturer.keyboard.press("Space")  # plays on from the start
    until(early, lambda: early.evaluate(READ)[0]["playing"])
    until(late, lambda: not late.evaluate(READ)[0]["playing"], 15)
    assert early.locator(".dpm-player .timeline").evaluate("(e) => e.getBoundingClientRect().width") > 200
    early.locator("#dpm-hall").get_by_role("button", name="Leave").click()
    early.get_by_text("You explore on your own").wait_for(timeout=30_000)
    heading(early, "Forward")
    assert "seed=11" in early.url and "follow=0" in early.url
    early.get_by_role("link", name="Schedule").first.click()
    heading(early, "Schedule")
    lecturer.get_by_role("link", name="Bound").first.click()
    heading(late, "Bound")
    assert "/schedule" in early.url
    early.get_by_role("button", name="Rejoin the lecture").click()
    heading(early, "Bound")
    for page in (lecturer, early, late):
        assert SECRET not in page.url
    assert SECRET not in early.content() and not [c for c in early.context.cookies() if c["name"] == "lecturer"]


def test_only_the_lecturer_changes_things(person):
    """The lecturer is known after a reload; a viewer who explores has no buttons that start or remove anything."""
    lecturer = person(f"/train?lecturer={SECRET}")
    heading(lecturer, "Train")
    lecturer.reload()
    heading(lecturer, "Train")
    lecturer.get_by_role("button", name="Start", exact=True).wait_for(timeout=30_000)
    viewer = person("/train?follow=0&lecturer=guess")
    heading(viewer, "Train")
    viewer.get_by_text("Only the lecturer can start or change").wait_for(timeout=30_000)
    assert viewer.get_by_role("button", name="Start", exact=True).count() == 0
    lecturer.locator("#dpm-hall").get_by_role("button", name="Copy the viewers' link").click()
    until(lecturer, lambda: "Copied" in lecturer.locator("#dpm-hall").inner_text())
    assert SECRET not in lecturer.evaluate("() => navigator.clipboard.readText()")


def test_training_is_seen_by_all(person):
    """The lecturer starts a run; a viewer sees its numbers and samples move although no script runs for it."""
    lecturer = person(f"/train?data=moons&seconds=4&stop_by=seconds&lecturer={SECRET}")
    heading(lecturer, "Train")
    viewer = person()
    heading(viewer, "Train")
    lecturer.get_by_role("button", name="Start", exact=True).click()
    viewer.get_by_text("is training on the CPU").wait_for(timeout=30_000)
    viewer.get_by_text("Finished at step").wait_for(timeout=60_000)
    until(viewer, lambda: json.dumps(viewer.evaluate(READ)) != "[]")
