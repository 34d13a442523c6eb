"""The head and the foot of a page: title, subtitle, what will be learned, actions to try, symbols, and the page to read next."""

from __future__ import annotations

import re
from functools import partial

import streamlit as st

from pages.ui import session
from pages.ui.lecture import course, glossary, tour_bar
from pages.ui.lecture.course import Action, Lesson

STYLE = """
.dpm-subtitle { opacity: 0.74; max-width: 60rem; margin: -0.9rem 0 0.2rem; }
.dpm-learn { opacity: 0.74; font-size: 0.875rem; margin: 0; }
.st-key-lesson { gap: 0.2rem 1.1rem; margin-top: -0.7rem; }
.st-key-lesson button { padding-inline: 0; min-height: 1.6rem; font-size: 0.875rem; }
.st-key-symbol_list { max-width: 40rem; }
.st-key-symbol_list [data-testid="stMarkdownContainer"] { font-size: 0.875rem; }
.st-key-symbol_list ul { list-style: none; padding: 0; margin: 0; }
.st-key-symbol_list li { font-size: inherit; margin: 0 0 0.4rem; padding: 0; }
.st-key-next a { padding-left: 0; }
.st-key-next { border-top: 1px solid var(--dpm-line); margin-top: 1.2rem; padding-top: 0.6rem; gap: 0 0.6rem; }
"""


def open_lesson(lesson: Lesson) -> None:
    """Title and subtitle; outside presenter mode also what will be learned, the actions and the symbols, in one line."""
    st.title(lesson.title, anchor=False)
    st.html(f'<p class="dpm-subtitle">{_subscripts(lesson.subtitle)}</p>')
    if session.presenting() or not lesson.learn:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="lesson"):
        st.html(f'<p class="dpm-learn">You will learn {_subscripts(lesson.learn)}</p>', width="content")
        with st.popover("Try this", type="tertiary", key=f"try_menu_{session.TRIED.get()}"), st.container(gap=None):
            for number, action in enumerate(lesson.actions, 1):
                _action(lesson.name, number, action)
        with st.popover("Symbols", type="tertiary", key="symbols"), st.container(key="symbol_list"):
            st.markdown(symbols(lesson.terms))
            st.page_link("pages/glossary.py", label="Glossary: every symbol and term", icon=":material/menu_book:")


def _subscripts(text: str) -> str:
    """The text as HTML, β_t with a subscript."""
    return re.sub(r"_(\w)\b", r"<sub>\1</sub>", text)


def _action(page: str, number: int, action: Action) -> None:
    """A button that sets controls of this page in place, or opens another page with its controls set."""
    here = action.page == page
    change = partial(_set, action) if here else None
    if st.button(action.text, key=f"try_{number}", type="tertiary", icon=":material/arrow_right:", on_click=change) and not here:
        session.open_link(action.page, action.values, page)


def _set(action: Action) -> None:
    """Do what an action says, and close the menu: under another key it is a new one."""
    session.TRIED.set(session.TRIED.get() + 1)
    session.set_controls(action.values)


@st.cache_data(show_spinner=False)
def symbols(terms: tuple[str, ...]) -> str:
    """Glossary entries as a Markdown list: term and one sentence."""
    found = [glossary.entries()[name] for name in terms]
    return "\n".join(f"- **{entry.term}**: {entry.sentence}" for entry in found)


def close(lesson: Lesson) -> None:
    """The link to the page that follows, with the reason to read it; nothing on a tour, which has its own order."""
    if not lesson.next or tour_bar.place() is not None:
        return
    with st.container(horizontal=True, vertical_alignment="center", key="next"):
        title = course.lesson(lesson.next).title
        st.page_link(f"pages/{lesson.next}.py", label=f"**Next: {title}**", icon=":material/arrow_forward:", icon_position="right")
        st.caption(lesson.reason[:1].upper() + lesson.reason[1:], width="content")
