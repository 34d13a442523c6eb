"""What the Likelihood page shows: log p in the plane, every opinion of one point, works both ways, and the quasi-static limit."""

from __future__ import annotations

from pathlib import Path

import altair as alt
import numpy as np
import plotly.graph_objects as go
import streamlit as st
import torch

from dpm_core import checkpoints
from dpm_core.config import ScheduleConfig
from dpm_core.figures.budget_charts import convergence_chart, work_chart
from dpm_core.figures.palette import DATA, EXACT, MODEL
from dpm_core.figures.rasters import PLANE, rgb
from dpm_core.measure.bound import NATS_PER_BIT
from pages.ui import cache, session
from pages.ui.bound import compute
from pages.ui.bound.compute import Opinions, Subject
from pages.ui.components import number_cards
from pages.ui.components.number_cards import number
from pages.ui.controls import widgets
from pages.ui.kinds.points import selected_point

CELLS = 141  # of the heat map, along a side
FLOOR = 12.0  # nats below the top at which it is blank
HELD_OUT = 60  # points that can be clicked
WORKS = 3000


def choose() -> Subject:
    """A model, from controls. Raises CheckpointError."""
    found = checkpoints.list_checkpoints()
    titles = {name: selected_point.model_title(path, path.stat().st_mtime) for name, path in found.items()}
    name = widgets.choose("Model", titles, "likelihood_of", "swiss_roll_mlp" if "swiss_roll_mlp" in found else None)
    return Subject(titles[name], *selected_point.model_parts(name, found[name]))


def prepare(ref: cache.ModelRef, source: widgets.PlaneSource, schedule: ScheduleConfig, seed: int) -> None:
    """Do the slow work before anything is drawn."""
    if schedule.T <= compute.LONGEST:
        compute.heat(ref, PLANE, CELLS)
    compute.works(ref, source, WORKS, seed)
    compute.quasi_static(source, *_smooth(schedule))


def _smooth(schedule: ScheduleConfig) -> tuple[str, tuple]:
    """A schedule's name and parameters for any T: one drawn by hand is not for every T."""
    return (schedule.name, schedule.params) if schedule.name != "custom" else ("log_snr", ())


def opinions(ref: cache.ModelRef, source: widgets.PlaneSource, at: tuple[float, float], seed: int) -> Opinions:
    """What is said of one point; half a second, so that it is said that it takes a moment."""
    with st.spinner("Following trajectories …", show_time=True):
        return compute.opinions(ref, source, *at, seed)


def point(source: widgets.PlaneSource) -> tuple[float, float]:
    """The point looked at: it lives in the link; until one is chosen, a datum."""
    chosen = session.linked("at", _decode, None)
    return chosen or tuple(round(v, 3) for v in held_out(source)[0].tolist())


def held_out(source: widgets.PlaneSource) -> np.ndarray:
    """Points that no model was trained on, ``[HELD_OUT, 2]``."""
    return cache.dataset(source).sample(HELD_OUT, torch.Generator().manual_seed(1_000_010)).numpy()


def _decode(text: str) -> tuple[float, float]:
    x, y = map(float, text.split(","))
    if not (abs(x) <= 100 and abs(y) <= 100):
        raise ValueError("This point lies too far outside the plane.")
    return x, y


def typed(at: tuple[float, float]) -> tuple[float, float]:
    """The point by its two numbers."""
    left, right = st.columns(2)
    x = left.number_input("x₁", -100.0, 100.0, round(at[0], 3), 0.05, format="%.3f", key=f"x1_{at}")
    y = right.number_input("x₂", -100.0, 100.0, round(at[1], 3), 0.05, format="%.3f", key=f"x2_{at}")
    return (x, y) if (x, y) != (round(at[0], 3), round(at[1], 3)) else at


def move(at: tuple[float, float]) -> None:
    """Look at another point."""
    st.session_state["at"] = at
    session.put_in_link("at", f"{at[0]:.3f},{at[1]:.3f}")


