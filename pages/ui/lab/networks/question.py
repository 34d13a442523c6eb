"""What the Random networks page is asked: the distribution of the networks; its controls and its Python."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import streamlit as st

from dpm_core.lab.signals.random_network_simulation import NETWORKS, RandomNetwork
from pages.ui import session
from pages.ui.controls import widgets

TITLES = {"tanh": "tanh", "erf": "erf", "relu": "ReLU", "hard_tanh": "hard tanh"}
W_RANGE, B_RANGE = (0.5, 4.0), (0.0, 0.4)  # of σ_w² and σ_b²
W_AXIS, B_AXIS = np.linspace(*W_RANGE, 36), np.linspace(*B_RANGE, 21)  # of the phase diagram; a click chooses one of these points
DEPTHS, WIDTHS = (10, 20, 30, 40, 60), (50, 100, 200, 400, 1000)
AT_ONCE = 400_000_000  # random weights of all networks together, about four seconds; more only when asked by the button


@dataclass(frozen=True)
class Question:
    """The networks, and the seed of their weights."""

    network: RandomNetwork
    seed: int = 7

    @property
    def heavy(self) -> bool:
        """Whether measuring all networks takes more than a few seconds."""
        return NETWORKS * self.network.depth * self.network.width**2 > AT_ONCE

    def at(self, sigma_w2: float) -> Question:
        """The same with another σ_w²."""
        return replace(self, network=replace(self.network, sigma_w2=sigma_w2))


def controls() -> Question:
    """The question, from controls."""
    activation = widgets.choose("Activation φ", TITLES, "activation", "tanh")
    sigma_w2 = session.bind(
        st.slider,
        "Weight variance $\\sigma_w^2$",
        *W_RANGE,
        2.5,
        0.01,
        key="sigma_w2",
        help="Each weight has variance $\\sigma_w^2$ ÷ width.",
    )
    sigma_b2 = session.bind(st.slider, "Bias variance $\\sigma_b^2$", *B_RANGE, 0.05, 0.01, key="sigma_b2")
    depth = session.bind(st.select_slider, "Layers", list(DEPTHS), 30, key="network_depth")
    width = session.bind(st.select_slider, "Width (units per layer)", list(WIDTHS), 200, key="network_width")
    network = RandomNetwork(activation, round(float(sigma_w2), 4), round(float(sigma_b2), 4), int(depth), int(width))
    return Question(network, widgets.seed())


def python_of(question: Question) -> str:
    """The Python that measures the networks and computes their theory."""
    one = question.network
    return f"""from dpm_core.lab.signals.random_network_simulation import RandomNetwork, circle, mean_and_error, measure, theory
from dpm_core.lab.random_networks import depth_scales, fixed_point

network = RandomNetwork({one.activation!r}, {one.sigma_w2}, {one.sigma_b2}, depth={one.depth}, width={one.width})
print(fixed_point({one.activation!r}, {one.sigma_w2}, {one.sigma_b2}))
print(depth_scales({one.activation!r}, {one.sigma_w2}, {one.sigma_b2}))
*_, (_, measured) = measure(network, seed={question.seed})
expected = theory(network)
for name in ("q", "c"):
    mean, error = mean_and_error(getattr(measured, name))
    print(name, "at the last layer:", mean[:, -1], "±", error[:, -1], "theory", getattr(expected, name)[:, -1])
print("variance in the plane:", circle(network, seed={question.seed}).share)
"""
