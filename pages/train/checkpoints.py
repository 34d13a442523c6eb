"""Checkpoints: every trained model there is, and your own."""

import streamlit as st

from dpm_core import checkpoints
from dpm_core.checkpoints import CheckpointError
from pages.shared import checkpoint_cards, checkpoint_files, frame

COLUMNS = 3

frame.open_page("Checkpoints", "Every trained model that is at hand: those that came with the program, and those you have kept or brought.")

cards = []
for name, path in checkpoints.list_checkpoints().items():
    try:
        cards.append(checkpoint_cards.card(name, path))
    except OSError:
        continue  # deleted since it was listed
if (problem := st.session_state.get("checkpoint_error")) and problem[1] not in [card.path for card in cards]:
    st.error(st.session_state.pop("checkpoint_error")[2])  # its card has gone
cards.sort(key=lambda card: (not card.own, -card.ref.modified if card.own else 0))

with st.expander("Bring a model", expanded=not cards):
    turn = st.session_state.setdefault("upload_turn", 0)  # a new key empties the uploader
    files = st.file_uploader(checkpoint_files.WANTED, ["safetensors", "json", "zip"], accept_multiple_files=True, key=f"model_files_{turn}")
    if files:
        try:
            pair = checkpoint_files.read_upload(files)
            name = st.text_input("Name", pair.stem, max_chars=64, key=f"upload_name_{turn}")
            if st.button("Add it", type="primary", key="add"):
                checkpoints.save_upload(pair.tensors, pair.header, name)
                st.session_state["upload_turn"], st.session_state["added"] = turn + 1, name
                st.rerun()
        except (CheckpointError, OSError) as problem:
            st.error(str(problem))
if added := st.session_state.pop("added", None):
    st.success(f"{added} has been added.")

if not cards:
    st.info("There is no model yet: train one, or bring one.")
places = []
for start in range(0, len(cards), COLUMNS):
    for column, card in zip(st.columns(COLUMNS), cards[start : start + COLUMNS]):
        with column:
            places.append((checkpoint_cards.show(card), card))
with frame.working("Sampling …"):
    for place, card in places:  # last, one after another: the page is there before its pictures
        if not card.error:
            checkpoint_cards.fill(place, card)