def plane_map(ref: cache.ModelRef, source: widgets.PlaneSource, T: int, at: tuple[float, float]) -> None:
    """log p(x⁽⁰⁾) over the plane with held-out points; a click on any place looks at it."""
    dark = st.context.theme.type == "dark"
    axis = np.linspace(-PLANE, PLANE, CELLS)
    if T <= compute.LONGEST:
        values, name = compute.heat(ref, PLANE, CELLS), "log p"
    else:  # too long for quadrature: the data's own density is shown instead, and says so
        grid = torch.cartesian_prod(*[torch.from_numpy(axis)] * 2).flip(1)
        values, name = cache.dataset(source).log_prob(grid).view(CELLS, CELLS).numpy(), "log q"
    top = float(values.max())
    shade = (MODEL if name == "log p" else DATA).dark if dark else (MODEL if name == "log p" else DATA).light
    clear = "rgba({:.0f},{:.0f},{:.0f},0)".format(*rgb(shade))
    figure = go.Figure(
        go.Heatmap(x=axis, y=axis, z=np.maximum(values, top - FLOOR), colorscale=[[0, clear], [1, shade]], showscale=False,
                   hovertemplate=f"{name} %{{z:.2f}} nats<extra></extra>", name=name)
    )  # fmt: skip
    x0 = held_out(source)
    points = {"size": 7, "color": DATA.dark if dark else DATA.light, "line": {"width": 0}}
    tip = "held-out point<extra></extra>"
    figure.add_scatter(x=x0[:, 0], y=x0[:, 1], mode="markers", name="held-out data", marker=points, hovertemplate=tip)
    # a heat map takes no clicks: an invisible lattice of markers does
    lattice = np.linspace(-PLANE, PLANE, 71)
    gx, gy = (part.ravel() for part in np.meshgrid(lattice, lattice))
    figure.add_scatter(x=gx, y=gy, mode="markers", marker={"size": 9, "opacity": 0}, showlegend=False, hoverinfo="none", name="place")
    here = {"size": 15, "symbol": "cross-thin", "line": {"width": 2.5, "color": EXACT.dark if dark else EXACT.light}}
    figure.add_scatter(x=[at[0]], y=[at[1]], mode="markers", name="looked at", marker=here, hoverinfo="skip")
    figure.update_layout(
        height=470, margin={"l": 8, "r": 8, "t": 8, "b": 8}, paper_bgcolor="rgba(0,0,0,0)", plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": 1.06, "x": 0}, dragmode=False, clickmode="event+select",
        xaxis={"range": [-PLANE, PLANE], "showgrid": False, "zeroline": False, "constrain": "domain"},
        yaxis={"range": [-PLANE, PLANE], "scaleanchor": "x", "showgrid": False, "zeroline": False},
    )  # fmt: skip
    figure.update_traces(unselected={"marker": {"opacity": None}}, selector={"type": "scatter"})
    st.plotly_chart(figure, on_select="rerun", selection_mode="points", key="plane_map", config={"displayModeBar": False})


def look_where_clicked() -> None:
    """Before anything is drawn: a place that was clicked on the map since the last run is the point to look at."""
    places = (st.session_state.get("plane_map") or {}).get("selection", {}).get("points", [])
    if places and (new := (float(places[0]["x"]), float(places[0]["y"]))) != st.session_state.get("clicked_at"):
        st.session_state["clicked_at"] = new
        move(new)


def cards(found: Opinions) -> None:
    """Every opinion beside the exact one."""
    j = found.jarzynski
    N = j.log_weights.shape[1]
    error = f"± {float(j.standard_error[0]):.2g}, N = {N:,}; {float(j.effective_samples[0]):,.0f} of them count"
    rows = [
        ("ELBO, the mean of the log", _nats(float(j.elbo[0])), "K of this one point"),
        ("Jarzynski", _nats(float(j.log_prob[0])), error),
        ("Probability flow", _nats(found.flow), "a different model: no noise on the way"),
    ]
    if found.exact is not None:
        rows.append(("Exact, by quadrature", _nats(found.exact), f"{number(found.exact / NATS_PER_BIT)} bits"))
    rows.append(("The data's own, log q", _nats(found.data), f"{number(found.data / NATS_PER_BIT)} bits"))
    number_cards.show(rows)


def _nats(value: float) -> str:
    return f"{number(value)} nats" if np.isfinite(value) else "−∞"


def convergence(found: Opinions) -> None:
    """How the estimate rises to the truth."""
    lines = {"ELBO": (float(found.jarzynski.elbo[0]), "noise")}
    if found.exact is not None:
        lines["exact"] = (found.exact, "exact")
    st.markdown("**From K up to log p**: the log of the mean weight, as trajectories are added")
    curve = found.curve()
    if curve:
        st.altair_chart(convergence_chart(curve, lines, st.context.theme.type == "dark"), key="convergence")
    else:
        st.caption("No trajectory reaches this point with a weight that can be told from 0: log p is −∞ as far as can be seen.")


