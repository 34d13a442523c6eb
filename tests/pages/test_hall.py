"""The copy of the lecturer's messages: what viewers get of each, and what they never get."""

from __future__ import annotations

import json

import pytest
from streamlit.proto.Element_pb2 import Element
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState

from pages.ui import session
from pages.ui.components import lecture_bar, private_cookie
from pages.ui.hall.broadcast import Follower
from pages.ui.hall.stream import Stream, with_control


def message(path=(0,), hash="", **element) -> ForwardMsg:
    found = ForwardMsg(hash=hash)
    found.metadata.delta_path.extend(path)
    found.metadata.cacheable = bool(hash)
    found.delta.new_element.CopyFrom(Element(**element))
    return found


def markdown(text, path=(0,), hash=""):
    return message(path, hash, markdown={"body": text})


def beginning(*fragments):
    found = ForwardMsg()
    found.new_session.name = "app"
    found.metadata.run.fragment_ids.extend(fragments)
    return found


def bodies(messages):
    return [m.delta.new_element.markdown.body for m in messages if m.HasField("delta")]


def test_a_late_viewer_gets_the_last_run_with_what_fragments_have_replaced():
    stream = Stream()
    for part in (beginning(), markdown("old page"), beginning(), markdown("a"), markdown("b", (1,)), beginning("f"), markdown("c", (1,))):
        stream.add(part, {})
    assert bodies(stream.replay()) == ["a", "c"] and bodies(stream.replay()) == ["a", "c"]


@pytest.mark.parametrize("kind", ["auto_rerun", "stop_auto_rerun", "session_status_changed", "heartbeat_ack", "file_urls_response"])
def test_what_only_the_lecturer_gets(kind):
    private = ForwardMsg()
    field = ForwardMsg.DESCRIPTOR.fields_by_name[kind]
    setattr(private, kind, True) if field.message_type is None else getattr(private, kind).SetInParent()
    stream = Stream()
    assert stream.add(private, {}) is None and stream.replay() == []


def test_a_reference_to_the_lecturers_cache_is_resolved():
    """For one who came later; one who has seen the whole message gets the reference."""
    stream, seen = Stream(), {"early": [], "late": []}
    early, late = (Follower(None, seen[name].append) for name in seen)  # type: ignore[arg-type]
    whole = markdown("long", hash="h")
    early.send(whole, stream.add(whole, {}))
    reference = ForwardMsg(ref_hash="h")
    reference.metadata.delta_path.extend((3,))
    complete = stream.add(reference, {})
    assert complete.delta.new_element.markdown.body == "long" and list(complete.metadata.delta_path) == [3]
    for follower in (early, late, late):
        follower.send(reference, complete)
    assert [m.ref_hash for m in seen["early"]] == ["", "h"]
    assert [m.ref_hash for m in seen["late"]] == ["", "h"]  # the second time it is in the cache


def test_the_cache_of_whole_messages_is_bounded(monkeypatch):
    monkeypatch.setattr("pages.ui.hall.stream.KEPT_BYTES", 250)
    stream = Stream()
    for n in range(5):
        stream.add(markdown("x" * 100, hash=str(n)), {})
    gone, there = (stream.add(ForwardMsg(ref_hash=hash), {}) for hash in ("0", "4"))
    assert gone.HasField("ref_hash") and there.delta.new_element.markdown.body


@pytest.mark.parametrize(
    ("element", "state", "field", "value"),
    [
        ({"checkbox": {"id": "w"}}, {"bool_value": True}, "value", True),
        ({"number_input": {"id": "w", "value": 1.0}}, {"double_value": 7.0}, "value", 7.0),
        ({"slider": {"id": "w", "value": [1.0]}}, {"double_array_value": {"data": [2.0, 3.0]}}, "value", [2.0, 3.0]),
        ({"slider": {"id": "w"}}, {"string_array_value": {"data": ["0.01"]}}, "raw_value", ["0.01"]),
        ({"selectbox": {"id": "w"}}, {"string_value": "moons"}, "raw_value", "moons"),
        ({"text_input": {"id": "w"}}, {"string_value": "name"}, "value", "name"),
        ({"button_group": {"id": "w"}}, {"string_array_value": {"data": ["large"]}}, "raw_values", ["large"]),
    ],
)
def test_a_control_is_shown_as_the_lecturer_has_set_it(element, state, field, value):
    before = message(**element)
    copied = with_control(before, {"w": WidgetState(id="w", **state)})
    control = getattr(copied.delta.new_element, next(iter(element)))
    found = getattr(control, field)
    assert (list(found) if isinstance(value, list) else found) == value and control.set_value
    assert copied.hash not in ("", before.hash)  # a browser ignores what it has seen in the same place
    assert not getattr(before.delta.new_element, next(iter(element))).set_value  # the lecturer's own message is untouched
    assert with_control(before, {}) is before


def test_viewers_get_their_own_bar_and_no_secret():
    stream = Stream()
    bar = {"component_name": lecture_bar.NAME, "json": json.dumps({"role": "lecturer", "viewers": 3, "moment": "[]"})}
    secret = {"component_name": private_cookie.NAME, "json": json.dumps("SECRET"), "id": "x"}
    copied = [stream.add(message((i,), bidi_component=part), {}) for i, part in enumerate((bar, secret))]
    assert json.loads(copied[0].delta.new_element.bidi_component.json) == {"role": "follower", "viewers": 3, "moment": "[]"}
    assert copied[1].delta.new_element.WhichOneof("type") == "empty" and list(copied[1].metadata.delta_path) == [1]
    assert b"SECRET" not in b"".join(m.SerializeToString() for m in stream.replay())


def test_a_role_that_does_not_exist(monkeypatch):
    monkeypatch.setenv("DPM_ROLE", "king")
    with pytest.raises(ValueError, match="leave it empty"):
        session.in_lecture()
