"""Start: what this is, already playing."""

import streamlit as st

from dpm_core import checkpoint
from pages.shared import cached, frame
from pages.shared.player import player

CARDS = {
    "schedule": ("Choose a schedule", "β decides how fast the signal is lost. Lay schedules over each other, or draw your own."),
    "forward": ("Watch it dissolve", "Any shape becomes noise in T small steps, or in a single jump with the same law."),
    "reverse": ("Watch it come back", "A learned network beside the exact answer, from the same noise. Click a particle to ask where it came from."),
}

frame.open_page(
    "DPM Explorer",
    "A diffusion probabilistic model destroys structure in data slowly, by known small steps, and learns to take every step back. "
    "Here you can watch each part of that happen, change it, and compare it with the exact answer "
    "(Sohl-Dickstein, Weiss, Maheswaranathan and Ganguli, 2015).",
)
frame.device_line()

found = checkpoint.list_checkpoints()
if "swiss_roll_mlp" in found:
    try:
        player(cached.hero(cached.ModelRef.of(found["swiss_roll_mlp"])), key="hero")
    except checkpoint.CheckpointError as error:
        st.error(str(error))
else:
    st.info("The shipped checkpoints are missing; run `make checkpoints` to train them again.")

for column, (name, (title, text)) in zip(st.columns(len(CARDS)), CARDS.items()):
    with column.container(border=True, height="stretch"):
        st.page_link(f"pages/understand/{name}.py", label=f"**{title}**", icon=":material/arrow_forward:", icon_position="right")
        st.caption(text)
