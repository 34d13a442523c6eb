"""The Guide page in a browser: chips and strength change the picture, in both themes and sizes."""

from __future__ import annotations


def test_a_class_is_chosen_by_its_chip(visit):
    """Another digit and another strength: the captions and the classifier's card follow, and everything is in the link."""
    one = visit()
    page = one.open("/guide?guide_steps=10&n_guided_images=4")
    one.stage()
    one.settle()
    for scheme, width in one.looks():
        one.check_fit("/guide")
        one.shot(f"guide-{scheme}-{width}")
    page.set_viewport_size({"width": 1440, "height": 900})
    page.get_by_test_id("stButtonGroup").get_by_text("3", exact=True).click()
    page.wait_for_function("location.search.includes('classes_10=7') && location.search.includes('classes_10=3')")
    page.get_by_text("Mixture: share of").wait_for()
    page.get_by_test_id("stButtonGroup").get_by_text("7", exact=True).click()
    page.wait_for_function("!location.search.includes('classes_10=7')")
    page.get_by_text("Mixture: share of").wait_for(state="detached")
    one.stage()
    one.settle()
    assert page.get_by_text("encountered an error").count() == 0


def test_the_plane_has_its_exact_answer(visit):
    one = visit()
    page = one.open("/guide?guided_data=moons&strength=2&n_guided=500&T=15")
    one.stage()
    page.get_by_text("What strength does to p(x|y)").wait_for(timeout=60_000)
    one.settle()
    for scheme, width in one.looks():
        one.check_fit("/guide in the plane")
        one.shot(f"guide-plane-{scheme}-{width}")
