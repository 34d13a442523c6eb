"""Sessions of browsers that have left are dropped when their time has run out, not when the next browser comes."""

from __future__ import annotations

import time
import weakref
from types import SimpleNamespace

from streamlit.runtime.memory_session_storage import MemorySessionStorage
from streamlit.runtime.websocket_session_manager import WebsocketSessionManager

from pages.ui.session import idle


class Session:
    def __init__(self, id):
        self.id = id


def test_sessions_are_dropped_when_their_time_has_run_out():
    """Streamlit's own storage and manager: those that may still come back stay."""
    storage = MemorySessionStorage(ttl_seconds=2)
    manager = WebsocketSessionManager(storage, None, None, None)
    server = SimpleNamespace(_session_mgr=manager)
    gone = []
    for id in "ab":
        session = Session(id)
        gone.append(weakref.ref(session))
        storage.save(SimpleNamespace(session=session))
    del session
    assert idle.expire(server) == 0 and all(ref() for ref in gone)
    time.sleep(2.1)
    assert all(ref() for ref in gone), "Streamlit itself keeps them"
    stays = Session("c")
    storage.save(SimpleNamespace(session=stays))
    idle.expire(server)
    assert not any(ref() for ref in gone) and storage.get("c").session is stays


def test_no_server_is_asked_in_a_test():
    idle._begin.cache_clear()
    idle.forget_those_who_left()
    assert idle._begin.cache_info().misses == 0
