"""The Random networks page: the phase diagram, the circle of inputs in the layers, and signals against their theory."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import streamlit as st

from dpm_core.lab.signals.phase_diagram import PHASES
from dpm_core.lab.signals.random_network_simulation import CORRELATIONS, NETWORKS, SCALES, RandomNetwork, Signals, mean_and_error
from pages.ui import session
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number
from pages.ui.components.player import Formula, Lines, Number, Panel, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.kinds.records import Export
from pages.ui.lab.networks import charts, compute
from pages.ui.lab.networks.compute import Point
from pages.ui.lab.networks.question import B_RANGE, TITLES, W_RANGE, Question, python_of

MAP = "phase_map"
SIDES = 1.5, 3.0  # least and largest visible range of the player on each side; the circle has root mean square radius 1
EXPLANATION = (
    "Each layer computes h⁽ˡ⁾ = W φ(h⁽ˡ⁻¹⁾) + b with random weights of variance $\\sigma_w^2$/width and random biases of variance "
    "$\\sigma_b^2$. In the ordered phase all inputs become alike and gradients vanish; in the chaotic phase neighbouring inputs become "
    "different and gradients explode. Without a bound of φ, as for ReLU, signals grow instead. At the edge, χ₁ = 1, both reach deep. "
    "Click a place on the diagram to choose its variances."
)
CAPTION = (
    "A circle of 120 inputs in layer t, projected to its first two principal components and scaled to the same size. The "
    "[closed line](circle) connects neighbours; colours show the place on the circle. Right: the same random numbers at the edge of chaos. "
    "The cards describe the left network."
)


def show(question: Question) -> Export:
    """The whole page but for training. Raises ValueError."""
    with working("Sending the circle through the layers …"):
        at = compute.point(question.network)
        payload = _payload(question)
    left, right = st.columns([0.3, 0.7], gap="medium")
    with left:
        _diagram(question.network)
    with right:
        player(payload, key="circle")
    _cards(question.network, at)
    measured = _signals(question)
    _equations(question.network, at)
    return _export(question, measured)


def _diagram(network: RandomNetwork) -> None:
    st.markdown(f"**Phase diagram of {TITLES[str(network.activation)]} networks**")
    found = compute.phases(str(network.activation))
    line = compute.critical_line(str(network.activation))
    figure = charts.phase_figure(found, line, (network.sigma_w2, network.sigma_b2), session.is_dark())
    st.plotly_chart(figure, on_select=_take_click, selection_mode="points", key=MAP, config={"displayModeBar": False})
    st.caption("Colour: log χ₁, from −1 (blue) to 1 (red). Green line: the edge of chaos, χ₁ = 1. Ring: the chosen point. " + EXPLANATION)


def _take_click() -> None:
    """A place that was clicked sets the two sliders: a callback, which runs before they are drawn."""
    event: dict[str, Any] = session.widget_value(MAP, {}) or {}
    if places := event.get("selection", {}).get("points", []):
        for key, value, (low, high) in (("sigma_w2", places[0]["x"], W_RANGE), ("sigma_b2", places[0]["y"], B_RANGE)):
            session.set_widget(key, round(min(max(float(value), low), high), 2))


def _cards(network: RandomNetwork, at: Point) -> None:
    scales, chi = at.scales, at.fixed.chi_1
    edge = "no edge at this σ_b²" if math.isnan(at.critical) else f"edge of chaos at σ_w² = {at.critical:.2f}"
    number_cards.show(
        [
            ("Phase", PHASES[at.phase].capitalize(), edge.replace("σ_w²", "σ<sub>w</sub>²").replace("σ_b²", "σ<sub>b</sub>²")),
            ("q*, mean square of the pre-activations", _value(at.fixed.q_star, 3), "fixed point of the variance map"),
            ("χ₁, growth of squared gradients per layer", _value(chi, 3), "1 at the edge of chaos"),
            ("ξ<sub>q</sub>, depth scale of q", _value(scales.xi_q, 1), "layers"),
            ("ξ<sub>c</sub>, depth scale of the correlation", _value(scales.xi_c, 1), f"layers; c* = {_value(scales.c_star, 2)}"),
            ("6 ξ<sub>c</sub>, depth that can be trained", _value(scales.trainable_depth, 0), f"layers; shown: {network.depth}"),
        ]
    )


def _value(value: float, digits: int) -> str:
    """A number, or what it is where it is none: infinite, or not defined."""
    if math.isnan(value):
        return "not defined"
    if value > 9999:
        return "∞" if math.isinf(value) or value > 1e7 else f"{value:,.0f}"
    return number(value, digits)


def _signals(question: Question) -> Signals | None:
    """The three charts; with measured points, unless measuring takes long and was not asked for."""
    network, place = question.network, st.empty()
    measured = compute.known(question)
    asked = not question.heavy
    if measured is None and not asked:
        with place.container(horizontal=True, vertical_alignment="center"):
            asked = st.button(f"Measure {NETWORKS} networks of width {network.width:,}", key="measure_networks")
            st.caption(f"About {max(1, round(1e-8 * NETWORKS * network.depth * network.width**2))} seconds; the lines show the theory.")
    if measured is None and asked:
        text = f"Measuring {NETWORKS} networks …"
        bar = place.progress(0.0, text)
        measured = compute.signals(question, lambda share: _progress(bar, share, text))
        place.empty()
    expected, dark = compute.curves(network), session.is_dark()
    parts = zip(
        st.columns(3, gap="medium"),
        ("Mean square of the pre-activations", "Correlation of two inputs", "Perturbations and gradients"),
        (charts.variance_chart, charts.correlation_chart, charts.gradient_chart),
    )
    for column, title, chart in parts:
        column.markdown(f"**{title}**")
        column.altair_chart(chart(expected, measured, dark))
    st.caption(
        f"Points: means over {NETWORKS} networks of width {network.width:,} with standard errors. Green lines: mean field theory, which is "
        "exact for infinite width. Left and middle: three inputs and three pairs of inputs, by their values at the start. Right: the "
        "squared norm of a small random perturbation of the input (red triangles, divided by its value at l = 0) and of the gradient "
        "∂E/∂h⁽ˡ⁾ for a random direction at the output (blue circles, divided by its value at the last layer). Both change by the factor "
        "χ₁ in each layer where q = q*."
    )
    return measured


def _progress(bar: Any, share: float, text: str) -> None:
    bar.progress(share, text)


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(question: Question) -> bytes:
    network, critical = question.network, compute.critical(question.network)
    film = compute.film(question)
    shown = [film.plane]
    panels = [_panel("chosen", f"weight variance {network.sigma_w2:.2f}, {PHASES[compute.point(network).phase]}", "model", film.plane)]
    if not math.isnan(critical):
        edge = compute.film(question.at(critical))
        shown.append(edge.plane)
        panels.append(_panel("edge", f"weight variance {critical:.2f}, edge of chaos", "exact", edge.plane))
    side = float(np.clip(1.05 * max(np.abs(plane).max() for plane in shown), *SIDES))
    times = list(range(network.depth + 1))
    theory, neighbours = compute.curves(network), compute.neighbours(network)
    cards = (
        Formula(
            "Mean square q<sup>l</sup> and neighbours' correlation c<sup>l</sup>",
            "q<sup>{l}</sup> = {q} &emsp; theory {tq}<br>c<sup>{l}</sup> = {c} &emsp; theory {tc}",
            {"l": times, "q": film.q.tolist(), "tq": theory.q[SCALES.index(1.0)].tolist(), "c": film.c.tolist(), "tc": neighbours.tolist()},
            3,
        ),
        Number("Variance within this plane", (100 * film.share).tolist(), 0, "%", "of the circle's variance", True, "model"),
        Number("Size of the circle", film.spread.tolist(), 3, "", "distance to its mean ÷ √(width · q), root mean square", True, "model"),
        Number(
            "Perturbation ‖∂h⁽ˡ⁾‖ ÷ ‖∂h⁽⁰⁾‖", np.sqrt(theory.growth).tolist(), 3, "",
            "theory; gradients grow equally, from the last layer back", False, "exact",
        ),
    )  # fmt: skip
    return pack(
        Stage(
            tuple(panels), times, network.depth, -side, side, cards, CAPTION, on=("circle",), colour="position",
            start=min(8, network.depth), name="dpm-random-networks", duration=8.0, height="hero",
        )
    )  # fmt: skip


def _panel(name: str, label: str, role: str, plane: np.ndarray) -> Panel:
    """The circle's points, and the line that connects them."""
    line = Lines("circle", "closed line", "noise", [[np.concatenate([x, x[:1]])] for x in plane])
    return Panel(name, label, role, plane, "", (line,))


