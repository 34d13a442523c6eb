"""The guided tour in a real browser: the keyboard, reloads, and stops on one page with other controls."""

from __future__ import annotations

import re
from urllib.parse import parse_qs, urlparse


def query(page) -> dict[str, list[str]]:
    return parse_qs(urlparse(page.url).query)


def at_stop(page, number: int, heading: str) -> None:
    page.get_by_role("heading", name=heading, level=1).wait_for(timeout=30_000)
    page.get_by_role("button", name=f"{number} / 8 ·").wait_for(timeout=30_000)
    page.wait_for_url(re.compile(rf"[?&]tour={number}\b"))


def test_arrows_go_through_the_tour_and_a_reload_stays(visit):
    one = visit()
    page = one.open("/tour")
    page.get_by_role("button", name="Start the tour").click()
    at_stop(page, 1, "DPM Explorer")
    assert not page.locator('[data-testid="stSidebar"]').is_visible()
    one.settle()
    page.keyboard.press("ArrowRight")
    at_stop(page, 2, "Forward")
    one.settle()
    page.keyboard.press("PageDown")
    at_stop(page, 3, "Reverse")
    stage = one.stage()
    one.settle()
    page.keyboard.press("ArrowRight")
    at_stop(page, 4, "Reverse")  # the same page without a network, in 5 steps
    page.get_by_text("of 5").first.wait_for(timeout=30_000)
    assert "Exact" in query(page)["model"][0]
    page.keyboard.press("ArrowLeft")
    at_stop(page, 3, "Reverse")
    page.get_by_text("of 40").first.wait_for(timeout=30_000)
    assert "T" not in query(page)
    page.reload()
    at_stop(page, 3, "Reverse")
    stage = one.stage()
    stage.locator("canvas").first.wait_for()
    one.shot("tour-reverse")
    one.check_fit("the tour")


def test_the_player_keeps_its_arrows_while_it_has_the_focus(visit):
    one = visit()
    page = one.open("/forward?tour=2&present=1&data=swiss_roll&T=40")
    stage = one.stage()
    at_stop(page, 2, "Forward")
    one.settle()
    box = stage.locator("canvas").first.bounding_box()
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.keyboard.press("Home")
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    page.wait_for_function("e => Number(e.dataset.t) === 2", arg=stage.element_handle())
    one.settle()
    assert query(page)["tour"] == ["2"], "the tour stays"
    page.keyboard.press("Escape")
    page.wait_for_timeout(200)
    page.keyboard.press("ArrowLeft")
    at_stop(page, 1, "DPM Explorer")


def test_fields_keep_their_arrows(visit):
    one = visit()
    page = one.open("/glossary?present=1&tour=2")
    field = page.get_by_label("Search", exact=True)
    field.fill("KL")
    field.press("ArrowLeft")
    field.press("ArrowRight")
    one.settle()
    assert query(page)["tour"] == ["2"] and page.get_by_role("heading", name="Glossary", level=1).is_visible()


def test_an_own_tour_is_loaded_and_a_bad_one_is_answered(visit):
    one = visit()
    page = one.open("/tour")

    def load(text: str) -> None:
        page.get_by_role("button", name="Load a tour").click()
        upload = page.locator("input[type=file]")
        upload.set_input_files({"name": "mine.txt", "mimeType": "text/plain", "buffer": text.encode()})

    load("# One\nlink: /nowhere\n")
    page.get_by_text("mine.txt: Line 2: there is no page “/nowhere”").wait_for()
    page.keyboard.press("Escape")
    page.reload()
    load("# My first stop\nlink: /forward?T=12&data=moons\nSay this.\n")
    page.get_by_text("1. My first stop").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Start the tour").click()
    page.get_by_role("heading", name="Forward", level=1).wait_for()
    page.get_by_role("button", name="1 / 1 · My first stop").wait_for()
    page.get_by_text("of 12").first.wait_for(timeout=30_000)
    page.get_by_role("button", name="Notes").click()
    page.get_by_text("Say this.").wait_for()
    page.keyboard.press("Escape")
    page.get_by_role("button", name="End tour").click()
    page.get_by_role("heading", name="Guided tour", level=1).wait_for()
    one.settle()
    assert page.locator('[data-testid="stSidebar"]').is_visible() and "tour" not in query(page)


def test_course_and_glossary_fit(visit):
    """The stage begins above the fold; nothing scrolls sideways."""
    one = visit()
    for path in ("/glossary", "/tour", "/reverse?tour=3&present=1", "/forward"):
        one.open(path)
        for scheme, width in one.looks():
            one.check_fit(path)
            one.shot(f"course-{path.split('?')[0].strip('/')}-{scheme}-{width}")
            if path == "/forward":
                assert one.stage().bounding_box()["y"] < (210 if width > 1000 else 330)


def test_an_action_sets_the_controls_in_place_and_closes_its_menu(visit):
    one = visit()
    page = one.open("/forward?seed=5")
    one.stage()
    for _ in range(2):  # twice in a row
        page.get_by_role("button", name="Try this").click()
        page.get_by_role("button", name="Diffuse two moons").click()
        page.get_by_text("of 10").first.wait_for()
        page.get_by_role("button", name="Diffuse two moons").wait_for(state="hidden")
        page.wait_for_url(re.compile("T=10"))
        assert query(page) == {"data": ["Two moons"], "T": ["10"], "seed": ["5"]}
    assert page.get_by_label("Seed", exact=True).input_value() == "5"
