"""The Likelihood page with points: log p over the plane, every estimate at one point, work, and the quasi-static limit."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import plotly.graph_objects as go
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.figures.budget_charts import work_chart
from dpm_core.figures.palette import DATA, EXACT, MODEL
from dpm_core.figures.rasters import PLANE, rgb
from dpm_core.measure.bound import NATS_PER_BIT
from pages.ui import session
from pages.ui.components import convergence, number_cards
from pages.ui.components.number_cards import number, plus_minus
from pages.ui.components.working import working
from pages.ui.controls.schedule import SCHEDULE_TITLES
from pages.ui.kinds.points import measures
from pages.ui.kinds.points.measures import PointEstimates
from pages.ui.kinds.points.source import PointSource, dataset
from pages.ui.kinds.records import Export, Model

CELLS = 141  # of the map, along a side
DEPTH = 12.0  # nats below the maximum at which the map is blank
HELD_OUT = 60  # points that can be clicked
WORKS = 3000  # trajectories each way
TOO_FAR = 100.0

Point = tuple[float, float]


def show(model: Model, seed: int) -> Export:
    """The whole page: first what takes a second, then the density by quadrature, which takes about ten the first time."""
    fast = st.empty()
    if model.schedule.T <= measures.MAX_T and not measures.density_is_ready(model.checkpoint):
        with working("Computing log p over the plane …"), fast.container():
            _at_point(model, seed, with_density=False)
            measures.density(model.checkpoint)
        fast.empty()
    st.fragment(_at_point)(model, seed)
    _work(model, seed)
    _quasi_static(model.source, model.schedule)
    return _export(model, seed)


def _at_point(model: Model, seed: int, with_density: bool = True) -> None:
    """The map, the selected point, and every estimate of log p there."""
    _take_click()
    at = _selected(model.source)
    left, right = st.columns([0.46, 0.54], gap="large")
    with right:
        if with_density and (typed := _typed(at)) != at:
            _select(at := typed)
        found = measures.estimates(model.checkpoint, model.source, *at, seed) if with_density else None
        if found is None:
            st.info("Computing the density of the model by quadrature. The map shows the density of the data meanwhile.")
        else:
            _cards(found)
            _convergence(found)
    with left:
        _map(model, at, with_density)
        if with_density and model.schedule.T > measures.MAX_T:
            st.caption(
                f"A chain of {model.schedule.T:,} steps is too long for quadrature (at most {measures.MAX_T}): the map shows log q, the "
                "density of the data."
            )


def _selected(source: PointSource) -> Point:
    """The selected point, which is part of the link; a held-out point until one is selected."""
    chosen: Point | None = session.LIKELIHOOD_POINT.read(_decode, None)
    if chosen is None:
        x, y = _held_out(source)[0].tolist()
        chosen = round(x, 3), round(y, 3)
    return chosen


def _held_out(source: PointSource) -> np.ndarray:
    """Points that no model was trained on, ``[HELD_OUT, 2]``."""
    return dataset(source).sample(HELD_OUT, torch.Generator().manual_seed(1_000_010)).numpy()


def _decode(text: str) -> Point:
    x, y = map(float, text.split(","))
    if not (abs(x) <= TOO_FAR and abs(y) <= TOO_FAR):
        raise ValueError(f"The coordinates of a point must lie between −{TOO_FAR:g} and {TOO_FAR:g}, not {text}.")
    return x, y


def _typed(at: Point) -> Point:
    """The point by its two numbers."""
    left, right = st.columns(2)
    x = left.number_input("Selected point, x₁", -TOO_FAR, TOO_FAR, round(at[0], 3), 0.05, format="%.3f", key=f"x1_{at}")
    y = right.number_input("x₂", -TOO_FAR, TOO_FAR, round(at[1], 3), 0.05, format="%.3f", key=f"x2_{at}")
    return (x, y) if (x, y) != (round(at[0], 3), round(at[1], 3)) else at


def _select(at: Point) -> None:
    session.LIKELIHOOD_POINT.write(at, f"{at[0]:.3f},{at[1]:.3f}")


def _take_click() -> None:
    """Before anything is drawn: a place that was clicked on the map since the last run becomes the selected point."""
    event: dict[str, Any] = session.widget_value("plane_map", {}) or {}
    places = event.get("selection", {}).get("points", [])
    if places and (new := (float(places[0]["x"]), float(places[0]["y"]))) != session.LIKELIHOOD_CLICK.get():
        session.LIKELIHOOD_CLICK.set(new)
        _select(new)


def _map(model: Model, at: Point, with_density: bool) -> None:
    """log p(x⁽⁰⁾) over the plane with held-out points; a click selects a point."""
    dark = session.is_dark()
    axis = np.linspace(-PLANE, PLANE, CELLS)
    if with_density and model.schedule.T <= measures.MAX_T:
        values, name, role = measures.log_density_map(model.checkpoint, PLANE, CELLS), "log p", MODEL
    else:
        grid = torch.cartesian_prod(*[torch.from_numpy(axis)] * 2).flip(1)
        values, name, role = dataset(model.source).log_prob(grid).view(CELLS, CELLS).numpy(), "log q", DATA
    shade = role.dark if dark else role.light
    clear = "rgba({:.0f},{:.0f},{:.0f},0)".format(*rgb(shade))
    figure = go.Figure(
        go.Heatmap(x=axis, y=axis, z=np.maximum(values, float(values.max()) - DEPTH), colorscale=[[0, clear], [1, shade]],
                   showscale=False, hovertemplate=f"{name} %{{z:.2f}} nats<extra></extra>", name=name)
    )  # fmt: skip
    x0 = _held_out(model.source)
    points = {"size": 7, "color": DATA.dark if dark else DATA.light, "line": {"width": 0}}
    tip = "held-out point<extra></extra>"
    figure.add_scatter(x=x0[:, 0], y=x0[:, 1], mode="markers", name="held-out data", marker=points, hovertemplate=tip)
    # a heat map takes no clicks: an invisible lattice of markers does
    gx, gy = (part.ravel() for part in np.meshgrid(*[np.linspace(-PLANE, PLANE, 71)] * 2))
    figure.add_scatter(x=gx, y=gy, mode="markers", marker={"size": 9, "opacity": 0}, showlegend=False, hoverinfo="none", name="place")
    here = {"size": 15, "symbol": "cross-thin", "line": {"width": 2.5, "color": EXACT.dark if dark else EXACT.light}}
    figure.add_scatter(x=[at[0]], y=[at[1]], mode="markers", name="selected point", marker=here, hoverinfo="skip")
    figure.update_layout(
        height=600, margin={"l": 8, "r": 8, "t": 8, "b": 8}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.04, "x": 0}, dragmode=False, clickmode="event+select",
        xaxis={"range": [-PLANE, PLANE], "showgrid": False, "zeroline": False, "constrain": "domain"},
        yaxis={"range": [-PLANE, PLANE], "scaleanchor": "x", "showgrid": False, "zeroline": False, "constrain": "domain"},
    )  # fmt: skip
    figure.update_traces(unselected={"marker": {"opacity": None}}, selector={"type": "scatter"})
    if with_density:
        st.plotly_chart(figure, on_select="rerun", selection_mode="points", key="plane_map", config={"displayModeBar": False})
    else:
        st.plotly_chart(figure, key="plane_map_of_data", config={"displayModeBar": False})


def _cards(found: PointEstimates) -> None:
    """Every estimate of log p, beside the exact value where it is known."""
    j = found.jarzynski
    N = j.log_weights.shape[1]
    error = f"{plus_minus(float(j.standard_error[0]))}; N = {N:,}, effective sample size {float(j.effective_samples[0]):,.0f}"
    rows = [
        ("ELBO (mean log weight)", _nats(float(j.elbo[0])), f"{plus_minus(float(j.elbo_error[0]))}; lower bound for this point"),
        ("Jarzynski (log mean weight)", _nats(float(j.log_prob[0])), error),
        ("Probability flow", _nats(found.flow), "of the deterministic flow, which is another model"),
    ]
    if found.exact is not None:
        rows.append(("Exact, by quadrature", _nats(found.exact), f"{number(found.exact / NATS_PER_BIT)} bits"))
    rows.append(("Data density, log q", _nats(found.data), f"{number(found.data / NATS_PER_BIT)} bits"))
    number_cards.show(rows)


def _nats(value: float) -> str:
    return f"{number(value)} nats" if np.isfinite(value) else "−∞"


def _convergence(found: PointEstimates) -> None:
    """How the estimate rises from the ELBO to log p."""
    lines = {"ELBO": (float(found.jarzynski.elbo[0]), "noise")}
    if found.exact is not None:
        lines["exact"] = (found.exact, "exact")
    st.markdown("**Jarzynski estimate of log p** over the number of trajectories N")
    convergence.show(found.jarzynski, lines)


def _work(model: Model, seed: int) -> None:
    """Work along trajectories of the data and of the model: Crooks' fluctuation theorem."""
    forward, backward, (at, error) = measures.work(model.checkpoint, model.source, WORKS, seed)
    left, right = st.columns([0.64, 0.36], gap="large", vertical_alignment="center")
    left.altair_chart(work_chart(forward, backward, session.is_dark()), key="works")
    gap = number(float(forward.mean()), 3)
    right.markdown(
        f"**Crooks fluctuation theorem.** The work W = log q(x⁽⁰··ᵀ⁾) − log p(x⁽⁰··ᵀ⁾) along {WORKS:,} data trajectories (q) and "
        f"{WORKS:,} model trajectories (p) satisfies P_q(W)/P_p(W) = eᵂ. The two histograms therefore cross at the free energy "
        f"difference, which is 0 here: measured {number(at, 3)} {plus_minus(error)} nats. The mean work over data trajectories, "
        f"{gap} nats, equals −h − K: the dissipated work, zero for a reversible process."
    )


