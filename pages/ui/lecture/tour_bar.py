"""A running tour: the bar of presenter mode, its keyboard, and where the tour stands in the link and in the session."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple, NoReturn

import streamlit as st

from pages.ui import session
from pages.ui.lecture import course, tour
from pages.ui.lecture.tour import Tour

STYLE = """
.st-key-tour_bar {
  position: fixed; inset: auto 0 0 0; z-index: 90; gap: 0.4rem 0.9rem; padding: 0.3rem clamp(1rem, 2.6vw, 3rem);
  background: var(--dpm-ground); border-top: 1px solid var(--dpm-line);
  font-variant-numeric: tabular-nums;
}
@media (max-width: 640px) {  /* a phone keeps the timeline of the player at its foot */
  .st-key-tour_bar { position: static; inset: auto; border: 0; background: none; padding: 0; gap: 0.6rem; flex-wrap: nowrap; }
  .st-key-tour_previous p, .st-key-tour_next p, .st-key-tour_end { display: none; }
  .st-key-tour_again { flex: 1 1 0; min-width: 0; }
  .st-key-tour_again p { white-space: normal; text-align: left; font-size: 0.875rem; }
}
.st-key-tour_keys { position: absolute; width: 0; height: 0; overflow: hidden; }
[data-testid="stMainBlockContainer"] { padding-bottom: 6rem; }
"""
POSITION = re.compile(r"(\d{1,2})(?:-([0-9a-f]{8}))?")  # the value of ?tour=

_keys = st.components.v2.component(
    "dpm_tour_keys", html="<span></span>\n", js=Path(__file__).with_name("tour_keys.js").read_text(encoding="utf-8")
)


class Place(NamedTuple):
    """Where a running tour stands: stop ``number``, from 1; ``tour`` is None where its file was never loaded here."""

    number: int
    tour: Tour | None


def pages() -> tuple[str, ...]:
    """The names of the pages that a tour may lead to."""
    return tuple(course.lessons())


def chosen() -> Tour:
    """The lecturer's own tour, if a file was loaded, else the one that ships."""
    return session.TOUR.get(Tour) or tour.shipped(pages())


def choose(own: Tour | None) -> None:
    """Use a tour read from a file from now on; None for the one that ships."""
    session.TOUR.set(own)


def place() -> Place | None:
    """Where the tour of the link stands; None when there is none, or when the link makes no sense."""
    match = POSITION.fullmatch(session.asked_in_link("tour") or "")
    if match is None or not session.presenting():
        return None
    number, name = int(match[1]), match[2]
    found = tour.shipped(pages()) if name is None else chosen()
    if name is not None and found.name != name:
        return Place(number, None)
    return Place(number, found) if 1 <= number <= len(found.stops) else None


def start(running: Tour, number: int, shown: str) -> NoReturn:
    """Go to a stop in presenter mode. ``shown``: the page now."""
    stop = running.stops[number - 1]
    session.open_link(stop.page, {**stop.values, "tour": [running.position(number)], "present": ["1"]}, shown)


def end(shown: str) -> NoReturn:
    """Leave the tour and presenter mode."""
    session.PRESENTING.set(False)
    session.open_link("tour", {}, shown)


def show(here: Place, shown: str) -> None:
    """The bar at the foot of the page ``shown``. It goes to another stop before anything of this page is computed."""
    number, running = here
    with st.container(horizontal=True, vertical_alignment="center", key="tour_bar"):
        if running is None:
            st.markdown("This tour was loaded in another session. Load its file again on the page Guided tour.", width="content")
            if st.button("End tour", type="tertiary", key="tour_end"):
                end(shown)
            return
        stop, last = running.stops[number - 1], len(running.stops)
        move = _keys(key="tour_keys", on_move_change=lambda: None).move or 0
        move -= st.button("Previous", key="tour_previous", type="tertiary", icon=":material/arrow_back:", disabled=number == 1)
        again = st.button(
            f"{number} / {last} · {plain(stop.title)}", key="tour_again", type="tertiary", help="Set this stop's controls again."
        )
        move += st.button(
            "Next", key="tour_next", type="tertiary", icon=":material/arrow_forward:", icon_position="right", disabled=number == last
        )
        with st.popover("Notes", type="tertiary", key="tour_notes", disabled=not stop.notes):
            st.markdown(notes(stop.notes))
        ended = st.button("End tour", type="tertiary", key="tour_end")
    if ended:
        end(shown)
    target = number + (move if move in (-1, 1) else 0)  # it comes from the browser
    if again or (target != number and 1 <= target <= last):
        start(running, target, shown)


def notes(text: str) -> str:
    """Notes as Markdown that shows them as they were written, line by line."""
    return "  \n".join(plain(line) for line in text.splitlines())


def plain(text: str) -> str:
    """Text whose signs mean nothing to Markdown."""
    return re.sub(r"([\\`*_{}\[\]<>()#+\-.!|$~:])", r"\\\1", text)