def _equations(network: RandomNetwork, at: Point) -> None:
    q, chi = at.fixed
    limited = q < 1e6
    first, second = st.columns(2, gap="medium")
    first.latex(
        r"q^{l}=\sigma_w^2\,\mathbb E\big[\phi(\sqrt{q^{l-1}}\,z)^2\big]+\sigma_b^2"
        + (rf"\;\to\;q^*={q:.4g}" if limited else r"\;\to\;\infty")
    )
    second.latex(r"\chi_1=\sigma_w^2\,\mathbb E\big[\phi'(\sqrt{q^*}\,z)^2\big]" + f"={chi:.4g}")
    xi_q, xi_c, c_star, depth = (_latex(value) for value in at.scales)
    first.latex(r"c^{l}=\frac{\sigma_w^2\,\mathbb E[\phi(u_1)\phi(u_2)]+\sigma_b^2}{q^*}" + rf"\;\to\;c^*={c_star}")
    second.latex(r"\xi_q=\tfrac{-1}{\log\chi_q}" + rf"={xi_q},\quad" + r"\xi_c=\tfrac{-1}{\log\chi_c}" + rf"={xi_c},\quad 6\,\xi_c={depth}")


def _latex(value: float) -> str:
    if math.isnan(value):
        return r"\text{not defined}"
    return r"\infty" if math.isinf(value) or value > 1e7 else f"{value:.4g}"


