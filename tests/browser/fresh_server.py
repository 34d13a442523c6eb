"""``streamlit`` of a server that can become a fresh one again: on SIGUSR1 it forgets which pages there are, and every module of the app.

What makes the first visit special is in two places: Streamlit 1.67 takes the folder ``pages`` for its list of pages until
``st.navigation`` has run once in this process, and the page's file is then the first to import what it needs.
"""

from __future__ import annotations

import signal
import sys
from types import FrameType

from streamlit.runtime.pages_manager import PagesManager
from streamlit.web.cli import main

FORGOTTEN = "All pages are forgotten."


def forget(number: int = 0, frame: FrameType | None = None) -> None:
    PagesManager.uses_pages_directory = None
    for name in list(sys.modules):  # a copy: a page that still computes may import meanwhile, which would end this server by an error here
        if name.partition(".")[0] in ("pages", "dpm_core"):
            sys.modules.pop(name, None)
    print(FORGOTTEN, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, forget)
    main()