def _any_T(schedule: ScheduleConfig) -> tuple[str, tuple]:
    """A schedule's name and parameters for any T: a custom one is drawn for one T only."""
    return (schedule.name, schedule.params) if schedule.name != "custom" else ("log_snr", ())


def _quasi_static(source: PointSource, schedule: ScheduleConfig) -> None:
    """K as T grows, beside the negative entropy of the data."""
    name, params = _any_T(schedule)
    rows = measures.quasi_static(source, name, params)
    limit = -dataset(source).entropy() / NATS_PER_BIT
    dark = session.is_dark()
    base = alt.Chart(alt.Data(values=rows))
    across = alt.X("T:Q", title="steps T", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(grid=False, format="~s"))
    scale = alt.Scale(zero=False)
    ink = EXACT.dark if dark else EXACT.light
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=30, color=ink), color=ink).encode(
        across, alt.Y("bits:Q", title="K, bits per point", scale=scale), tooltip=["T:Q", alt.Tooltip("bits:Q", format=".3f")]
    )
    rule = alt.Chart(alt.Data(values=[{"bits": limit}])).mark_rule(strokeDash=[6, 3], color=DATA.dark if dark else DATA.light)
    left, right = st.columns([0.64, 0.36], gap="large", vertical_alignment="center")
    left.altair_chart(alt.layer(line, rule.encode(alt.Y("bits:Q", scale=scale))).properties(height=240), key="quasi_static")
    rest = limit - rows[-1]["bits"]
    right.markdown(
        f"**Quasi-static limit.** Best K with Gaussian steps as T grows ({SCHEDULE_TITLES[name]}), without a network. Smaller steps "
        f"dissipate less: K rises from {number(rows[0]['bits'])} bits at T = 2 to {number(rows[-1]['bits'])} bits at T = 1,000; the upper "
        f"limit −h = {number(limit)} bits is dashed. The remaining {number(rest)} bits are due to the fixed first step and the mismatch "
        "with the prior, which more steps do not change."
    )


