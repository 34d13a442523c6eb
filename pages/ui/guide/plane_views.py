"""Guidance in the plane on the page: the players of every rule, what strength does, and downloads."""

from __future__ import annotations

from functools import partial

import altair as alt
import numpy as np
import streamlit as st

from dpm_core.figures import rasters
from dpm_core.figures.palette import EXACT, MODEL, ROLES
from pages.ui import session
from pages.ui.components.player import Lines, Number, Panel, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.controls import widgets
from pages.ui.controls.schedule import python_schedule, schedule_config
from pages.ui.guide import plane_compute, target
from pages.ui.guide.plane_compute import RULES, Question
from pages.ui.kinds.points import cached
from pages.ui.kinds.points.source import PointSource, controls, dataset, python
from pages.ui.kinds.records import Export

HALF_WIDTHS = (1.8, rasters.PLANE)
NOTES = (
    "The [green outline](target) contains 90 % of the probability of p(x) p(y|x)<sup>γ</sup>, normalised; it equals p(x|y) at γ = 1. "
    "All panels start from the same noise. The classifier here is exact, so what differs from the outline comes from the rule: "
    "p(y|x<sup>(t)</sup>)<sup>γ</sup> is not the expectation of p(y|x<sup>(0)</sup>)<sup>γ</sup>, unless γ = 1. "
    "The [contours](contours) show p(x<sup>(t)</sup>) without r."
)


def question(name: str) -> Question:
    """What the controls ask for. Raises DataError, ScheduleError."""
    with st.sidebar:
        source = controls(name)
        schedule = schedule_config()
        n = session.bind(st.select_slider, "Samples per rule", [500, 1000, 2000, 3000, 5000], 3000, key="n_guided")
        seed = widgets.seed()
    asked = target.controls(dataset(source).classes, 0)
    return Question(source, schedule, asked, int(n), seed, plane_compute.conditional_model(source))


def show(name: str) -> Export:
    """The page for points."""
    asked = question(name)
    with working("Sampling under every rule …"):
        payload, runs = _payload(asked), plane_compute.runs(asked)
    player(payload, key="guide")
    names = dataset(asked.source).classes
    truth = plane_compute.product(asked.source, asked.schedule, asked.target)
    floor, deviation = truth.monte_carlo_floor(asked.n)
    ratios = ", ".join(f"{RULES[rule]} {run.total_variation[-1] / floor:.1f} ×" for rule, run in runs.items())
    wanted = f"y = {session.plain(asked.target.words(names))} and γ = {asked.target.strength:g}"
    st.markdown(
        f"Distance to the exact p(x) p(y|x)^γ, with {wanted} (total variation, relative to {asked.n:,} independent draws of it, "
        f"{floor:.3f} ± {deviation:.3f}): {ratios}."
    )
    if asked.model is None:
        command = f"python -m dpm_core train --data {asked.source.name} --labels --name {asked.source.name}_by_class"
        st.caption(
            f"There is no class-conditional network of these data, so classifier-free guidance is not shown; `{command}` trains one."
        )
    st.markdown("**What strength does to p(x|y)**")
    with st.spinner("Comparing strengths …"):
        rows = plane_compute.sweep(asked)
    st.altair_chart(_sweep_chart(asked, rows, session.is_dark()))
    st.caption(
        "For each strength γ, on the same noise: total variation between the samples and the exact p(x|y); the mean probability "
        "p(y|x) of the class that was asked for; and the spread, the root mean square distance of two samples divided by √2. A larger γ "
        "makes the class more certain and the samples less varied. Monte Carlo floor of the distance: "
        f"{plane_compute.of_class(asked).monte_carlo_floor(plane_compute.SWEPT_POINTS)[0]:.3f}."
    )
    gif = partial(cached.trajectory_gif, [(run.path, ROLES[_role(rule)]) for rule, run in runs.items()], session.is_dark())
    times = runs["exact"].path.times
    arrays = {"t": times} | {rule: run.path.x for rule, run in runs.items() if len(run.path.times) == len(times)}
    table = {name: [getattr(row, name) for row in rows] for name in rows[0]._fields}
    return Export("dpm-guide", _python(asked), arrays, table, gif)


def _role(rule: str) -> str:
    return "exact" if rule == "exact" else "model"


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(asked: Question) -> bytes:
    truth, runs = plane_compute.product(asked.source, asked.schedule, asked.target), plane_compute.runs(asked)
    outline = Lines("target", "p(x) p(y|x)^γ", "exact", [rasters.contour_lines(truth.density, (0.9,), float(truth.axis[-1]))])
    mean, spread = truth.monte_carlo_floor(asked.n)
    times = [int(t) for t in runs["classifier"].path.times]
    layers = (outline, cached.contours(asked.source, asked.schedule, tuple(times)))
    panels, cards = [], []
    for rule, run in runs.items():
        x, values = _at(run.path.times, run.path.x, times), _at(run.path.times, np.array(run.total_variation), times)
        few = x.shape[1]
        panels.append(Panel(rule, RULES[rule], _role(rule), x, "" if few == asked.n else f"{few:,} of {asked.n:,} shown", layers))
        note = f"± {run.error:.3f} at t = 0 · floor {mean:.3f} ± {spread:.3f}"
        cards.append(Number(f"Total variation: {RULES[rule]}", values.tolist(), 3, "", note, True, _role(rule)))
    data = dataset(asked.source)
    reach = float(np.clip(float(data.points.abs().max()) + 3 * data.noise, *HALF_WIDTHS))
    return pack(
        Stage(
            tuple(panels), times, asked.schedule.T, -reach, reach, tuple(cards), NOTES, on=("target",), height="hero", name="dpm-guide",
            start=0,
        )
    )  # fmt: skip