def crooks(ref: cache.ModelRef, source: widgets.PlaneSource, seed: int) -> None:
    """Works along the data's trajectories and the model's."""
    forward, backward, (at, error) = compute.works(ref, source, WORKS, seed)
    left, right = st.columns([0.64, 0.36], gap="large", vertical_alignment="center")
    left.altair_chart(work_chart(forward, backward, st.context.theme.type == "dark"), key="works")
    gap = float(forward.mean())
    right.markdown(
        f"**Crooks**: the work W = log q(x⁽⁰··ᵀ⁾) − log p(x⁽⁰··ᵀ⁾) along {WORKS:,} trajectories of the data and as many of the model. "
        f"P_q(W)/P_p(W) = eᵂ, so where the two cross the free energies differ by nothing: measured {number(at, 3)} ± {error:.2g} nats. "
        f"The mean work along the data's, {number(gap, 3)} nats, is −h − K: heat that a reversible process would not lose."
    )


def quasi_static(source: widgets.PlaneSource, schedule: ScheduleConfig) -> None:
    """K as T grows, with the data's −h."""
    name, params = _smooth(schedule)
    rows = compute.quasi_static(source, name, params)
    limit = -cache.dataset(source).entropy() / NATS_PER_BIT
    dark = st.context.theme.type == "dark"
    base = alt.Chart(alt.Data(values=rows))
    across = alt.X("T:Q", title="steps T", scale=alt.Scale(type="log", nice=False), axis=alt.Axis(grid=False, format="~s"))
    scale = alt.Scale(zero=False)
    ink = EXACT.dark if dark else EXACT.light
    line = base.mark_line(strokeWidth=2, point=alt.OverlayMarkDef(size=30, color=ink), color=ink).encode(
        across, alt.Y("bits:Q", title="bits per point", scale=scale), tooltip=["T:Q", alt.Tooltip("bits:Q", format=".3f")]
    )
    rule = alt.Chart(alt.Data(values=[{"bits": limit}])).mark_rule(strokeDash=[6, 3], color=DATA.dark if dark else DATA.light)
    left, right = st.columns([0.64, 0.36], gap="large", vertical_alignment="center")
    left.altair_chart(alt.layer(line, rule.encode(alt.Y("bits:Q", scale=scale))).properties(height=240), key="quasi_static")
    left_over = limit - rows[-1]["bits"]
    right.markdown(
        f"**Slower is better**: K of the best Gaussian chain under {widgets.SCHEDULE_TITLES[name]} as T grows, no network. A process cut "
        f"into ever smaller steps loses ever less: {number(rows[0]['bits'])} bits at T = 2, {number(rows[-1]['bits'])} at T = 1,000, of "
        f"the data's −h = {number(limit)} (dashed). What stays, {number(left_over)}, is the first step and the prior, which more steps "
        "do not mend."
    )


def table(
    ref: cache.ModelRef, source: widgets.PlaneSource, at: tuple[float, float], seed: int
) -> tuple[dict[str, np.ndarray], dict[str, list[float]]]:
    """log p at the point after so many trajectories, and every one of their log weights (arrays only), in nats."""
    found = compute.opinions(ref, source, *at, seed)
    rows = {key: [row[key] for row in found.curve()] for key in ("N", "value", "low", "high")}
    arrays = {key: np.array(values) for key, values in rows.items()}
    return arrays | {"log_weights": found.jarzynski.log_weights[0].numpy()}, rows


def python(at: tuple[float, float], seed: int, ref: cache.ModelRef) -> str:
    """The Python that makes the page's numbers."""
    return f"""import torch
from dpm_core import checkpoints
from dpm_core.measure.estimators import jarzynski, probability_flow_log_prob
from dpm_core.measure.model_density import exact_log_prob, first_marginal

loaded = checkpoints.load({Path(ref.path).stem!r})
x = torch.tensor([[{at[0]:.4f}, {at[1]:.4f}]])
found = jarzynski(loaded.model, loaded.diffusion, x, {compute.TRAJECTORIES}, torch.Generator().manual_seed({seed}))
print(found.elbo, found.log_prob, found.standard_error, found.effective_samples)
print(probability_flow_log_prob(loaded.model, loaded.diffusion, x))
print(exact_log_prob(loaded.model, first_marginal(loaded.model, loaded.diffusion), x))  # seconds at T = 40
"""
