"""Start: what this program shows, with an animation."""

import streamlit as st

from pages.ui import page

page.open_page("start")

from dpm_core import checkpoints
from pages.ui import cache, session
from pages.ui.components.player import player
from pages.ui.components.working import working
from pages.ui.start import hero, story

CARDS = {
    "schedule": ("Choose a schedule", "The noise schedule βₜ sets how fast the signal is removed. Compare schedules, or draw your own."),
    "forward": ("Watch data dissolve", "Any shape becomes noise in T small steps, or in a single jump with the same distribution."),
    "reverse": ("Watch data return", "A learned network beside the exact answer, from the same noise. Click a particle to see its step."),
    "train": ("Train a model live", "Digits, a swiss roll or heartbeats: watch the samples improve, even step by step."),
    "inpaint": ("Fill a hole", "Mark a part of a photograph and fill it with the picture's own patches, without any training."),
}

found = checkpoints.list_checkpoints()
with working("Sampling …"), page.stop_on_error(checkpoints.CheckpointError):
    if "swiss_roll_mlp" not in found:
        st.error("The shipped checkpoints are missing. `make checkpoints` trains them again.")
        st.stop()
    ref = cache.ModelRef.of(found["swiss_roll_mlp"])
    payload = hero.payload(ref)
picture, cards = st.columns([0.56, 0.44], gap="large", vertical_alignment="center")
with picture:
    player(payload, key="hero")
for name, (title, text) in CARDS.items():
    with cards.container(border=True):
        st.page_link(f"pages/{name}.py", label=f"**{title}**", icon=":material/arrow_forward:", icon_position="right")
        st.caption(text)

st.subheader("The idea in six pictures", anchor=False)
st.html(story.html(ref, session.is_dark()))
