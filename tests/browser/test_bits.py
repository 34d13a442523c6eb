"""Bound and Likelihood in a real browser: both themes and sizes, a clicked bar, a clicked point, a run watched as it learns."""

from __future__ import annotations

import re

import pytest


@pytest.mark.parametrize("width,height", [(1440, 900), (390, 844)])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_both_pages_in_both_themes_and_sizes(visit, width, height, scheme):
    one = visit(width=width, height=height, scheme=scheme)
    for path, sentence in (("bound", "Table 1 of the paper"), ("likelihood", "Slower is better")):
        page = one.open(f"/{path}")
        page.get_by_text(sentence).first.wait_for(timeout=90_000)
        page.wait_for_timeout(1000)
        assert page.get_by_text("encountered an error").count() == 0
        overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        assert overflow <= 0, f"{path} scrolls sideways by {overflow}px"
        one.shot(f"{path}-{scheme}-{width}")


def test_a_clicked_bar_tells_its_numbers(visit):
    one = visit(height=1300)
    page = one.open("/bound")
    chart = page.locator(".st-key-step_bars").first
    page.get_by_text("Table 1 of the paper").wait_for(timeout=60_000)
    chart.scroll_into_view_if_needed()
    page.wait_for_timeout(1500)
    box = chart.bounding_box()
    page.mouse.click(box["x"] + 0.35 * box["width"], box["y"] + 0.62 * box["height"])
    told = page.get_by_text(re.compile(r"Step t = \d+, in bits"))
    told.wait_for(timeout=15_000)
    t = re.search(r"t = (\d+)", told.inner_text()).group(1)
    link = page.get_by_role("link", name="Reverse").last.get_attribute("href")
    assert link == f"/reverse?t={t}&model=swiss_roll_mlp"


def test_a_clicked_point_is_looked_at(visit):
    one = visit(height=1000)
    page = one.open("/likelihood")
    page.get_by_text("Slower is better").wait_for(timeout=90_000)
    plot = page.locator(".js-plotly-plot .nsewdrag").first
    box = plot.bounding_box()
    page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.wait_for_timeout(300)
    page.mouse.click(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    page.wait_for_url(re.compile("at="), timeout=15_000)
    x, y = map(float, re.search(r"at=(-?[\d.]+)(?:,|%2C)(-?[\d.]+)", page.url).groups())
    assert -3 < x < 0 < y < 3
    page.wait_for_function(f"Math.abs(Number(document.querySelector('[aria-label=\"x₁\"]').value) - ({x})) < 1e-3", timeout=15_000)
