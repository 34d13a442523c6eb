"""The other two views of the Hamiltonian Monte Carlo page: the paper's figure 2, and three states on a cycle."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from dpm_core import jobs
from dpm_core.lab.chains import circulation, look_ahead_figure
from dpm_core.lab.chains.look_ahead_figure import Curve
from dpm_core.lab.flow import three_states
from pages.ui import cache, session
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.components.player import Lines, Number, Panel, Stage, pack, player
from pages.ui.kinds.records import Export
from pages.ui.lab.hmc import charts
from pages.ui.lab.hmc.compute import TITLES
from pages.ui.lab.hmc.question import DENSITIES, Question

BUDGETS = (6000, 12000, 24000)  # gradients per chain
READ_AT = 2000.0  # gradients at which curves are read off
CORNERS = 2.1 * three_states.CORNERS  # of the simplex on the stage
FRAMES, STARTS = 61, 60
LAST_TIME = 4.0


@st.cache_resource(max_entries=4, show_spinner=False)
def _figure(gradients: int, seed: int) -> cache.Once[list[Curve]]:
    return cache.Once()


def figure(question: Question) -> Export:
    """Figure 2 of the paper, recomputed with its parameters; the curves appear one after the other."""
    with st.sidebar:
        gradients = session.bind(
            st.select_slider, "Gradients per chain", list(BUDGETS), BUDGETS[0], key="figure_gradients",
            help="More gradients make the curves more certain. 6,000 take about a quarter of a minute.",
        )  # fmt: skip
    st.markdown(
        f"The paper's parameters: ε = {look_ahead_figure.STEP_SIZE:g}, β = {look_ahead_figure.CORRUPTION:g}, "
        f"{look_ahead_figure.LEAPFROG_STEPS} leapfrog steps, look-ahead {look_ahead_figure.LOOK_AHEAD['look_ahead']}, "
        f"{look_ahead_figure.CHAINS} chains in equilibrium."
    )
    bar = st.empty()
    titles = list(look_ahead_figure.DIMENSIONS)
    columns = dict(zip(titles, st.columns(len(titles), gap="medium")))
    places = {}
    for name, column in columns.items():
        column.markdown(f"**{DENSITIES[name]}**")
        places[name] = column.empty()

    def make() -> list[Curve]:
        found: list[Curve] = []
        total = len(titles) * len(look_ahead_figure.LOOK_AHEAD)
        bar.progress(0.0, "Running chains …")
        for one in jobs.stream(look_ahead_figure.figure, float(gradients), question.seed):
            found.append(one)
            bar.progress(len(found) / total, "Running chains …")
            places[one.target].altair_chart(_curves([c for c in found if c.target == one.target]))
        return found

    found = _figure(int(gradients), question.seed).get(make)
    bar.empty()
    for name in titles:
        places[name].altair_chart(_curves([one for one in found if one.target == name]))
    lines = [f"| Autocorrelation after {READ_AT:,.0f} gradients | look-ahead HMC | standard HMC |", "|---|---:|---:|"]
    for name in titles:
        values = [one.at(READ_AT) for one in found if one.target == name]
        cells = [f"{number(value, 2)} {plus_minus(error)}" for value, error in values]
        lines.append(f"| {DENSITIES[name]} | {' | '.join(cells)} |")
    st.markdown("\n".join(lines))
    st.caption(
        "Bands: two standard errors, from ten groups of chains. Rough well: E = Σ x²/(2·100²) + cos(2πx/4). Gaussians: variances from 1 "
        "to 10⁶, evenly spaced in the logarithm. Sohl-Dickstein, Mudigonda and DeWeese, ICML 2014, Figure 2."
    )
    table: dict[str, list] = {
        "target": [one.target for one in found for _ in one.gradients],
        "sampler": [one.sampler for one in found for _ in one.gradients],
        "gradients": [value for one in found for value in one.gradients],
        "autocorrelation": [value for one in found for value in one.values],
        "standard_error": [value for one in found for value in one.errors],
    }
    code = (
        "from dpm_core.lab.chains.look_ahead_figure import figure\n\n"
        f"for curve in figure({gradients}, seed={question.seed}):\n    print(curve.target, curve.sampler, curve.at({READ_AT:g}))\n"
    )
    return Export("dpm-hmc-figure", code, None, table)


def _curves(found: list[Curve]):  # type: ignore[no-untyped-def]
    rows = [
        {"sampler": one.sampler, "evaluations": n, "rho": rho, "error": error}
        for one in found
        for n, rho, error in zip(one.gradients, one.values, one.errors)
    ]
    return charts.autocorrelation_chart(rows, TITLES, session.is_dark())


def cycle(question: Question) -> Export:
    """Three states: the same stationary distribution, with and without a current around the cycle."""
    with st.sidebar:
        weights = [
            session.bind(st.slider, f"Energy of state {name}", 0.0, 3.0, default, 0.25, key=f"energy_{name}")
            for name, default in zip("ABC", (0.0, 0.75, 1.75))
        ]
        share = float(session.bind(st.slider, "Current φ, share of the largest", 0.0, 1.0, 1.0, 0.05, key="asymmetry"))
    p = torch.softmax(-torch.tensor(weights, dtype=torch.float64), 0)
    most = circulation.largest_current(p)
    plain, driven = circulation.rates(p), circulation.rates(p, share * most)
    gaps = [{"asymmetry": s, "gap": circulation.spectral_gap(circulation.rates(p, s * most))} for s in np.linspace(0, 1, 41).tolist()]
    player(_simplex(p, plain, driven), key="cycle")
    chosen, none = circulation.spectral_gap(driven), gaps[0]["gap"]
    number_cards.show([
        ("Spectral gap with the current", number(chosen, 3), f"detailed balance: {number(none, 3)}"),
        ("Speed-up of the slowest mode", f"{number(chosen / none, 2)} ×", "ratio of the gaps"),
        ("Stationary distribution p", " · ".join(number(float(v), 3) for v in p), "the same for both"),
        ("Current φ", number(share * most, 3), f"largest possible: {number(most, 3)}"),
    ])  # fmt: skip
    left, right = st.columns(2, gap="medium")
    left.markdown("**Spectral gap against the current, exact**")
    left.altair_chart(charts.gap_chart(gaps, share, session.is_dark()))
    right.markdown("**Distance to p over time, exact**")
    right.altair_chart(charts.relaxation_chart(_relaxation(p, plain, driven), session.is_dark()))
    st.latex(
        r"\frac{\mathrm dp}{\mathrm dt}=Q\,p,\qquad Q_{ij}=\sqrt{p_i/p_j}\;\pm\;\varphi/p_j,\qquad "
        r"\text{gap}=\min_{\lambda\neq0}\,(-\mathrm{Re}\,\lambda)"
    )
    st.caption(
        "Adding φ to the flow from each state to the next and taking it from the flow back leaves p stationary and breaks detailed "
        "balance. In the coordinates in which the reversible Q is symmetric the current is antisymmetric. It mixes the two modes "
        "of relaxation, so that the slower one becomes faster, at most up to the mean of both. For diffusions: Hwang, Hwang-Ma and Sheu, "
        "Annals of Applied Probability 15, 2005."
    )
    code = (
        "import torch\nfrom dpm_core.lab.chains import circulation\n\n"
        f"p = torch.softmax(-torch.tensor({weights}, dtype=torch.float64), 0)\n"
        "for share in (0.0, 0.5, 1.0):\n"
        "    print(share, circulation.spectral_gap(circulation.rates(p, share * circulation.largest_current(p))))\n"
    )
    return Export("dpm-cycle", code, None, {"asymmetry": [g["asymmetry"] for g in gaps], "gap": [g["gap"] for g in gaps]})


def _relaxation(p: torch.Tensor, plain: torch.Tensor, driven: torch.Tensor) -> list[dict]:
    times = torch.linspace(0, LAST_TIME, 61, dtype=torch.float64)
    rows = []
    for title, Q in (("With the current", driven), ("Detailed balance", plain)):
        worst = 0.5 * (circulation.evolved(Q, torch.eye(3), times) - p).abs().sum(2).max(1).values
        rows += [{"sampler": title, "time": float(t), "distance": float(d)} for t, d in zip(times, worst) if d >= charts.NEAREST]
    return rows


def _simplex(p: torch.Tensor, plain: torch.Tensor, driven: torch.Tensor) -> bytes:
    """Distributions that flow to p in the simplex of three states, under both dynamics."""
    times = torch.linspace(0, LAST_TIME, FRAMES, dtype=torch.float64)
    edge = torch.arange(STARTS) / STARTS * 3
    first, along = edge.long() % 3, (edge % 1)[:, None]
    eye = torch.eye(3, dtype=torch.float64)
    starts = (1 - along) * eye[first] + along * eye[(first + 1) % 3]
    outline = np.concatenate([CORNERS, CORNERS[:1]])
    centre = (p.numpy() @ CORNERS)[None] + 0.09 * np.array([[np.cos(a), np.sin(a)] for a in np.linspace(0, 2 * np.pi, 25)])
    panels = []
    for name, title, role, Q in (("driven", "with the current φ", "model", driven), ("plain", "detailed balance", "data", plain)):
        x = circulation.evolved(Q, starts, times).numpy() @ CORNERS
        trails = Lines("trails", "trails", role, [[x[: i + 1, k] for k in range(STARTS)] for i in range(len(x))])
        simplex = Lines("simplex", "simplex", "noise", [[outline]])
        panels.append(Panel(name, title, role, x.astype(np.float32), "", (simplex, Lines("p", "p", "exact", [[centre]]), trails)))
    distance = [
        0.5 * (circulation.evolved(Q, starts, times) - p).abs().sum(2).mean(1) for Q in (driven, plain)
    ]  # fmt: skip
    cards = (
        Number("Total variation from p, with the current", distance[0].tolist(), 3, "", "mean over the starts", True, "model"),
        Number("Total variation from p, detailed balance", distance[1].tolist(), 3, "", "mean over the starts", True, "data"),
    )
    caption = (
        "Each point is a distribution over three states: a corner of the [simplex](simplex) is certainty of one state. All of them flow to "
        "the stationary distribution [p](p), the small circle. With a current their [trails](trails) wind around it."
    )
    return pack(
        Stage(
            tuple(panels), list(range(FRAMES)), FRAMES - 1, -3.0, 3.0, cards, caption, on=("simplex", "p", "trails"), start=18,
            duration=6.0, name="dpm-cycle",
        )
    )  # fmt: skip