def _at(found: np.ndarray, values: np.ndarray, times: list[int]) -> np.ndarray:
    """Frames of a run at the times of another: a network has the T of its own training, and its frames are matched by their share of T."""
    share = found / max(int(found[0]), 1)
    wanted = np.array(times) / max(times[0], 1)
    return values[[int(np.abs(share - one).argmin()) for one in wanted]]


def _sweep_chart(asked: Question, rows: list[plane_compute.Swept], dark: bool) -> alt.HConcatChart:
    """Three small charts over γ, a line for every rule."""
    values = [
        {
            "rule": RULES[row.rule], "γ": row.strength, "distance to p(x|y)": row.total_variation, "mean p(y|x)": row.share,
            "spread": row.spread / 2**0.5,
        }
        for row in rows
    ]  # fmt: skip
    shown = list(dict.fromkeys(row.rule for row in rows))
    colours = {"classifier": MODEL, "free": MODEL, "exact": EXACT}
    scale = alt.Scale(domain=[RULES[rule] for rule in shown], range=[colours[r].dark if dark else colours[r].light for r in shown])
    dashes = alt.Scale(domain=[RULES[rule] for rule in shown], range=[[5, 4] if rule == "free" else [1, 0] for rule in shown])
    axis = alt.Axis(values=list(plane_compute.SWEPT), format="~g", grid=False)
    base = alt.Chart(alt.Data(values=values)).encode(
        alt.X("γ:Q", title="strength γ", scale=alt.Scale(type="sqrt", nice=False), axis=axis),
        color=alt.Color("rule:N", scale=scale, sort=None, legend=alt.Legend(title=None, orient="top", symbolType="stroke")),
        strokeDash=alt.StrokeDash("rule:N", scale=dashes, sort=None, legend=None),
    )

    def chart(field: str, domain: list[float] | None) -> alt.LayerChart:
        y = alt.Y(
            f"{field}:Q",
            title=field,
            scale=alt.Scale(domain=domain, nice=False) if domain else alt.Scale(zero=True),
            axis=alt.Axis(tickCount=4),
        )
        tip = [alt.Tooltip("rule:N"), alt.Tooltip("γ:Q"), alt.Tooltip(f"{field}:Q", format=".3f")]
        return (base.mark_line(strokeWidth=2).encode(y) + base.mark_point(size=36, filled=True).encode(y, tooltip=tip)).properties(
            height=190, width=250
        )

    parts = [chart("distance to p(x|y)", None), chart("mean p(y|x)", [0, 1.02]), chart("spread", None)]
    return alt.hconcat(*parts, spacing=34)


def _python(asked: Question) -> str:
    """The Python that makes the samples of every rule and their distances."""
    T = asked.schedule.T
    run = f"torch.Generator().manual_seed({asked.seed + 1})" + (f", steps={plane_compute.MAX_STEPS}" if plane_compute.MAX_STEPS < T else "")
    return f"""import torch
from dpm_core.data import toy2d, uploads
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.guidance import ClassFactor
from dpm_core.posterior import Annealed, Potential
from dpm_core.posterior.products import exact_kernel, exact_product
from dpm_core.process import GaussianDiffusion
from dpm_core.samplers import ancestral
from dpm_core.schedules import make_schedule

data = {python(asked.source)}
diffusion = GaussianDiffusion({python_schedule(asked.schedule)})
kernel = data.exact_reverse(diffusion)
classifier = DATA_KINDS["points"].exact_classes(data, diffusion)
r = ClassFactor(classifier, {asked.target.python()}, {asked.target.strength:g})  # {", ".join(data_classes(asked.source))}
product = exact_product(kernel, r)
x_T = torch.randn({asked.n}, 2, generator=torch.Generator().manual_seed({asked.seed}))
runs = {{
    "constant": ancestral(kernel, diffusion, x_T, factor=r, generator={run}),
    "annealed": ancestral(kernel, diffusion, x_T, factor=Annealed(r, diffusion.T), generator={run}),
    "exact": ancestral(exact_kernel(kernel, Potential(r.log_prob), product), diffusion, x_T, generator={run}),
}}
for name, steps in runs.items():
    *_, (t, x) = steps
    print(name, product.total_variation(x.numpy()), "±", product.total_variation_error(x.numpy()))
print("floor", product.monte_carlo_floor({asked.n}))
"""


def data_classes(source: PointSource) -> tuple[str, ...]:
    """The names of the classes of a source."""
    return dataset(source).classes
