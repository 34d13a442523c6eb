"""The messages that the server sends to the lecturer's browser, as viewers get them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping

from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from pages.ui.components import lecture_bar, private_cookie

# what only the lecturer's browser may get: it would answer (timers), or belongs to its connection
PRIVATE = frozenset({
    "auto_rerun", "stop_auto_rerun", "session_status_changed", "session_event", "git_info_changed", "file_urls_response", "auth_redirect",
    "parent_message", "heartbeat_ack", "backend_operation_response",
})  # fmt: skip
KEPT_BYTES = 64_000_000  # of messages that the lecturer's browser has cached, and a viewer's may lack


class Stream:
    """The lecturer's page: what was sent since its last full run. Of one thread, the server's event loop."""

    def __init__(self) -> None:
        self._messages: list[ForwardMsg] = []
        self._cached: dict[str, ForwardMsg] = {}  # by hash, the last used last

    def add(self, message: ForwardMsg, widgets: Mapping[str, WidgetState]) -> ForwardMsg | None:
        """Take up a message for the lecturer; return what a viewer gets who has nothing in its cache, or None.

        ``widgets``: what the lecturer's browser last reported of each control, by its id.
        """
        kind = message.WhichOneof("type")
        if kind in PRIVATE:
            return None
        if kind == "new_session" and not message.metadata.run.fragment_ids:
            self._messages = []
        message = with_control(for_viewers(self._complete(message)), widgets)
        self._messages.append(message)
        return message

    def replay(self) -> list[ForwardMsg]:
        """Everything that a viewer who comes now must get. Elements that were replaced since are left out."""
        last = {tuple(m.metadata.delta_path): i for i, m in enumerate(self._messages) if _is_element(m)}
        self._messages = [m for i, m in enumerate(self._messages) if not _is_element(m) or last[tuple(m.metadata.delta_path)] == i]
        return list(self._messages)

    def _complete(self, message: ForwardMsg) -> ForwardMsg:
        """A message of its own in place of a reference to one that the lecturer's browser has cached."""
        if message.hash and message.metadata.cacheable and not message.HasField("ref_hash"):
            self._cached.pop(message.hash, None)
            self._cached[message.hash] = message
            while len(self._cached) > 1 and sum(m.ByteSize() for m in self._cached.values()) > KEPT_BYTES:
                del self._cached[next(iter(self._cached))]
        if message.HasField("ref_hash") and message.ref_hash in self._cached:
            found = ForwardMsg()
            found.CopyFrom(self._cached[message.ref_hash])
            found.metadata.CopyFrom(message.metadata)
            return found
        return message


def _is_element(message: ForwardMsg) -> bool:
    return message.WhichOneof("type") == "delta" and message.delta.WhichOneof("type") == "new_element"


def for_viewers(message: ForwardMsg) -> ForwardMsg:
    """The message with the bar that a viewer has, and nothing in the place of the component that has the lecturer's secret."""
    name = message.delta.new_element.bidi_component.component_name if _is_element(message) else ""
    if name not in (lecture_bar.NAME, private_cookie.NAME):
        return message
    own = ForwardMsg(metadata=message.metadata)
    if name == lecture_bar.NAME:
        own.delta.CopyFrom(message.delta)
        shown = own.delta.new_element.bidi_component
        shown.json = json.dumps(json.loads(shown.json) | {"role": "follower"})
    else:
        own.delta.new_element.empty.SetInParent()
    return _as_new(own)


def with_control(message: ForwardMsg, widgets: Mapping[str, WidgetState]) -> ForwardMsg:
    """The message with the control that it shows, if any, set as the lecturer has set it: Streamlit sends a control's first value only."""
    if not _is_element(message):
        return message
    kind = str(message.delta.new_element.WhichOneof("type"))
    control = getattr(message.delta.new_element, kind)
    state = widgets.get(getattr(control, "id", ""))
    if state is None or "set_value" not in control.DESCRIPTOR.fields_by_name:
        return message
    own = ForwardMsg()
    own.CopyFrom(message)
    _set_value(getattr(own.delta.new_element, kind), state)
    return _as_new(own)


def _as_new(message: ForwardMsg) -> ForwardMsg:
    """The changed message with a hash of its own: a browser ignores one whose hash it has seen in the same place."""
    message.hash = hashlib.blake2b(message.SerializeToString(), digest_size=16).hexdigest()
    message.metadata.cacheable = False
    return message


def _set_value(control: object, state: WidgetState) -> None:
    """Give a control the value that a browser reported."""
    fields = control.DESCRIPTOR.fields_by_name  # type: ignore[attr-defined]
    reported = getattr(state, str(state.WhichOneof("value")))
    values = list(reported.data) if hasattr(reported, "data") else [reported]
    names = ("raw_values", "raw_value", "value") if all(isinstance(value, str) for value in values) else ("value",)
    name = next((name for name in names if name in fields), None)
    if name is None:
        return
    if fields[name].is_repeated:
        del getattr(control, name)[:]
        getattr(control, name).extend(values)
    else:
        setattr(control, name, values[0])
    control.set_value = True  # type: ignore[attr-defined]
