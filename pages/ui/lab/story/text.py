"""The words of the Lab page: what each neighbour does, what all of them share with diffusion, and the sources."""

from __future__ import annotations

from typing import NamedTuple

import streamlit as st


class Neighbour(NamedTuple):
    """A page of the Lab: its file, its title, what it does, and its source."""

    page: str
    title: str
    text: str
    source: str


NEIGHBOURS = (
    Neighbour(
        "minimum_probability_flow", "Minimum probability flow",
        "Learning. A Markov process would carry the data distribution to the model. Choose the parameters for which probability leaves the "
        "data at the lowest initial rate. For continuous data this becomes score matching, by which diffusion models learn.",
        "Sohl-Dickstein, Battaglino and DeWeese, PRL 107, 220601, 2011",
    ),
    Neighbour(
        "hamiltonian_monte_carlo", "Hamiltonian Monte Carlo",
        "Sampling. A flow that preserves volume carries states through the density. Look-ahead HMC keeps the density stationary without "
        "detailed balance, and so goes back less often.",
        "Sohl-Dickstein, Mudigonda and DeWeese, ICML 2014",
    ),
    Neighbour(
        "random_networks", "Random networks",
        "Depth. From layer to layer the mean square and the correlation of signals approach fixed points. The number of layers that this "
        "takes "
        "bounds the depth that can be trained.",
        "Poole et al., NIPS 2016, Eqs. 3, 5 and 6; Schoenholz et al., ICLR 2017",
    ),
    Neighbour(
        "sum_of_functions", "Sum of functions",
        "Optimisation. An objective is a sum over minibatches, as K is a sum over steps and data. A quadratic model of each term gives a "
        "step length without tuning.",
        "Sohl-Dickstein, Poole and Ganguli, ICML 2014",
    ),
)  # fmt: skip

SHARED = """
| | Detailed balance | Flow of probability | Partition function Z |
|---|---|---|---|
| **Diffusion** | The forward process satisfies it with the prior π; small steps can therefore be reversed by steps of the same form. | From data to noise, and back. | Not needed: every step is a normalised Gaussian. |
| **Minimum probability flow** | The dynamics satisfies it with the model. | From data towards the model; its initial rate is the objective. | Not needed: rates contain differences of energy only. |
| **Hamiltonian Monte Carlo** | Given up on purpose; the density stays stationary. | Along Hamilton's equations, which preserve volume. | Not needed: acceptance contains ratios of densities only. |
| **Random networks** | Does not apply. | Of signals through layers, to a fixed point. | None is defined. |
| **Sum of functions** | Does not apply. | Does not apply. | Minimises any sum of losses, those above included. |
"""  # noqa: E501
INTRODUCTION = (
    "Diffusion models learn and sample densities whose normalisation cannot be computed. Four earlier and later methods, by authors of the "
    "same paper and their groups, treat related problems. Each has a page that shows the exact answer beside the estimate."
)


def show() -> None:
    """A column for each neighbour, and the table of what they share."""
    st.markdown(INTRODUCTION)
    for column, one in zip(st.columns(len(NEIGHBOURS), gap="medium"), NEIGHBOURS):
        with column.container(border=True, height="stretch"):
            st.page_link(f"pages/{one.page}.py", label=f"**{one.title}**", icon=":material/arrow_forward:", icon_position="right")
            st.markdown(one.text)
            st.caption(one.source)
    st.markdown("**What they share with diffusion**")
    st.markdown(SHARED)
