"""Checkpoints: every trained model."""

import streamlit as st

from pages.ui import page

page.open_page("checkpoints")

from pages.ui.checkpoints import cards, upload
from pages.ui.components.working import working

COLUMNS = 3

shown = cards.all_cards()
cards.show_error_of_missing(shown)
upload.form(expanded=not shown)
if not shown:
    st.info("There are no models yet. Train one on the Train page, or upload one.")
places = []
for start in range(0, len(shown), COLUMNS):
    for column, card in zip(st.columns(COLUMNS), shown[start : start + COLUMNS]):
        with column:
            places.append((cards.show(card), card))
with working("Sampling …"):
    for place, card in places:  # the page is complete before its pictures, which come one after the other
        if not card.error:
            cards.fill(place, card)
