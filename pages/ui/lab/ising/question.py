"""What the Minimum probability flow page is asked, in each of its three views; its controls and its Python."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from dpm_core.lab.flow.ising_estimators import ESTIMATORS
from dpm_core.lab.flow.ising_models import MOST_ENUMERATED, TOPOLOGIES
from pages.ui import session
from pages.ui.controls import widgets

VIEWS = {"couplings": "Recover couplings", "states": "The idea: three states", "plane": "Continuous data"}
SPINS = (9, 12, 16, 20, 25, 36, 64, 100)
TEMPERATURES = (0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0)
SAMPLES = (500, 1000, 2000, 5000, 10_000, 20_000)
HEAVY = 200_000  # spins × samples above which the estimators wait for a button
DATA = {"a": "All in A", "ab": "70 % in A, 30 % in B", "abc": "50 % in A, 30 % in B, 20 % in C"}
SHARES = {"a": (1.0, 0.0, 0.0), "ab": (0.7, 0.3, 0.0), "abc": (0.5, 0.3, 0.2)}
ENERGIES = tuple(round(-2 + 0.25 * i, 2) for i in range(17))
EPSILONS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3)
CASES = {
    "gaussian": "Gaussian data and model",
    "bent": "Bent data, Gaussian model",
    "mixture": "Three Gaussians, mixture model",
}
POINTS = (100, 200, 300)
LIMIT = 8.0  # seconds of a search
CD_LIMIT = {True: 0.5, False: 2.0}  # seconds of contrastive divergence, for few spins or more


@dataclass(frozen=True)
class CouplingsQuestion:
    """A model of d spins and how many samples of it are given."""

    topology: str
    d: int
    temperature: float
    n: int
    seed: int

    @property
    def heavy(self) -> bool:
        """Whether the estimators together take more than a few seconds."""
        return self.d * self.n > HEAVY

    @property
    def exact(self) -> bool:
        """Whether all states can be listed."""
        return self.d <= MOST_ENUMERATED


@dataclass(frozen=True)
class StatesQuestion:
    """The data, the energies of A and B (that of C is 0), and the time ε of the initial flow."""

    data: str
    a: float
    b: float
    epsilon: float
    seed: int


@dataclass(frozen=True)
class PlaneQuestion:
    """Data in the plane and the model that is fitted to them."""

    case: str
    n: int
    seed: int


def view() -> str:
    """Which view is shown."""
    return widgets.choose("Show", VIEWS, "flow_view", "couplings")


def couplings_controls() -> tuple[CouplingsQuestion, list[str]]:
    """The model and the estimators that are compared, in the order of ESTIMATORS."""
    topology = widgets.choose("Couplings", TOPOLOGIES, "topology", "lattice")
    d = session.bind(st.select_slider, "Number of spins", list(SPINS), 16, key="n_spins")
    help = "In units of the coupling's standard deviation. Low temperatures make strong couplings, which need more samples."
    temperature = session.bind(st.select_slider, "Temperature", list(TEMPERATURES), 2.0, key="spin_temperature", help=help)
    n = session.bind(st.select_slider, "Samples", list(SAMPLES), 5000, key="spin_samples")
    question = CouplingsQuestion(topology, int(d), float(temperature), int(n), widgets.seed())
    titles = {name: one.title for name, one in ESTIMATORS.items()}
    default = [name for name in titles if name not in ("all_flip", "outside")]
    chosen = session.bind(st.multiselect, "Estimators", list(titles), default, key="estimators", format_func=titles.get)
    return question, [name for name in titles if name in chosen]


def states_controls() -> StatesQuestion:
    """Data, energies and time."""
    data = widgets.choose("Data p⁽⁰⁾", DATA, "state_data", "ab")
    a = session.bind(st.select_slider, "Energy of A", list(ENERGIES), 0.5, key="energy_a", help="The energy of C is 0.")
    b = session.bind(st.select_slider, "Energy of B", list(ENERGIES), -0.5, key="energy_b")
    epsilon = session.bind(st.select_slider, "Time ε of the initial flow", list(EPSILONS), 0.1, key="flow_epsilon")
    return StatesQuestion(data, float(a), float(b), float(epsilon), widgets.seed())


def plane_controls() -> PlaneQuestion:
    """Data and model."""
    case = widgets.choose("Data and model", CASES, "plane_case", "gaussian")
    n = session.bind(st.select_slider, "Points", list(POINTS), 200, key="plane_points")
    return PlaneQuestion(case, int(n), widgets.seed())


def python_of_couplings(question: CouplingsQuestion, names: list[str]) -> str:
    """The Python that estimates the couplings."""
    return f"""from dpm_core.lab.flow.ising_estimators import estimates
from dpm_core.lab.flow.ising_models import make_ising, sample_by_chains, to_spins

model = make_ising({question.topology!r}, {question.d}, {question.temperature}, seed={question.seed})
x = sample_by_chains(model.J, {question.n}, seed={question.seed + 1})
for name in {names!r}:
    try:
        *_, last = estimates(name, x, {CD_LIMIT[question.d <= 20]} if name == "contrastive" else {LIMIT}, {question.seed})
    except ValueError as error:
        print(name, error)
        continue
    couplings, fields = to_spins(last.J)
    difference = (couplings - model.couplings).triu(1)
    error = (difference.square().sum() / ({question.d} * {question.d - 1} / 2)).sqrt()
    print(name, f"{{last.seconds:.3f}} s, root mean square error {{error:.4f}}")
"""


def python_of_states(question: StatesQuestion) -> str:
    """The Python of the flow between three states."""
    return f"""import torch
from dpm_core.lab.flow import three_states

p = torch.tensor({list(SHARES[question.data])}, dtype=torch.float64)
energies = torch.tensor([{question.a}, {question.b}, 0.0], dtype=torch.float64)
gamma = three_states.rates(energies)
model = three_states.boltzmann(energies)
flow = three_states.initial_flow(p, gamma, {question.epsilon})
print("KL(data, model)", float(three_states.divergence(p, model)), "KL(data, initial flow)", float(three_states.divergence(p, flow)))
print("K, out of the data", float(three_states.flow_out_of_the_data(p, gamma)))
print("K, to all neighbours", float(three_states.flow_to_all_neighbours(p, gamma)))
"""


def python_of_plane(question: PlaneQuestion) -> str:
    """The Python that fits by minimum probability flow and by score matching."""
    return f"""from dpm_core.lab.flow import plane_data, score_matching

family, start, x = plane_data.case({question.case!r}, {question.n}, seed={question.seed})
limit = score_matching.fit(lambda theta: score_matching.score_matching(family, theta, x), start)
for sigma in {[0.8, 0.4, 0.2, 0.1, 0.05]}:
    found = score_matching.fit(lambda theta: score_matching.flow(family, theta, x, sigma), limit)
    print(sigma, score_matching.apart(family, found, limit, x))
"""
