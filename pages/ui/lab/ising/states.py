"""The view of the idea: three states, the flow from the data to the model, and both objectives."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from torch import Tensor

from dpm_core.lab.flow import three_states as lab
from pages.ui import session
from pages.ui.components.player import Formula, Lines, Number, Panel, Stage, pack, player
from pages.ui.kinds.records import Export
from pages.ui.lab.ising import charts
from pages.ui.lab.ising.question import DATA, ENERGIES, SHARES, StatesQuestion, python_of_states

FRAMES, WALKERS, DECAYS = 61, 400, 5.0  # DECAYS: of the slowest part, until the animation ends
RING = 0.05  # radius of a mark
CAPTION = (
    "Left: every distribution over A, B and C is a point of the triangle, with all probability in one state at its corners. The dot "
    "moves from the data p⁽⁰⁾ to the model p⁽∞⁾ along the [path](path). The [initial flow](flow) is its tangent, p⁽⁰⁾ + ε Γ p⁽⁰⁾. Right: "
    "the same dynamics for {n} walkers that jump between the states. One step of t is {step:.3g} units of time."
)
MEANING = (
    "Maximum likelihood makes the end of the path close to the data; it needs p⁽∞⁾ and with it the partition function. Minimum "
    "probability flow makes the first short piece of the path close to the data; it needs energy differences only. With data in all three "
    "states both are 0 at the same energies, those of the data. With fewer, the energies of states with data can fall without limit "
    "relative to the others, so the smallest value lies at the edge of the picture."
)
SOURCES = (
    "Sohl-Dickstein, Battaglino & DeWeese, Phys. Rev. Lett. 107, 220601 (2011), and ICML 2011 (arXiv:0906.4779): rates "
    "Γᵢⱼ = gᵢⱼ exp(½[Eⱼ − Eᵢ]) that satisfy detailed balance, here with g = 1."
)


class Flow(NamedTuple):
    """Times ``[F]``, distributions ``[F, 3]`` along them, rates, model, and the initial flow at ε."""

    times: list[float]
    path: Tensor
    gamma: Tensor
    model: Tensor
    tangent: Tensor


def flow(question: StatesQuestion) -> Flow:
    """The dynamics of a question."""
    energies = torch.tensor([question.a, question.b, 0.0], dtype=torch.float64)
    p, gamma = torch.tensor(SHARES[question.data], dtype=torch.float64), lab.rates(energies)
    times = [DECAYS / lab.spectral_gap(energies) * (i / (FRAMES - 1)) for i in range(FRAMES)]
    path = torch.stack([lab.evolve(p, gamma, t) for t in times])
    return Flow(times, path, gamma, lab.boltzmann(energies), lab.initial_flow(p, gamma, question.epsilon))


@st.cache_data(max_entries=16, show_spinner=False)
def objectives(data: str, epsilon: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The energies ``[n]``, and both objectives ``[n, n]`` over those of B and A."""
    axis = torch.tensor(ENERGIES, dtype=torch.float64)
    b, a = torch.meshgrid(axis, axis, indexing="ij")
    energies = torch.stack([a, b, torch.zeros_like(a)], -1)
    p = torch.tensor(SHARES[data], dtype=torch.float64).expand_as(energies)
    tangent = lab.initial_flow(p, lab.rates(energies), epsilon)
    both = lab.divergence(p, lab.boltzmann(energies)), lab.divergence(p, tangent.clamp(min=1e-12))
    return axis.numpy(), both[0].numpy(), both[1].numpy()


