"""What every page has: title, subtitle, suggestions and the link to the next page; presenter mode; hidden controls.

This module is imported before the first heading is on the screen, so it loads neither torch nor anything that does until then.
"""

from __future__ import annotations

import gc
import runpy
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

import streamlit as st
from streamlit.runtime.scriptrunner import StopException

from dpm_core.config import SettingError
from dpm_core.figures.palette import GROUND
from dpm_core.files import in_words
from pages.ui import session
from pages.ui.lecture import course, frame, tour_bar
from pages.ui.session.idle import forget_those_who_left

_STYLE = """
<style>
:root { --dpm-ground: light-dark(%s, %s); --dpm-line: color-mix(in srgb, currentColor 14%%, transparent); }
[data-testid="stSidebarNav"]::before { content: "◉ DPM Explorer"; display: block; font-weight: 650; padding: 0.2rem 0 0.8rem 0.6rem; }
[data-testid="stMainBlockContainer"] { padding: 2.6rem clamp(1rem, 2.6vw, 3rem) 3rem; max-width: 1560px; }
[data-testid="stSidebarHeader"] { height: 2.2rem; }
@media (min-width: 641px) {  /* the names of twenty-four pages stand side by side, which leaves room for the controls */
  [data-testid="stSidebarNavItems"] > div { display: flex; flex-wrap: wrap; margin-bottom: 0.15rem; padding-bottom: 0; }
  [data-testid="stNavSectionHeader"] { flex: 0 0 100%%; font-size: 0.8rem; opacity: 0.75; padding: 0; margin: 0; }
  [data-testid="stSidebarNavLink"] { padding: 0 0.36rem; margin: 0; height: 1.5rem; }
  [data-testid="stSidebarNavLink"] p { font-size: 0.84rem; }
}
[data-testid="stMultiSelectTagsContainer"] [data-tag] { background: transparent; color: inherit; box-shadow: inset 0 0 0 1px currentColor; }
[data-testid="stElementContainer"][data-stale="true"] { opacity: 1; transition: none; }  /* it stays until it is replaced */
.st-key-train_buttons { display: grid; grid-template-columns: 1fr 1fr; gap: 0.4rem; }
.st-key-train_buttons button { padding-inline: 0.65rem; }
[data-testid="stMarkdownContainer"]:has(> table) { overflow-x: auto; }
.st-key-methods table a { text-decoration: none; }
[class*="st-key-button_place_"] > :not(:first-child) { display: none; }
@media (max-width: 640px) {  /* on a phone the buttons of a run come before its stage */
  .st-key-train_place [data-testid="stColumn"]:last-child,
  .st-key-train_place [data-testid="stColumn"]:last-child > [data-testid="stVerticalBlock"],
  .st-key-train_place [data-testid="stColumn"]:last-child > [data-testid="stVerticalBlock"] > [data-testid="stLayoutWrapper"],
  .st-key-train_place [data-testid="stColumn"]:last-child > * > * > [data-testid="stVerticalBlock"] { display: contents; }
  .st-key-train_place [data-testid="stLayoutWrapper"]:has(> .st-key-train_buttons) { order: -1; }
  .st-key-train_buttons { grid-template-columns: repeat(4, 1fr); }
}
[data-testid="stBaseButton-primary"], [data-testid="stBaseButton-primary"]:hover { color: var(--dpm-ground); }
%s
</style>
"""
_PRESENT = """
[data-testid="stSidebar"], [data-testid="stExpandSidebarButton"] { display: none; }
html { font-size: 125%; }
[data-testid="stMainBlockContainer"] { max-width: none; padding-top: 4.2rem; }
"""


APP = Path(__file__).resolve().parents[2] / "app.py"
_run = threading.local()  # Streamlit runs a page in a thread of its own
_importing = threading.Lock()


def run(navigation: Any) -> None:
    """Run the page that ``st.navigation`` chose, then say which page follows it. Only app.py calls this."""
    _run.by_app = True
    forget_those_who_left()
    try:
        with suppress(StopException), stop_on_error(SettingError):  # a page that ends early still leads on
            navigation.run()
        frame.close(course.lesson(navigation.url_path or "start"))
    finally:
        _run.by_app = False


@cache
def _spare_the_collector(modules: int) -> None:
    """Exclude the objects of imported modules from every later garbage collection; once per number of modules.

    Streamlit collects after each run of a page or fragment. With torch imported that is half a million objects:
    215 ms each time, in which nothing else runs, no training step either.
    """
    gc.freeze()


def open_page(name: str, subtitle: str = "", computes: bool = True) -> None:
    """Title, subtitle and suggestions of the page ``name`` (see lecture/course.toml), and the styles that the link asks for.

    A page without an entry in that file is titled by its name and has the ``subtitle`` given here. ``computes`` is False for pages
    of text alone, which need no torch.

    The first call of every page; imports that load torch come after it, so that the heading does not wait for them.

    When the first visit to a fresh server is to /forward, Streamlit 1.67 runs pages/forward.py by itself, as app.py has not
    named the pages yet. The page then hands over to app.py, which runs it again in its place.
    """
    if not getattr(_run, "by_app", False):
        runpy.run_path(str(APP))
        st.stop()
    lesson, tour_place = course.lesson(name, subtitle), tour_bar.place()
    rules = [frame.STYLE, *(f".st-key-{control} {{ display: none; }}" for control in session.hidden_controls())]
    if session.presenting():
        rules.append(_PRESENT)
    if tour_place is not None:
        rules.append(tour_bar.STYLE)
    st.html(_STYLE % (GROUND.light, GROUND.dark, "\n".join(rules)))  # by CSS, as a change of the theme does not run the page again
    if tour_place is not None:
        tour_bar.show(tour_place, name)
    frame.open_lesson(lesson)
    if computes:
        _import_kinds()
        _use_one_thread()
    _spare_the_collector(len(sys.modules))


def _import_kinds() -> None:
    """Import the kinds of data, one page at a time. Their package imports its own modules: of two threads that begin at different
    ones, each would find the package half imported by the other.
    """
    with _importing:
        import pages.ui.kinds  # noqa: F401


def _use_one_thread() -> None:
    """One thread for the work in the plane, which is too small to share: a second thread gains a tenth on an idle machine and loses
    twentyfold when the browser wants its core. The number holds for the thread that sets it, and every run of a page is a new one.
    """
    import torch

    torch.set_num_threads(1)


@contextmanager
def stop_on_error(*expected: type[Exception]) -> Iterator[None]:
    """Show an expected error as one sentence and end the page."""
    try:
        yield
    except expected as error:
        st.error(session.plain(in_words(error)))
        st.stop()
