"""Start: what this is, already playing."""

import streamlit as st

from dpm_core import checkpoints
from pages.ui import cache, page
from pages.ui.components.player import player
from pages.ui.lecture import story

CARDS = {
    "schedule": ("Choose a schedule", "β decides how fast the signal is lost. Lay schedules over each other, or draw your own."),
    "forward": ("Watch it dissolve", "Any shape becomes noise in T small steps, or in a single jump with the same law."),
    "reverse": (
        "Watch it come back",
        "A learned network beside the exact answer, from the same noise. Click a particle to see where it came from.",
    ),
    "train": (
        "Train one live",
        "Digits, a swiss roll or heartbeats, from noise to shape before your eyes, one step at a time if you like.",
    ),
    "inpaint": (
        "Fill a hole",
        "Paint over a part of a photograph of yours and see it filled from its own patches, with nothing to train.",
    ),
}

page.open_page(
    "DPM Explorer",
    "A diffusion probabilistic model destroys structure in data slowly, by known small steps, and learns to take every step back. "
    "Here you can watch each part of that happen, change it, and compare it with the exact answer "
    "(Sohl-Dickstein, Weiss, Maheswaranathan and Ganguli, 2015).",
)

found = checkpoints.list_checkpoints()
with page.working("Sampling …"):
    try:
        ref = cache.ModelRef.of(found["swiss_roll_mlp"])
        payload = cache.hero(ref)
    except KeyError:
        st.error("The shipped checkpoints are missing; `make checkpoints` trains them again.")
        st.stop()
    except checkpoints.CheckpointError as error:
        st.error(str(error))
        st.stop()
player(payload, key="hero")

for column, (name, (title, text)) in zip(st.columns(len(CARDS)), CARDS.items()):
    with column.container(border=True, height="stretch"):
        st.page_link(f"pages/{name}.py", label=f"**{title}**", icon=":material/arrow_forward:", icon_position="right")
        st.caption(text)

st.subheader("The idea in six pictures", anchor=False)
st.html(story.html(ref, st.context.theme.type == "dark"))
