"""The Train and Checkpoints pages as a person uses them: a run is started, watched, paused, stepped, resumed and kept."""

from __future__ import annotations

import re

import pytest

from tests.browser.conftest import Server, visits

TINY = "T_images=50&batch_images=16&max_steps_images=100000"

# notes every place that a visible button of a run ever has
NOTE_PLACES = """() => {
  window.places = {}
  const note = () => {
    for (const button of document.querySelectorAll('.st-key-train_buttons button')) {
      const { x, y, width } = button.getBoundingClientRect()
      const name = button.innerText.split('\\n')[0]
      if (width > 0) (window.places[name] ??= {})[[x, y].map(Math.round)] = true
    }
    requestAnimationFrame(note)
  }
  note()
}"""

# how much the label of the main button differs from its ground, of at most 765
CONTRAST = """() => {
  const style = getComputedStyle(document.querySelector('.st-key-train_buttons [data-testid="stBaseButton-primary"]'))
  const sum = (colour) => colour.match(/\\d+/g).slice(0, 3).reduce((total, c) => total + Number(c), 0)
  return Math.abs(sum(style.color) - sum(style.backgroundColor))
}"""


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """A server with its own runs and models."""
    running = Server(tmp_path_factory.mktemp("lab"))
    yield running
    running.stop()


@pytest.fixture
def visit(lab, browser):
    yield from visits(browser, lab.url)


def steps(page) -> int:
    """The step on the card of progress; −1 where there is no card."""
    card = page.locator(".dpm-cards > div", has_text="Progress").locator("b")
    return int(re.sub(r" of.*|\D", "", card.inner_text())) if card.count() else -1


def until_steps(page, more_than: int) -> int:
    page.wait_for_function(
        "n => { const b = [...document.querySelectorAll('.dpm-cards > div')].find(e => e.textContent.startsWith('Progress'))"
        "?.querySelector('b'); return b && Number(b.textContent.replace(/ of.*|\\D/g, '')) > n; }",
        arg=more_than,
        timeout=120_000,
    )
    return steps(page)


def press(page, name: str) -> None:
    # the page is whole: a click during its first run on a fresh server is lost; during a rerun the old element may stand beside the new
    page.locator(".st-key-earlier").first.wait_for(timeout=60_000)
    page.locator(".st-key-train_buttons").get_by_role("button", name=name, exact=True).click()


def appears(page, name: str) -> None:
    page.locator(".st-key-train_buttons").get_by_role("button", name=name, exact=True).wait_for(timeout=60_000)


def test_start_watch_pause_step_resume_keep_and_find_it_again(visit):
    one = visit()
    page = one.open(f"/train?{TINY}")
    stage = one.stage()
    box = stage.bounding_box()
    press(page, "Start")
    first = until_steps(page, 0)
    assert until_steps(page, first + 5) > first
    assert stage.bounding_box()["y"] == box["y"], "the stage must not move"

    press(page, "Pause")
    appears(page, "Resume")
    page.wait_for_timeout(3500)
    still = steps(page)
    page.wait_for_timeout(3500)
    assert steps(page) == still, "paused"

    press(page, "Step")
    page.get_by_text(f"Training step {still + 1:,} in detail").wait_for(timeout=60_000)
    assert steps(page) == still + 1
    assert page.locator(".dpm-step img").count() == 24

    address = page.url
    assert "job=" in address
    again = visit()
    other = again.open(address[address.index("/train") :])
    appears(other, "Resume")  # a new session finds the run by its link
    press(other, "Resume")
    until_steps(other, still + 1)
    until_steps(page, still + 1)  # and this one sees that it goes on

    press(page, "Save")
    name = page.get_by_label("Name", exact=True)
    name.fill("kept_here")
    name.press("Enter")
    page.get_by_role("button", name="Save checkpoint").click()
    page.get_by_text("Saved as kept_here").wait_for(timeout=60_000)
    with page.expect_download() as download:
        page.get_by_role("button", name="Download (.zip)").click()
    assert download.value.suggested_filename.endswith(".zip")
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Save checkpoint").wait_for(state="hidden")
    press(page, "Stop")
    appears(page, "Start")

    page = one.open("/checkpoints")
    card = page.locator(".st-key-card_kept_here")
    card.locator("img").wait_for(timeout=60_000)
    assert "bits per pixel" in card.inner_text()
    card.get_by_role("button", name="Rename", exact=True).click()
    page.get_by_label("New name", exact=True).fill("kept_there")  # the button takes what is typed, without Enter
    page.locator(".st-key-rename_now_kept_here button").click()
    card = page.locator(".st-key-card_kept_there")
    card.locator("img").wait_for(timeout=60_000)
    card.get_by_role("button", name="Delete").click()
    page.locator(".st-key-delete_now_kept_there button").click()
    card.wait_for(state="detached", timeout=60_000)


