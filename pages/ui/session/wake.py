"""Running a part of a page again from another thread, when something has happened that the browser cannot know.

Streamlit has no interface for this: a fragment is run by the browser's timer. ``tests/browser/test_train.py`` holds that this works.
"""

from __future__ import annotations

import asyncio
import enum
from dataclasses import dataclass

from streamlit.runtime import Runtime
from streamlit.runtime.scriptrunner import RerunData, get_script_run_ctx
from streamlit.runtime.scriptrunner_utils.script_run_context import ThreadState

ANSWERED_WITHIN = 5.0  # seconds


class Woken(enum.Enum):
    """Whether a fragment is run again: yes; not now, as its session is at work; or never again, as it is gone."""

    YES, BUSY, GONE = enum.auto(), enum.auto(), enum.auto()


@dataclass(frozen=True)
class Fragment:
    """A fragment of a page in one browser session."""

    session: str
    id: str

    def run_again(self) -> Woken:
        """Run it again now, unless its session is at work: what a click has asked for comes first. From any thread but the server's own."""
        if not Runtime.exists():
            return Woken.GONE
        loop = Runtime.instance()._get_async_objs().eventloop
        if loop.is_closed():
            return Woken.GONE
        return asyncio.run_coroutine_threadsafe(self._run_again(), loop).result(ANSWERED_WITHIN)

    async def _run_again(self) -> Woken:
        """On the thread of the server, where all requests of browsers arrive: none can come between the look and the start."""
        session = Runtime.instance().get_app_session(self.session)
        if session is None or not session.has_fragment(self.id):
            return Woken.GONE
        if session._scriptrunner is not None:
            return Woken.BUSY
        last = session._client_state
        session._create_scriptrunner(
            RerunData(
                query_string=last.query_string,
                page_script_hash=last.page_script_hash,
                page_name=last.page_name,
                fragment_id_queue=[self.id],
                is_auto_rerun=True,
                context_info=last.context_info if last.HasField("context_info") else None,
            )
        )
        return Woken.YES


def this_fragment() -> Fragment | None:
    """The fragment that is being run; None outside of one, and in a test without a server."""
    context = get_script_run_ctx()
    if context is None or not isinstance(Runtime._instance, Runtime) or (id := ThreadState.get().fragment_id) is None:
        return None
    return Fragment(context.session_id, id)
