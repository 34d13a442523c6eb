"""What the Multiply page shows: a panel and a distance for every rule, what the numbers say, and downloads."""

from __future__ import annotations

from functools import partial

import numpy as np
import streamlit as st

from dpm_core.figures import rasters
from dpm_core.figures.palette import ROLES
from dpm_core.posterior.products import ExactProduct
from pages.ui.components.player import Lines, Number, Panel, Stage, pack
from pages.ui.controls.schedule import python_schedule
from pages.ui.kinds.points import cached
from pages.ui.kinds.points.source import dataset, python
from pages.ui.kinds.records import Export
from pages.ui.posterior import multiply_compute
from pages.ui.posterior.multiply_charts import role
from pages.ui.posterior.multiply_compute import Draw, Question, Run

HALF_WIDTHS = (1.8, rasters.PLANE)  # of the narrow panels: they show the data and little more


@st.cache_resource(max_entries=16, show_spinner=False)
def payload(question: Question, draw: Draw) -> bytes:
    """The player's stage: a panel and a card for every rule."""
    truth, runs = multiply_compute.product(question), multiply_compute.runs(question, draw)
    times = [int(t) for t in runs["exact"].path.times]
    outline = Lines("target", "p × r", "exact", [_outline(question, truth)])
    layers = (outline, cached.contours(question.source, question.schedule, tuple(times)))
    mean, spread = truth.monte_carlo_floor(draw.n)
    panels, cards = [], []
    for rule, run in runs.items():
        title, few = question.rules[rule], run.path.x.shape[1]
        panels.append(Panel(rule, title, role(rule), run.path.x, "" if few == draw.n else f"{few:,} of {draw.n:,} shown", layers))
        note = f"± {run.error:.3f} at t = 0 · floor {mean:.3f} ± {spread:.3f} · {run.calls} kernel evaluations"
        cards.append(Number(f"Total variation to p̃: {title}", run.total_variation, 3, "", note, True, role(rule)))
    caption = (
        "All panels start from the same noise and differ only in how r enters the reverse steps. The [outline](target) contains 90 % of "
        "the probability of the exact product"
        + (", on the line of the known coordinate. " if question.r.is_delta else ". ")
        + "Particles outside it show the error of a rule. The [contours](contours) show p(x<sup>(t)</sup>) without r."
    )
    data = dataset(question.source)
    reach = float(np.clip(float(data.points.abs().max()) + 3 * data.noise, *HALF_WIDTHS))
    return pack(
        Stage(
            tuple(panels), times, question.schedule.T, -reach, reach, tuple(cards), caption,
            on=("target", "contours") if question.r.is_delta else ("target",),
            height="hero", name="dpm-multiply", start=0,
        )
    )  # fmt: skip


def _outline(question: Question, truth: ExactProduct) -> list[np.ndarray]:
    """The region of 90 % of the product's mass: closed lines, or segments of the line of the known coordinate."""
    if truth.density.ndim == 2:
        return rasters.contour_lines(truth.density, (0.9,), float(truth.axis[-1]))
    ordered = np.sort(truth.density)[::-1]
    level = ordered[np.searchsorted(ordered.cumsum(), 0.9 * ordered.sum())]
    ends = np.flatnonzero(np.diff(np.concatenate([[False], truth.density >= level, [False]]).astype(int))).reshape(-1, 2)
    lines = []
    for start, end in ends:
        line = np.full((2, 2), question.r.values[1])
        line[:, truth.coordinates[0]] = truth.axis[[start, end - 1]]
        lines.append(line)
    return lines


def summary(question: Question, truth: ExactProduct, draw: Draw, runs: dict[str, Run]) -> str:
    """What the numbers on the page say, in one or two sentences."""
    mean, spread = truth.monte_carlo_floor(draw.n)
    ratios = ", ".join(
        f"{question.rules[rule]} {run.total_variation[-1] / mean:.1f} × (± {run.error / mean:.1g})" for rule, run in runs.items()
    )
    text = (
        f"Distance to the exact product p̃ (total variation, relative to {draw.n:,} independent draws of p̃): {ratios}. The reverse kernel "
        "here is exact, so the differences come from the rule alone."
    )
    if runs["exact"].total_variation[-1] > mean + max(3 * spread, 0.01):
        text += f" What remains with the exact rₜ is the cost of {question.steps} Gaussian steps."
    return text