def sources() -> None:
    """Where the equations come from."""
    st.caption(
        "z is standard normal; u₁ and u₂ are jointly Gaussian with mean 0, variance q* and correlation c⁽ˡ⁻¹⁾. $\\chi_q$ is the slope of "
        "the variance map at q*, $\\chi_c$ that of the correlation map at its fixed point c*, which is χ₁ where c* = 1. Sources: Poole, "
        "Lahiri, Raghu, Sohl-Dickstein and Ganguli, “Exponential expressivity in deep neural networks through transient chaos”, NIPS "
        "2016, arXiv:1606.05340 (variance Eq. 3, correlation Eq. 5, χ₁ Eq. 6, circle of inputs section 3); Schoenholz, Gilmer, Ganguli "
        "and Sohl-Dickstein, “Deep information propagation”, ICLR 2017, arXiv:1611.01232 (depth scales section 3, gradients section 4, "
        "trainable depth 6 $\\xi_c$ section 5 and figure 5)."
    )


def _export(question: Question, measured: Signals | None) -> Export:
    expected, film = compute.curves(question.network), compute.film(question)
    arrays = {"circle": film.plane, "circle_share": film.share, "circle_q": film.q, "circle_c": film.c}
    arrays |= {f"theory_{name}": value for name, value in expected._asdict().items()}
    table: dict[str, list[Any]] = {"layer": list(range(question.network.depth + 1))}
    labels = {"q": [f"q_{scale:g}" for scale in SCALES], "c": [f"c_{c:g}" for c in CORRELATIONS]}
    for name, titles in labels.items():
        for i, title in enumerate(titles):
            table[f"{title}_theory"] = getattr(expected, name)[i].tolist()
    table["growth_theory"] = expected.growth.tolist()
    if measured is not None:
        arrays |= {f"measured_{name}": value for name, value in measured._asdict().items()}
        for name, titles in labels.items():
            mean, error = mean_and_error(getattr(measured, name))
            for i, title in enumerate(titles):
                table |= {f"{title}_mean": mean[i].tolist(), f"{title}_standard_error": error[i].tolist()}
        for name in ("forward", "backward"):
            mean, error = mean_and_error(getattr(measured, name))
            table |= {f"{name}_mean": mean.tolist(), f"{name}_standard_error": error.tolist()}
    return Export("dpm-random-networks", python_of(question), arrays, table)