def show(question: StatesQuestion) -> Export:
    """The whole view."""
    found = flow(question)
    player(_payload(question), key="three_states")
    axis, likelihood, first = objectives(question.data, question.epsilon)
    left, right = st.columns(2, gap="medium")
    at = (question.a, question.b)
    left.altair_chart(charts.objective_chart("likelihood", axis, likelihood, at, session.is_dark()))
    right.altair_chart(charts.objective_chart("flow", axis, first, at, session.is_dark()))
    st.caption(MEANING)
    p = found.path[0]
    out, all_neighbours = float(lab.flow_out_of_the_data(p, found.gamma)), float(lab.flow_to_all_neighbours(p, found.gamma))
    st.latex(
        r"K=\frac{\mathrm d}{\mathrm dt}\mathrm{KL}\!\left(p^{(0)}\Vert p^{(t)}\right)\Big|_{t=0}="
        rf"\sum_{{j\in\mathcal D}}\sum_{{i\notin\mathcal D}}\Gamma_{{ij}}\,p^{{(0)}}_j={out:.4f},"
        rf"\qquad \sum_j\sum_{{i\neq j}}\Gamma_{{ij}}\,p^{{(0)}}_j={all_neighbours:.4f}"
    )
    st.caption(
        "The first sum, over states outside the data 𝒟, is the papers' K. The second, over all neighbours, also counts jumps between "
        "states that both have data; it is what their code for Ising models minimises. Where every state has data the first is 0 for all "
        "energies, and only the second can be learned from."
    )
    st.caption(SOURCES)
    table: dict[str, list] = {"t": found.times} | {f"p_{name}": found.path[:, i].tolist() for i, name in enumerate("ABC")}
    arrays = {"energies": axis, "kl_likelihood": likelihood, "kl_flow": first, "rates": found.gamma.numpy()}
    return Export("dpm-three-states", python_of_states(question), arrays, table)


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(question: StatesQuestion) -> bytes:
    found = flow(question)
    p = found.path[0]
    path = lab.in_the_triangle(found.path)
    centre = np.array([0.0, 0.28])  # the triangle in the middle of the panel
    corners = lab.CORNERS - centre
    triangle = Lines("triangle", "triangle", "noise", [[corners[[0, 1, 2, 0]], *_letters(corners)]])
    trail = Lines("path", "path", "data", [[path[: i + 1] - centre] if i else [] for i in range(FRAMES)])
    tangent = lab.in_the_triangle(found.tangent)
    flow_line = Lines("flow", "initial flow", "model", [[np.stack([path[0], tangent]) - centre, _ring(tangent - centre, RING / 2)]])
    ends = Lines("ends", "model", "exact", [[_ring(lab.in_the_triangle(found.model) - centre, RING)]])
    start = Lines("start", "data", "data", [[_ring(path[0] - centre, RING)]])
    dots = np.repeat((path - centre)[:, None], 24, 1) + 0.012 * np.random.default_rng(0).standard_normal((24, 2))
    states = lab.walkers(p, found.gamma, found.times, WALKERS, torch.Generator().manual_seed(question.seed)).numpy()
    spread = 0.16 * np.random.default_rng(question.seed).standard_normal((WALKERS, 2))
    panels = (
        Panel("simplex", "probabilities: path from the data to the model", "data", dots, "", (triangle, trail, flow_line, start, ends)),
        Panel("walkers", "walkers that jump between A, B and C", "noise", 0.8 * corners[states] + spread, f"{WALKERS} walkers"),
    )
    to_data = lab.divergence(p, found.path.clamp(min=1e-300))
    end, first = float(lab.divergence(p, found.model)), float(lab.divergence(p, found.tangent.clamp(min=1e-12)))
    cards = (
        Number("Maximum likelihood: KL(p⁽⁰⁾ ‖ p⁽∞⁾)", [end], 3, "nats", "the large green ring is p⁽∞⁾", role="exact"),
        Number("Probability flow: KL(p⁽⁰⁾ ‖ p⁽ᵋ⁾)", [first], 4, "nats", f"ε = {question.epsilon:g} · the small ring is p⁽ᵋ⁾", role="model"),
        Number("KL(p⁽⁰⁾ ‖ p⁽ᵗ⁾) along the path", to_data.tolist(), 3, "nats", f"at its end: {end:.3f} nats", True, "data"),
        Formula(
            "Probabilities at t",
            "A {a} &emsp; B {b} &emsp; C {c}<br>model {ma} &emsp; {mb} &emsp; {mc}",
            {name: found.path[:, i].tolist() for i, name in enumerate("abc")}
            | {f"m{name}": [float(found.model[i])] for i, name in enumerate("abc")},
        ),
    )
    caption = CAPTION.format(n=WALKERS, step=found.times[1]) + f" Data: {DATA[question.data]}."
    on = ("triangle", "path", "flow", "start", "ends")
    return pack(
        Stage(panels, list(range(FRAMES)), FRAMES - 1, -1.15, 1.15, cards, caption, on=on, start=12, duration=6.0, name="dpm-three-states")
    )


def _ring(centre: np.ndarray, radius: float) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, 25)
    return centre + radius * np.stack([np.cos(angle), np.sin(angle)], 1)


def _letters(corners: np.ndarray) -> list[np.ndarray]:
    """A, B and C as lines beside the corners."""
    arc = np.linspace(0.25 * np.pi, 1.75 * np.pi, 12)
    a: list = [[[0, 0], [0.5, 1], [1, 0]], [[0.2, 0.4], [0.8, 0.4]]]
    b: list = [[[0, 0], [0, 1], [0.7, 1], [0.9, 0.75], [0.7, 0.52], [0, 0.52]], [[0.7, 0.52], [1, 0.26], [0.7, 0], [0, 0]]]
    c: list = [np.stack([0.5 + 0.5 * np.cos(arc), 0.5 + 0.5 * np.sin(arc)], 1)]
    letters = [[np.asarray(line, float) for line in letter] for letter in (a, b, c)]
    places = corners + np.array([[-0.12, -0.06], [0.03, -0.06], [-0.045, 0.03]])
    return [place + 0.09 * line for place, letter in zip(places, letters) for line in letter]