def lost_samples(question: Question, runs: dict[str, Run]) -> str:
    """A sentence about rules under which samples left the plane; "" when there are none."""
    shares = {rule: float(1 - (np.abs(run.x) < 2 * rasters.PLANE).all(1).mean()) for rule, run in runs.items()}
    lost = [f"{100 * share:.0f} % with {question.rules[rule]}" for rule, share in shares.items() if share > 0.005]
    if not lost:
        return ""
    return f"The gradient of log r is too large for steps of this width, so some samples diverge: {', '.join(lost)}."


def measurement(truth: ExactProduct, draw: Draw) -> str:
    """How the distances are measured."""
    step = truth.edges[1] - truth.edges[0]
    bins = f"bins of width {step:g}" if truth.density.ndim == 1 else f"squares of side {step:g}"
    return (
        f"Total variation: ½ Σ |fraction of the {draw.n:,} samples − exact probability| over {bins}; the exact probabilities are computed "
        f"by quadrature. Monte Carlo floor: the same for {draw.n:,} independent draws of p̃, mean ± standard deviation over 200 such sets. "
        "Kernel evaluations: number of reverse steps of the whole set of samples."
    )


def equation(truth: ExactProduct) -> str:
    """The product with its Z, and the rule that is exact."""
    name = r"p(c)" if truth.density.ndim == 1 else "Z"
    return (
        rf"\begin{{aligned}}\tilde p(x^{{(0)}})&=p(x^{{(0)}})\,r(x^{{(0)}})/{name},\quad {name}={truth.evidence:.3g}\\"
        r"r_t(x^{(t)})&=\mathbb E\left[r(X^{(0)})\mid x^{(t)}\right]\end{aligned}"
    )


def export(question: Question, draw: Draw, runs: dict[str, Run], dark: bool) -> Export:
    """The particles and distances of every rule, an animation, and the Python."""
    times = runs["exact"].path.times
    gif = partial(cached.trajectory_gif, [(run.path, ROLES[role(rule)]) for rule, run in runs.items()], dark)
    arrays = {"t": times} | {rule: run.path.x for rule, run in runs.items()}
    table = {"t": times.tolist()} | {rule: run.total_variation for rule, run in runs.items()}
    return Export("dpm-multiply", _python(question, draw), arrays, table, gif)


def _python(question: Question, draw: Draw) -> str:
    """The Python that makes the page's samples and distances."""
    r, T = question.r, question.schedule.T
    steps = "" if question.steps == T else f", steps={question.steps}"
    extra = "import numpy as np\n" if r.kind == "painted" else ""
    factors = {"known": "Inpaint, repaint", "observation": "Annealed, GaussianObservation"}.get(r.kind, "Annealed")
    made = f"\nfrom dpm_core.posterior.plane_factors import {r.kind}" if r.kind in ("half_plane", "ring", "painted") else ""
    call = f"diffusion, x_T{{}}{steps}, generator=torch.Generator().manual_seed({draw.seed + 1})"
    if r.is_delta:
        rules = f"""noised = Inpaint(r.mask, r.known, diffusion)
runs = {{
    "noise-free clamp": ancestral(kernel, {call.format(", factor=r")}),
    "noised clamp": ancestral(kernel, {call.format(", factor=noised")}),
    "RePaint": repaint(kernel, {call.format(", noised")}, jump={draw.jump}, resamplings={draw.resamplings}),
    "exact r_t": ancestral(exact_kernel(kernel, r, product), {call.format(", factor=noised")}),
}}"""
    else:
        rules = f"""runs = {{
    "r constant in t": ancestral(kernel, {call.format(", factor=r")}),
    "r annealed": ancestral(kernel, {call.format(f", factor=Annealed(r, {T})")}),
    "exact r_t": ancestral(exact_kernel(kernel, r, product), {call.format("")}),
}}"""
    return f"""{extra}import torch
from dpm_core.data import toy2d, uploads
from dpm_core.process import GaussianDiffusion
from dpm_core.posterior import {factors}
from dpm_core.posterior.products import exact_kernel, exact_product{made}
from dpm_core.samplers import ancestral
from dpm_core.schedules import make_schedule

data = {python(question.source)}
diffusion = GaussianDiffusion({python_schedule(question.schedule)})
kernel = data.exact_reverse(diffusion)
r = {r.python()}
product = exact_product(kernel, r)
x_T = torch.randn({draw.n}, 2, generator=torch.Generator().manual_seed({draw.seed}))
{rules}
for name, steps in runs.items():
    *_, (t, x) = steps
    print(name, product.total_variation(x.numpy()), "±", product.total_variation_error(x.numpy()))
print("floor", product.monte_carlo_floor({draw.n}))
"""
