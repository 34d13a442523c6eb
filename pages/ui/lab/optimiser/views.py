"""The Sum of functions page in the plane: the player, the curves and the table."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from dpm_core.lab.optimiser.optimiser_comparison import TITLES, Curve
from pages.ui import session
from pages.ui.components.number_cards import number
from pages.ui.components.player import player
from pages.ui.components.working import working
from pages.ui.kinds.records import Export
from pages.ui.lab.optimiser import charts, compute, stage
from pages.ui.lab.optimiser.question import Plane, python_of_plane

EQUATIONS = (
    r"F(x)=\sum_{i=1}^{N} f_i(x),\quad G^{t}(x)=\sum_{i=1}^{N} g_i^{t}(x),\quad H^{t}=\sum_{i=1}^{N} H_i^{t}",
    r"x^{t}=x^{t-1}-\eta^{t}\,(H^{t-1})^{-1}\,\nabla G^{t-1}(x^{t-1})",
    r"g_j^{t}(x)=f_j(x^{t})+d^{\top}\nabla f_j(x^{t})+\tfrac12\,d^{\top}H_j^{t}\,d,\quad d=x-x^{t},\quad H_j^{t}s=y",
)
MEANING = (
    "Sohl-Dickstein, Poole and Ganguli, ICML 2014 (arXiv:1311.2115). F is the objective, fᵢ its subfunctions, gᵢ the quadratic model of "
    "fᵢ, made where fᵢ was evaluated last; j is the subfunction evaluated in step t. Its Hessian Hⱼ comes from BFGS on the last ten "
    "differences s of positions and y of its own gradients. The step length η is 1, and smaller after a step that failed. SGD (momentum "
    "0.9) and Adam multiply the gradient of one subfunction by N; L-BFGS is SciPy's, on the whole objective, with the best of ten "
    "memories. Every run starts at the same point. The minimum F* is found by Newton's method to rounding error."
)


def show(question: Plane) -> Export:
    """The whole view."""
    with working("Running four optimisers …"):
        payload = _payload(question)
        runs, at = compute.runs(question), compute.surface(question.surface, question.N, question.seed)
    player(payload, key="sum_of_functions")
    st.markdown("**Loss above the minimum against effective passes**")
    left, right = st.columns([0.56, 0.44], gap="medium")
    left.altair_chart(charts.loss_chart(runs, at.lowest, at.N, question.passes, session.is_dark()))
    right.markdown(table(runs, at.lowest, at.N))
    right.caption(
        "Passes after which the loss stays within this distance of the minimum; the setting is the step size of SGD and Adam. With a "
        "constant step size they only come near the minimum, because every subfunction has its own."
    )
    for equation in EQUATIONS:
        st.latex(equation)
    st.caption(MEANING)
    film = compute.film(question)
    columns: dict[str, list] = {"evaluations": film.evaluations.tolist()}
    arrays = {"evaluations": film.evaluations}
    for name, curve in runs.items():
        rows = compute.at_frames(curve, film.evaluations)
        columns[f"{name}_loss_above_minimum"] = (curve.loss[rows] - at.lowest).tolist()
        arrays[name] = curve.x[rows]
    return Export("dpm-sum-of-functions", python_of_plane(question), arrays, columns)


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(question: Plane) -> bytes:
    return stage.make(question)


def table(runs: Mapping[str, Curve], lowest: float, N: int) -> str:
    """Passes to within compute.CLOSE of the minimum, and the loss above it at the end."""
    lines = ["| Optimiser | Setting | Passes to 10⁻³ | to 10⁻⁶ | F − F* at the end |", "|---|---|---:|---:|---:|"]
    for name, curve in runs.items():
        reached = [curve.passes_to(lowest + level, N) for level in compute.CLOSE]
        passes = [f"over {curve.evaluations[-1] / N:.0f}" if found is None else number(found, 1) for found in reached]
        setting = "none" if curve.setting is None else stage.setting(curve).removeprefix("step size ")
        end = _short(float(curve.loss[-1]) - lowest)
        lines.append(f"| {TITLES[name]} | {setting} | {passes[0]} | {passes[1]} | {end} |")
    return "\n".join(lines)


def _short(value: float) -> str:
    if not np.isfinite(value):
        return "not finite"
    return "below 10⁻¹²" if value < 1e-12 else f"{value:.1e}" if value < 1e-3 else f"{value:.3g}"
