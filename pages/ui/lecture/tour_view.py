"""The page of the guided tour: start, load and download, and the stops with their notes."""

from __future__ import annotations

import streamlit as st

from pages.ui import session
from pages.ui.lecture import tour, tour_bar
from pages.ui.lecture.tour import Tour, TourError

FORMAT = """A tour is a UTF-8 text file with one block for each stop: a title, a link and notes for the speaker.

```
# Few steps are not enough
link: /reverse?model=exact&data=swiss_roll&T=5
Any number of lines for the speaker.

# The next stop
link: /bound?bits_of=swiss_roll_mlp
```

A link begins with the name of a page and names the controls to be set, as the address line shows them; every other control has its
default. Copy a link from the address line and remove the part before the first “/” that follows the host.
"""


def buttons(running: Tour) -> None:
    """Start the tour; load another one, or download this one."""
    with st.container(horizontal=True, vertical_alignment="center", key="tour_buttons"):
        if st.button("Start the tour", type="primary", key="tour_start"):
            tour_bar.start(running, 1, "tour")
        with st.popover("Load a tour", key="tour_load"):
            _load()
        st.download_button("Download this tour", running.text, "tour.txt", "text/plain", on_click="ignore", type="tertiary")
        if running.name:
            st.button("Back to the standard tour", on_click=tour_bar.choose, args=(None,), type="tertiary", key="tour_standard")
    st.caption(
        "During the tour, ← and → (or the keys of a presenter's remote control) go to the previous and the next stop. After a click into a "
        "picture, ← and → step through its frames; Esc returns them to the tour. The link keeps the position, so that a reload stays there."
    )


def _load() -> None:
    st.markdown(FORMAT)
    file = st.file_uploader("Tour file", type=["txt", "md"], key="tour_file", max_upload_size=1)
    if file is None or session.TOUR_FILE.get() == file.file_id:
        if problem := session.TOUR_ERROR.get():
            st.error(session.plain(problem))
        return
    session.TOUR_FILE.set(file.file_id)
    session.TOUR_ERROR.set("")
    try:
        tour_bar.choose(tour.own(file.getvalue(), tour_bar.pages()))
    except TourError as error:
        session.TOUR_ERROR.set(f"{file.name}: {error}")
    st.rerun()  # the stops above this popover are those of the new tour


def stops(running: Tour) -> None:
    """Every stop: its number and title, its link, a button that starts the tour there, and its notes."""
    for number, stop in enumerate(running.stops, 1):
        with st.container(key=f"stop_{number}", border=True, gap="xsmall"):
            with st.container(horizontal=True, vertical_alignment="center", key=f"stop_head_{number}"):
                st.markdown(f"**{number}. {tour_bar.plain(stop.title)}**", width="content")
                st.caption(tour_bar.plain(stop.link), width="content")
                if st.button("Start here", key=f"tour_start_{number}", type="tertiary"):
                    tour_bar.start(running, number, "tour")
            if stop.notes:
                st.markdown(tour_bar.notes(stop.notes))