def _export(model: Model, seed: int) -> Export:
    """log p at the point over the number of trajectories, and every log weight (arrays only), in nats; the Python."""
    at = _selected(model.source)
    found = measures.estimates(model.checkpoint, model.source, *at, seed)
    rows = {key: [row[key] for row in found.jarzynski.curve()] for key in ("N", "value", "low", "high")}
    arrays = {key: np.array(values) for key, values in rows.items()} | {"log_weights": found.jarzynski.log_weights[0].numpy()}
    python = f"""import torch
from dpm_core import checkpoints
from dpm_core.measure.estimators import jarzynski
from dpm_core.measure.model_density import exact_log_prob, first_marginal
from dpm_core.measure.probability_flow import probability_flow_log_prob

loaded = {model.checkpoint.python}
x = torch.tensor([[{at[0]:.4f}, {at[1]:.4f}]])
found = jarzynski(loaded.model, loaded.diffusion, x, {measures.TRAJECTORIES}, torch.Generator().manual_seed({seed}))
print(found.elbo, found.log_prob, found.standard_error, found.effective_samples)
print(probability_flow_log_prob(loaded.model, loaded.diffusion, x))
print(exact_log_prob(loaded.model, first_marginal(loaded.model, loaded.diffusion), x))  # some seconds at T = 40
"""
    return Export("dpm-likelihood", python, arrays, rows)
