"""What the Multiply page says: a panel and a distance for every rule, what the numbers teach, and the Python that made them."""

from __future__ import annotations

import numpy as np
import streamlit as st

from dpm_core.figures import rasters
from dpm_core.posterior.products import ExactProduct
from pages.ui import cache
from pages.ui.components.player import Lines, Number, Panel, Stage, pack
from pages.ui.controls import widgets
from pages.ui.posterior import multiply_compute
from pages.ui.posterior.multiply_charts import role
from pages.ui.posterior.multiply_compute import Draw, Question, Run

REACH = (1.8, rasters.PLANE)  # half-width of the panels: narrow as they are, they show the data and little more


@st.cache_resource(max_entries=16, show_spinner=False)
def payload(question: Question, draw: Draw) -> bytes:
    """The player's stage: a panel and a card for every rule."""
    truth, runs = multiply_compute.product(question), multiply_compute.runs(question, draw)
    times = [int(t) for t in runs["exact"].path.times]
    outline = Lines("target", "p × r", "exact", [_outline(question, truth)])
    layers = (outline, cache.contours(question.source, question.schedule, tuple(times)))
    mean, spread = truth.monte_carlo_floor(draw.n)
    panels, cards = [], []
    for rule, run in runs.items():
        title, few = question.rules[rule], run.path.x.shape[1]
        panels.append(Panel(rule, title, role(rule), run.path.x, "" if few == draw.n else f"{few:,} of {draw.n:,} shown", layers))
        note = f"floor {mean:.3f} ± {spread:.3f} · {run.calls} kernel calls"
        cards.append(Number(f"{title}: total variation to p̃", run.total_variation, 3, "", note, True, role(rule)))
    caption = (
        "All panels start from the same noise. Only how r enters the steps differs. The [outline](target) holds 90 % of the exact product"
        + (", on the line that is known; " if question.r.is_delta else "; ")
        + "particles outside it are where a rule goes wrong. The [contours](contours) are p(x<sup>(t)</sup>) without r."
    )
    data = cache.dataset(question.source)
    reach = float(np.clip(float(data.points.abs().max()) + 3 * data.noise, *REACH))
    return pack(
        Stage(
            tuple(panels), times, question.schedule.T, -reach, reach, tuple(cards), caption,
            on=("target", "contours") if question.r.is_delta else ("target",),
            height="hero", name="dpm-multiply", start=0,
        )
    )  # fmt: skip


def _outline(question: Question, truth: ExactProduct) -> list[np.ndarray]:
    """Around 90 % of the product's mass: closed lines, or stretches of the line where a coordinate is known."""
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


def lesson(question: Question, truth: ExactProduct, draw: Draw, runs: dict[str, Run]) -> str:
    """What the numbers on the page say, in one or two sentences."""
    mean, spread = truth.monte_carlo_floor(draw.n)
    ratio = {rule: run.total_variation[-1] / mean for rule, run in runs.items()}
    far = [rule for rule in runs if runs[rule].total_variation[-1] > mean + max(3 * spread, 0.01)]
    near = [question.rules[rule] for rule in runs if rule not in far]
    off = [f"{question.rules[rule]} ends {ratio[rule]:.1f} times as far from p̃ as {draw.n:,} draws of p̃ itself would" for rule in far[:1]]
    off += [f"{question.rules[rule]} {ratio[rule]:.1f} times" for rule in far[1:]]
    if not off:
        return f"Here every rule comes as near to p̃ as {draw.n:,} draws of p̃ itself would."
    first = f"No network errs here, every step is the data's own exact one, and yet {_listed(off)}."
    if "exact" in far:
        return f"{first} What keeps even the exact rₜ from the floor is the price of {question.steps} Gaussian steps."
    also = f", and so {'is' if len(near) == 2 else 'are'} {_listed(near[:-1])}" if len(near) > 1 else ""
    return f"{first} The exact rₜ is as near as such draws are{also}."


