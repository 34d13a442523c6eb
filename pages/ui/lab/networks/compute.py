"""What the Random networks page computes: the phase diagram, the circle in two networks, and signals in twenty."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import streamlit as st

from dpm_core import jobs
from dpm_core.lab.random_networks import DepthScales, FixedPoint, critical_sigma_w2, depth_scales, fixed_point
from dpm_core.lab.signals.phase_diagram import Diagram, diagram, phase, trainable_depths
from dpm_core.lab.signals.random_network_simulation import Circle, RandomNetwork, Signals, Theory, circle, measure, theory
from dpm_core.lab.signals.trainability import SIGMAS
from pages.ui.lab.networks.question import B_AXIS, W_AXIS, Question

POINTS = 120  # of the circle
NEAR_ZERO = (0.0005, 0.001, 0.002, 0.005, 0.01)  # σ_b² of further points on the critical line
MOST_KNOWN = 64  # measurements in memory
CURVE = np.linspace(min(SIGMAS), max(SIGMAS), 61)  # σ_w² at which the trainable depth is computed
_lock = threading.Lock()


class Point(NamedTuple):
    """The theory at one point of the diagram; ``critical``: the σ_w² with χ₁ = 1 at this σ_b², NaN if there is none."""

    fixed: FixedPoint
    scales: DepthScales
    critical: float

    @property
    def phase(self) -> str:
        """ "ordered", "critical", "chaotic" or "unbounded"."""
        return phase(self.fixed.chi_1, self.fixed.q_star)


@st.cache_data(max_entries=16, show_spinner=False)
def phases(activation: str) -> Diagram:
    """The phase diagram."""
    return diagram(activation, W_AXIS, B_AXIS)


@st.cache_data(max_entries=16, show_spinner=False)
def critical_line(activation: str) -> tuple[np.ndarray, np.ndarray]:
    """σ_w² and σ_b² of the edge of chaos, with more points near σ_b² = 0, where it bends."""
    near, all_rows = diagram(activation, W_AXIS, NEAR_ZERO), phases(activation)
    order = np.argsort(rows := np.concatenate([near.sigma_b2, all_rows.sigma_b2]))
    return np.concatenate([near.critical, all_rows.critical])[order], rows[order]


@st.cache_data(max_entries=256, show_spinner=False)
def point(network: RandomNetwork) -> Point:
    """The theory of the chosen point."""
    asked = network.activation, network.sigma_w2, network.sigma_b2
    return Point(fixed_point(*asked), depth_scales(*asked), critical(network))


@st.cache_data(max_entries=256, show_spinner=False)
def _critical(activation: str, sigma_b2: float) -> float:
    try:
        return critical_sigma_w2(activation, sigma_b2)
    except ValueError:
        return math.nan


def critical(network: RandomNetwork) -> float:
    """The critical σ_w² at this σ_b², NaN if there is none."""
    return _critical(str(network.activation), network.sigma_b2)


@st.cache_data(max_entries=64, show_spinner=False)
def curves(network: RandomNetwork) -> Theory:
    """The theory over layers."""
    return theory(network)


@st.cache_data(max_entries=64, show_spinner=False)
def neighbours(network: RandomNetwork) -> np.ndarray:
    """The theory of the correlation of neighbours on the circle."""
    return theory(network, (1.0,), (math.cos(2 * math.pi / POINTS),)).c[0]


@st.cache_data(max_entries=32, show_spinner=False)
def film(question: Question) -> Circle:
    """The circle in every layer of one network."""
    return circle(question.network, question.seed, POINTS)


@st.cache_data(max_entries=32, show_spinner=False)
def trainable(activation: str, sigma_b2: float) -> np.ndarray:
    """6 ξ_c on CURVE."""
    return trainable_depths(activation, CURVE, sigma_b2)


@st.cache_resource(show_spinner=False)
def _measured() -> dict[Question, Signals]:
    return {}


def known(question: Question) -> Signals | None:
    """The signals, if they have been measured."""
    return _measured().get(question)


def signals(question: Question, progress: Callable[[float], None]) -> Signals:
    """Measure the signals in all networks; ``progress`` takes the share that is done."""
    found = known(question)
    if found is None:
        for share, so_far in jobs.stream(measure, question.network, question.seed):
            progress(share)
            found = so_far
        assert found is not None, "there is at least one network"
        with _lock:
            stored = _measured()
            while len(stored) >= MOST_KNOWN:
                del stored[next(iter(stored))]
            stored[question] = found
    return found
