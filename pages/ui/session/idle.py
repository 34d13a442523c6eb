"""What browsers that have left take with them: Streamlit keeps their sessions until the next one comes, however long that is."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import threading
import time
from contextlib import suppress
from functools import cache

from streamlit.runtime import Runtime

LOOK_EVERY = 5.0  # seconds


def forget_those_who_left() -> None:
    """See to it that the memory of sessions that have ended is given back to the system. Called in every run; the first one begins."""
    if isinstance(Runtime._instance, Runtime):  # not in a test without a server
        _begin()


@cache
def _begin() -> None:
    threading.Thread(target=_work, name="forget those who left", daemon=True).start()


def _work() -> None:
    """Look for sessions whose time has run out, as long as the server lives; an idle server is only asked for their number."""
    with suppress(RuntimeError):  # the server has ended
        while True:
            time.sleep(LOOK_EVERY)
            server = Runtime.instance()
            if asyncio.run_coroutine_threadsafe(_on_the_servers_thread(server), server._get_async_objs().eventloop).result():
                gc.collect()
                with suppress(OSError, AttributeError, TypeError):  # not every system has it
                    ctypes.CDLL(None).malloc_trim(0)


async def _on_the_servers_thread(server: Runtime) -> int:
    return expire(server)


def expire(server: Runtime) -> int:
    """Drop the sessions that can no longer be resumed; how many there were. On the server's own thread."""
    kept = getattr(getattr(server._session_mgr, "_session_storage", None), "_cache", None)
    return 0 if kept is None else len(kept.expire())
