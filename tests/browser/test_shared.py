"""Several people share a server: each sees the other's run by its link, and can change only their own."""

from __future__ import annotations

import pytest

from tests.browser.conftest import ROOT, Server


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    patch = pytest.MonkeyPatch()
    patch.setenv("DPM_ROLE", "shared")
    patch.setenv("DPM_SECRET", "of this test")
    running = Server(tmp_path_factory.mktemp("shared"), ROOT / "app.py")
    patch.undo()
    yield running
    running.stop()


def test_a_run_belongs_to_the_browser_that_started_it(browser, shared):
    anna, bert = (browser.new_context().new_page() for _ in range(2))
    anna.goto(f"{shared.url}/train?data=moons&stop_by=never")
    anna.get_by_role("button", name="Start", exact=True).click(timeout=60_000)
    anna.get_by_text("is training on the CPU").wait_for(timeout=30_000)
    anna.wait_for_url("**job=**")
    bert.goto(anna.url)
    bert.get_by_text("This belongs to somebody else").wait_for(timeout=60_000)
    assert bert.get_by_role("button", name="Pause").count() == 0
    bert.get_by_role("button", name="Start", exact=True).wait_for()
    anna.reload()  # known again by the cookie
    anna.get_by_role("button", name="Pause").click(timeout=60_000)
    anna.get_by_text("Paused at step").wait_for(timeout=30_000)
    anna.get_by_role("button", name="Stop", exact=True).click()
    anna.get_by_text("Stopped at step").wait_for(timeout=30_000)
    for page in (anna, bert):
        page.context.close()
