"""One lecturer's page, copied to the browsers of all who follow, without a run of any script for them.

Streamlit has no interface for this: ``write_forward_msg`` of a client of its runtime is replaced by a function that calls it.
``tests/browser/test_lecture.py`` holds that this works.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.runtime import Runtime
from streamlit.runtime.session_manager import SessionClient

from pages.ui.hall.stream import Stream
from pages.ui.session.streamlit_link import widget_states

WRITE = "write_forward_msg"
TAPPED = "dpm_tapped"  # attribute of a client whose messages this module sees


LARGE = 100_000  # bytes of a message that is packed once for all followers


@dataclass
class Follower:
    """The browser of a viewer. ``known``: hashes of the messages that it was sent and has cached as the lecturer's browser has."""

    client: SessionClient
    write: Callable[[ForwardMsg], None]
    known: set[str] = field(default_factory=set)

    def send(self, message: ForwardMsg, complete: ForwardMsg, packed: bytes = b"") -> None:
        """Send a message for the lecturer, or the complete one in place of a reference that means nothing here.

        ``packed``: the complete one as bytes, so that a large one is packed once for everybody.
        """
        cached = message.HasField("ref_hash") and message.ref_hash in self.known
        if complete.hash:
            self.known.add(complete.hash)
        queue = getattr(self.client, "_send_queue", None)  # of the client's own write_forward_msg, after packing
        if cached or not packed or queue is None or queue.full():  # a browser that does not keep up is hung up on, and joins again
            self.write(message if cached else complete)
        else:
            queue.put_nowait(packed)


class Broadcast:
    """The lecturer and those who follow."""

    def __init__(self) -> None:
        self._stream, self._lecturer = Stream(), ""
        self._followers: dict[str, Follower] = {}  # by session

    @property
    def live(self) -> bool:
        """Whether there is a lecturer's page to follow."""
        return bool(self._lecturer) and Runtime.instance().get_client(self._lecturer) is not None

    @property
    def followers(self) -> int:
        """The number of browsers that follow."""
        return len(self._followers)

    def lead(self, session: str) -> bool:
        """Copy what this session's browser gets from now on; return whether that is new, so that a run is needed to copy all of it."""
        client = Runtime.instance().get_client(session)
        tapped = client is not None and hasattr(client, TAPPED)
        if client is None or (self._lecturer == session and tapped):
            return False
        self._lecturer = session  # of two pages of the lecturer, the one used last
        if tapped:
            return True
        write = client.write_forward_msg

        def write_and_copy(message: ForwardMsg) -> None:
            write(message)
            if self._lecturer == session:
                self._copy(message)

        setattr(client, TAPPED, True)
        setattr(client, WRITE, write_and_copy)
        return True

    def follow(self, session: str) -> None:
        """Show this session's browser the lecturer's page once the present run has ended."""
        client = Runtime.instance().get_client(session)
        if client is None or hasattr(client, TAPPED):
            return
        write = client.write_forward_msg

        def write_then_replay(message: ForwardMsg) -> None:
            write(message)
            if message.WhichOneof("type") == "script_finished":
                self._followers[session] = Follower(client, write)
                for earlier in self._stream.replay():
                    self._send(session, earlier, earlier)

        setattr(client, TAPPED, True)
        setattr(client, WRITE, write_then_replay)

    def _copy(self, message: ForwardMsg) -> None:
        """Send a message for the lecturer to everybody."""
        if (complete := self._stream.add(message, self._controls())) is not None:
            packed = complete.SerializeToString() if complete.ByteSize() > LARGE else b""
            for session in list(self._followers):
                self._send(session, message, complete, packed)

    def _send(self, session: str, message: ForwardMsg, complete: ForwardMsg, packed: bytes = b"") -> None:
        follower = self._followers[session]
        try:
            if Runtime.instance().get_client(session) is not follower.client:
                raise ConnectionError
            follower.send(message, _for_session(complete, session), packed)
        except Exception:  # the browser is gone; when it comes back it is a new client, whose run joins again
            self._followers.pop(session, None)

    def _controls(self) -> dict[str, WidgetState]:
        """What the lecturer's browser last reported of each control."""
        with contextlib.suppress(Exception):  # a run that changes them at this moment
            return {state.id: state for state in widget_states(self._lecturer) if state.WhichOneof("value")}
        return {}


@cache
def broadcast() -> Broadcast:
    """The one of this server."""
    return Broadcast()


def _for_session(message: ForwardMsg, session: str) -> ForwardMsg:
    """The message with the viewer's own session in place of the lecturer's, which must not be known to it."""
    if message.WhichOneof("type") != "new_session":
        return message
    own = ForwardMsg()
    own.CopyFrom(message)
    own.new_session.initialize.session_id = session
    return own
