"""The course: every page has its text, its actions do what they say, and the tour leads where its links say."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.ui import session
from pages.ui.lecture import course, glossary, tour, tour_bar
from tests.pages.test_pages import check, open_page

ROOT = Path(__file__).resolve().parents[2]
LESSONS = course.lessons()
WITHOUT_ACTIONS = ("tour", "glossary")
WIDGETS = ("selectbox", "number_input", "select_slider", "slider", "multiselect", "toggle", "text_input")


def run(app: AppTest) -> AppTest:
    """Run, and stay on the page that the app itself has switched to, as a browser does."""
    check(app.run())
    app._page_hash = app._finished_page_script_hash
    return app


def values(app: AppTest, key: str) -> list[str]:
    """What a control holds, as a link would name it: a choice by its title."""
    for kind in WIDGETS:
        for element in app.get(kind):
            if element.key == key:
                value = element.value
                if kind == "selectbox":
                    return [value, element.options[element.index]]
                if kind == "multiselect":
                    return [element.options[i] for i in element.indices]
                return [f"{value:g}" if isinstance(value, int | float) else str(value)]
    return app.query_params.get(key, [])


def check_values(app: AppTest, wanted: dict[str, list[str]]) -> None:
    for key, texts in wanted.items():
        held = values(app, key)
        held = [held] if isinstance(held, str) else held
        for text in texts:
            assert text.removeprefix("× ") in held, (key, text, held)


def opened(app: AppTest) -> str:
    """The name of the page that is shown."""
    return next(name for name, lesson in LESSONS.items() if lesson.title == app.title[0].value)


def pages_of_app() -> list[str]:
    """The url paths in app.py, in its order."""
    calls = [node for node in ast.walk(ast.parse((ROOT / "app.py").read_text())) if isinstance(node, ast.Call)]
    named = [(call.lineno, key.value.value) for call in calls for key in call.keywords if key.arg == "url_path"]
    return [name for _, name in sorted(named)]


def test_every_page_has_its_text_in_the_order_of_the_sidebar():
    assert sorted(LESSONS) == sorted(pages_of_app())
    without = [name for name in pages_of_app() if name not in WITHOUT_ACTIONS]
    assert [name for name in LESSONS if name not in WITHOUT_ACTIONS] == without
    followed, name = ["start"], "start"
    while (name := LESSONS[name].next) and name not in followed:
        followed.append(name)
    assert followed == [*without, "glossary", "tour"]


@pytest.mark.parametrize("name", LESSONS)
def test_text_is_complete(name):
    lesson = LESSONS[name]
    assert lesson.title and lesson.subtitle.endswith((".", ")."))
    if name not in WITHOUT_ACTIONS:
        assert lesson.learn.endswith(".") and lesson.reason.endswith(".") and len(lesson.actions) == 3
        assert 3 <= len(lesson.terms) <= 20
    assert not set(lesson.terms) - glossary.entries().keys()
    for action in lesson.actions:
        assert action.text.endswith((".", ")")) and action.page in LESSONS and action.values


@pytest.mark.parametrize("name", [name for name in LESSONS if name not in WITHOUT_ACTIONS])
def test_actions_set_the_controls_from_any_state_and_twice_in_a_row(name, own_folders):
    app, actions = check(open_page(name)), LESSONS[name].actions
    assert any(f"Next: {LESSONS[LESSONS[name].next].title}" in link.proto.label for link in app.get("page_link"))
    for number in (1, 1, 3, 2, 1):
        action = actions[number - 1]
        if opened(app) != name:
            run(app.switch_page(f"pages/{name}.py"))
        app.button(key=f"try_{number}").click()
        run(app)
        assert opened(app) == action.page and not app.error
        check_values(app, action.values)
        run(app)  # nothing is undone by the next run
        check_values(app, action.values)


def test_an_action_leaves_the_other_controls_as_they_are():
    app = check(open_page("forward", seed="21", particles="500"))
    app.button(key="try_1").click()
    run(app)
    assert app.number_input(key="seed").value == 21 and app.select_slider(key="particles").value == 500


def test_a_choice_named_by_its_key_stays_in_the_link():
    app = check(open_page("forward", data="moons"))
    assert app.query_params["data"] in ("Two moons", ["Two moons"])


def test_suggestions_are_hidden_in_presenter_mode():
    app = check(open_page("forward", present="1"))
    assert not [button for button in app.button if (button.key or "").startswith("try_")]


def test_heading_needs_no_torch():
    """What is imported before the first heading loads neither torch nor the charts."""
    code = "import sys, pages.ui.page; print([m for m in ('torch', 'altair', 'scipy', 'skimage') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "[]"


# ---- Tour -------------------------------------------------------------------------


def test_the_tour_that_ships_carries_a_lecture():
    shipped = tour.shipped(tour_bar.pages())
    assert 7 <= len(shipped.stops) <= 10
    minutes = [int(stop.notes.split("About ")[1].split(" minute")[0]) for stop in shipped.stops]
    assert 18 <= sum(minutes) <= 22


@pytest.mark.parametrize("number", range(1, len(tour.shipped(tour_bar.pages()).stops) + 1))
def test_every_stop_sets_its_controls(number, own_folders):
    stop = tour.shipped(tour_bar.pages()).stops[number - 1]
    query = {key: texts[0] for key, texts in stop.values.items()}
    app = check(open_page(stop.page, **query, tour=str(number), present="1"))
    assert opened(app) == stop.page and not app.error
    check_values(app, stop.values)
    assert app.button(key="tour_again").label.startswith(f"{number} / ")


def test_the_tour_goes_on_and_back_whatever_was_changed(own_folders):
    """Stop 3 and stop 4 are one page with other controls; a control that a stop does not name has its default."""
    stops = tour.shipped(tour_bar.pages()).stops
    assert stops[2].page == stops[3].page == "reverse"
    app = check(open_page("tour"))
    app.button(key="tour_start_3").click()
    run(app)
    check_values(app, stops[2].values)
    app.number_input(key="seed").set_value(99)
    app.selectbox(key="sampler").set_value("ddim")
    run(app)
    for key, number in (("tour_next", 4), ("tour_next", 5), ("tour_previous", 4), ("tour_previous", 3), ("tour_again", 3)):
        app.button(key=key).click()
        run(app)
        stop = stops[number - 1]
        assert opened(app) == stop.page and app.query_params["tour"] in (str(number), [str(number)])
        check_values(app, stop.values)
        if stop.page == "reverse":
            assert app.number_input(key="seed").value == 7
    app.button(key="tour_end").click()
    run(app)
    assert opened(app) == "tour" and "tour" not in app.query_params and app.button(key="tour_start")


@pytest.mark.parametrize("position", ["0", "99", "x", "-1", "1-zz", ""])
def test_a_position_that_makes_no_sense_shows_no_tour(position):
    app = check(open_page("forward", tour=position, present="1"))
    assert not [button for button in app.button if (button.key or "").startswith("tour")]


def test_an_own_tour_of_another_session_is_said_to_be_missing():
    app = check(open_page("forward", tour="2-0123abcd", present="1"))
    assert any("Load its file again" in text.value for text in app.markdown)
    app.button(key="tour_end").click()
    assert opened(run(app)) == "tour"


OWN = "\ufeff# One\nlink: /forward?T=12&seed=3\nSay *this*.\n\n# Two\nlink: /\n"


def test_an_own_tour_is_read_and_runs():
    own = tour.own(OWN.encode(), tour_bar.pages())
    assert [(stop.title, stop.page, stop.notes) for stop in own.stops] == [("One", "forward", "Say *this*."), ("Two", "start", "")]
    app = check(open_page("tour"))
    app.session_state["own_tour"] = own
    run(app)
    assert own.position(2) == f"2-{own.name}"
    app.button(key="tour_start").click()
    run(app)
    assert app.number_input(key="T").value == 12 and app.number_input(key="seed").value == 3
    app.button(key="tour_next").click()
    assert opened(run(app)) == "start"
    assert tour_bar.notes("Say *this*.\n# now") == "Say \\*this\\*\\.  \n\\# now"


@pytest.mark.parametrize(
    "text, words",
    [
        (b"", "Line 1"),
        (b"hello", "Line 1: a tour begins with a title"),
        (b"# One\n\nlink: /forward", "Line 2: a line such as"),
        (b"# One\nlink: /forward\n# Two", "Line 4: a line such as"),
        (b"# One\nlink: https://example.org/forward", "Line 2: the link must lead to a page of this program"),
        (b"# One\nlink: //example.org/forward", "Line 2: the link must lead"),
        (b"# One\nlink: /\\example.org", "Line 2: the link must lead"),
        (b"# One\nlink: javascript:alert(1)", "Line 2: the link must lead"),
        (b"# One\nlink: /nowhere?T=5", "there is no page"),
        (b"# One\nlink: /forward?tour=2", "is set by the tour itself"),
        (b"# One\nlink: http://[::1", "Line 2"),
        (b"# " + b"x" * 200 + b"\nlink: /", "Line 1: the title has 200 characters"),
        (b"# One\nlink: /?a=" + b"x" * 3000, "Line 2: the link has"),
        (b"# One\n\xff\nlink: /", "Line 2: the file is not UTF-8 text"),
        (b"x" * 100_000, "100,000 bytes"),
        (b"# One\nlink: /\n" * 61, "Line 121: a tour has at most 60 stops"),
    ],
)
def test_a_bad_tour_is_answered_in_one_sentence(text, words):
    with pytest.raises(tour.TourError, match=r"\.$") as error:
        tour.own(text, tour_bar.pages())
    assert words in str(error.value) and "\n" not in str(error.value)


def test_links_are_read_as_the_address_is():
    assert session.parameters("/schedule?schedules=Custom, drawn&schedules=Cosine&T=8") == {
        "schedules": ["Custom, drawn", "Cosine"],
        "T": ["8"],
    }