def astray(question: Question, runs: dict[str, Run]) -> str:
    """A sentence about rules that threw samples out of the plane; "" when none did."""
    shares = {rule: float(1 - (np.abs(run.x) < 2 * rasters.PLANE).all(1).mean()) for rule, run in runs.items()}
    lost = [f"{question.rules[rule]} throws {100 * share:.0f} %" for rule, share in shares.items() if share > 0.005]
    return f"Where log r is too steep for steps this wide, samples leave the plane: {_listed(lost)} of them there." if lost else ""


def _listed(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else ", ".join(parts[:-1]) + " and " + parts[-1]


def yardstick(truth: ExactProduct, draw: Draw) -> str:
    """How the distances are measured."""
    step = truth.edges[1] - truth.edges[0]
    bins = f"bins {step:g} wide" if truth.density.ndim == 1 else f"squares {step:g} wide"
    return (
        f"Total variation: ½ Σ |share of the {draw.n:,} samples − exact probability| over {bins}, the probabilities by quadrature. "
        f"Its floor: the same for {draw.n:,} independent draws of p̃, mean ± standard deviation of 200 such sets. "
        "Kernel calls: how often the whole set of samples took a step back."
    )


def equation(truth: ExactProduct) -> str:
    """The product with its Z, and the rule that is exact."""
    name = r"p(c)" if truth.density.ndim == 1 else "Z"
    return (
        rf"\begin{{aligned}}\tilde p(x^{{(0)}})&=p(x^{{(0)}})\,r(x^{{(0)}})/{name},\quad {name}={truth.evidence:.3g}\\"
        r"r_t(x^{(t)})&=\mathbb E\left[r(X^{(0)})\mid x^{(t)}\right]\end{aligned}"
    )


def python(question: Question, draw: Draw) -> str:
    """The Python that makes the page's samples and distances."""
    r, T = question.r, question.schedule.T
    steps = "" if question.steps == T else f", steps={question.steps}"
    extra = "import numpy as np\n" if r.kind == "painted" else ""
    factors = {"known": "Inpaint, repaint", "observation": "Annealed, GaussianObservation"}.get(r.kind, "Annealed")
    made = f", {r.kind}" if r.kind in ("half_plane", "ring", "painted") else ""
    call = f"diffusion, x_T{{}}{steps}, generator=torch.Generator().manual_seed({draw.seed + 1})"
    if r.is_delta:
        rules = f"""noised = Inpaint(r.mask, r.known, diffusion)
runs = {{
    "clean clamp": ancestral(kernel, {call.format(", factor=r")}),
    "noised clamp": ancestral(kernel, {call.format(", factor=noised")}),
    "RePaint": repaint(kernel, {call.format(", noised")}, jump={draw.jump}, resamplings={draw.resamplings}),
    "exact r_t": ancestral(exact_kernel(kernel, r, product), {call.format(", factor=noised")}),
}}"""
    else:
        rules = f"""runs = {{
    "r held constant": ancestral(kernel, {call.format(", factor=r")}),
    "annealed r": ancestral(kernel, {call.format(f", factor=Annealed(r, {T})")}),
    "exact r_t": ancestral(exact_kernel(kernel, r, product), {call.format("")}),
}}"""
    return f"""{extra}import torch
from dpm_core.data import toy2d, uploads
from dpm_core.process import GaussianDiffusion
from dpm_core.posterior import {factors}
from dpm_core.posterior.products import exact_kernel, exact_product{made}
from dpm_core.samplers import ancestral
from dpm_core.schedules import make_schedule

data = {widgets.python_data(question.source)}
diffusion = GaussianDiffusion({widgets.python_schedule(question.schedule)})
kernel = data.exact_reverse(diffusion)
r = {r.python()}
product = exact_product(kernel, r)
x_T = torch.randn({draw.n}, 2, generator=torch.Generator().manual_seed({draw.seed}))
{rules}
for name, steps in runs.items():
    *_, (t, x) = steps
    print(name, product.total_variation(x.numpy()))
print("floor", product.monte_carlo_floor({draw.n}))
"""