def test_versions_follow_the_run_live(visit):
    """The server itself draws them, as soon as there is one: here the browser never asks, its timers of fragments are off."""
    one = visit()
    one.page.add_init_script("const every = setInterval; setInterval = (act, ms, ...rest) => (ms < 900 ? every(act, ms, ...rest) : 0)")
    page = one.open(f"/train?{TINY}")
    stage = one.stage()
    press(page, "Start")
    label = stage.get_by_text(re.compile(r"training step [1-9]"))
    label.wait_for(timeout=120_000)
    before = label.inner_text()
    page.wait_for_function("([e, t]) => e.textContent !== t", arg=[label.element_handle(), before], timeout=120_000)
    assert page.locator(".st-key-train_buttons").get_by_role("button", name="Pause", exact=True).count() == 1
    press(page, "Pause")
    appears(page, "Resume")
    press(page, "Stop")
    appears(page, "Start")


def test_presenter_sees_the_buttons_without_the_sidebar(visit):
    one = visit()
    page = one.open(f"/train?present=1&{TINY}")
    one.stage()
    one.settle()
    page.evaluate(NOTE_PLACES)
    press(page, "Step")
    appears(page, "Resume")
    assert not page.locator('[data-testid="stSidebar"]').is_visible()
    press(page, "Stop")
    appears(page, "Start")
    one.settle()
    places = page.evaluate("window.places")
    assert len(places.pop("Resume")) == 2, "instead of Start while the run is paused, instead of Stop afterwards"
    assert set(places) == {"Start", "Step", "Save", "Stop"} and all(len(seen) == 1 for seen in places.values()), places


def test_both_pages_in_both_themes_and_sizes(visit):
    one = visit()
    for path in (f"/train?{TINY}", "/train?data=Swiss+roll&T=10&batch=16", "/checkpoints"):
        page = one.open(path)
        if "train" in path:
            one.stage()
            press(page, "Step")
            page.get_by_text("in detail").wait_for(timeout=60_000)
        else:
            page.locator("img[alt^='Samples of']").nth(5).wait_for(timeout=60_000)
        kind = "plane" if "Swiss" in path else "images"
        for scheme, width in one.looks():
            one.check_fit(path)
            if "train" in path:
                top = page.locator(".st-key-train_buttons").bounding_box()["y"]
                assert top < page.viewport_size["height"], "the buttons are in sight without scrolling"
                assert page.evaluate(CONTRAST) > 300, f"the label of the main button cannot be read in the {scheme} theme"
            one.shot(f"{'train-' + kind if 'train' in path else 'checkpoints'}-{scheme}-{width}")
        if "train" in path:
            press(page, "Stop")
            appears(page, "Start")


def test_the_bits_of_a_run_that_trains(visit):
    """Bound follows a run: its K is another number a little later, without a click."""
    one = visit(height=1000)
    page = one.open("/train?T=12&max_steps=1000000")
    press(page, "Start")
    until_steps(page, 20)
    page.get_by_role("link", name="Bound", exact=True).first.click()
    page.get_by_role("heading", name="Bound", level=1).wait_for()
    page.locator(".st-key-bits_of input").first.fill("Run:")  # the menu holds only the options that are in sight
    page.get_by_role("option", name=re.compile("^Run: ")).first.click()
    at = page.get_by_text(re.compile("at step [\\d,]+"))
    at.wait_for(timeout=30_000)
    first = at.inner_text()
    page.wait_for_function(
        "words => !document.querySelector('.dpm-cards > div small').textContent.includes(words.split('at ').pop())",
        arg=first,
        timeout=60_000,
    )
    assert at.count() == 1 and page.get_by_text("encountered an error").count() == 0
    one.shot("bound-of-a-run")
