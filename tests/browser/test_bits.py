"""Bound and Likelihood in a real browser: both themes and sizes, a clicked bar, a clicked point, a run watched as it learns."""

from __future__ import annotations

import re


def test_both_pages_in_both_themes_and_sizes(visit):
    one = visit()
    for path, sentence in (("bound", "Table 1 of the paper"), ("likelihood", "Quasi-static limit.")):
        page = one.open(f"/{path}")
        page.get_by_text(sentence).first.wait_for(timeout=90_000)
        for scheme, width in one.looks():
            one.check_fit(path)
            one.shot(f"{path}-{scheme}-{width}")


def test_a_bar_leads_the_players_and_tells_its_numbers(visit):
    """Pointing at a bar moves both particles' panels to its t without the server; a click names the t and takes it along."""
    one = visit(height=1500)
    page = one.open("/bound")
    stage = one.stage()
    bars = page.locator(".dpm-steps svg")
    bars.scroll_into_view_if_needed()
    one.settle()
    box = bars.bounding_box()
    seen, before = [], float(stage.get_attribute("data-t"))
    for share in (0.2, 0.35):
        page.mouse.move(box["x"] + share * box["width"], box["y"] + 0.5 * box["height"])
        page.wait_for_function(
            "([a, b, t]) => a.dataset.t === b.dataset.t && Number(b.dataset.t) !== t",
            arg=[stage.element_handle(), page.locator(".dpm-steps").element_handle(), seen[-1] if seen else before],
        )
        seen.append(int(float(stage.get_attribute("data-t"))))
        assert page.locator(".dpm-steps").get_attribute("data-t") == str(seen[-1])
    assert 2 <= seen[0] < seen[1] < 25
    page.mouse.click(box["x"] + 0.35 * box["width"], box["y"] + 0.5 * box["height"])
    page.get_by_text(f"Step t = {seen[1]}, in bits").wait_for(timeout=15_000)
    link = page.get_by_role("link", name="Reverse").last.get_attribute("href")
    assert link == f"/reverse?t={seen[1]}&model=swiss_roll_mlp"
    stage.get_by_role("button", name=re.compile("play", re.I)).first.click()
    moved = "([e, t]) => Number(e.dataset.t) !== t"
    page.wait_for_function(moved, arg=[page.locator(".dpm-steps").element_handle(), seen[1]], timeout=15_000)


def test_a_clicked_point_is_looked_at(visit):
    one = visit(height=1000)
    page = one.open("/likelihood")
    page.get_by_text("Quasi-static limit.").wait_for(timeout=90_000)
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.wait_for_timeout(300)
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.wait_for_url(re.compile("at="), timeout=15_000)
    x, y = map(float, re.search(r"at=(-?[\d.]+)(?:,|%2C)(-?[\d.]+)", page.url).groups())
    assert -3 < x < 0 < y < 3
    field = "document.querySelector('[aria-label=\"Selected point, x₁\"]').value"
    page.wait_for_function(f"Math.abs(Number({field}) - ({x})) < 1e-3", timeout=15_000)


def test_a_learned_schedule_is_taken_by_the_page_it_was_learned_on(visit):
    """The controls beside it follow at once: one more schedule on Schedule, another T on Train."""
    one = visit(height=1400)
    page = one.open("/schedule?learned_T=5")
    page.get_by_role("button", name="Learn a schedule").click()
    page.get_by_role("button", name="Use as custom schedule").click(timeout=60_000)
    page.locator("section[data-testid=stSidebar]").get_by_text("Custom, drawn").wait_for(timeout=20_000)
    page = one.open("/train?data=Two+moons&learned_T=5")
    page.get_by_text("Learn the schedule before training").click()
    page.get_by_role("button", name="Learn a schedule").click()
    page.get_by_role("button", name="Train with this schedule").click(timeout=60_000)
    page.get_by_text("Schedule, batch, device").click()
    page.wait_for_function("document.querySelector('[aria-label=\"Steps T of the chain\"]')?.value === '5'", timeout=20_000)
    one.check_fit("learned schedule")
