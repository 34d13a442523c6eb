"""The view of continuous data: score matching as the limit of minimum probability flow with small neighbourhoods."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from streamlit.delta_generator import DeltaGenerator
from torch import Tensor

from dpm_core.figures.rasters import contour_lines
from dpm_core.lab.flow import score_matching as lab
from dpm_core.lab.flow.plane_data import case
from pages.ui import cache, session
from pages.ui.components.player import Lines, Number, Panel, Stage, pack, player
from pages.ui.components.working import working
from pages.ui.kinds.records import Export
from pages.ui.lab.ising import charts
from pages.ui.lab.ising.question import PlaneQuestion, python_of_plane

WIDTHS = (0.8, 0.4, 0.2, 0.1, 0.05)
REACH, GRID, AROUND, EACH = 3.2, 90, 40, 25
CAPTION = (
    "Left: some data, each with neighbours x + σz in a Gaussian neighbourhood. Right: all data, with the densities fitted by "
    "[minimum probability flow](flow) with these neighbours, by [score matching](limit) and by [denoising](denoising) with noise of width "
    "σ. Contours enclose 25, 60 and 90 % of the mass. The time t is σ in thousandths, from wide to narrow."
)
BRIDGE = (
    "For small σ the flow into the neighbours becomes the objective of score matching, which needs the gradient of the energy at the data "
    "only. Denoising score matching (Vincent 2011) is score matching on data to which noise of width σ was added: a network that predicts "
    "the noise z from x + σz learns the score −z/σ on average. This is the loss of diffusion models, at many noise levels instead of one. "
    "At a given σ it estimates the density of the noisy data, so its distance to score matching is larger than that of minimum probability "
    "flow, which estimates the density of the data themselves; both vanish as σ²."
)
SOURCES = (
    "Score matching: Hyvärinen, JMLR 6, 695 (2005), Theorem 1. Its limit: Sohl-Dickstein, Battaglino & DeWeese, ICML 2011 (section and "
    "appendix on score matching). Denoising: Vincent, Neural Computation 23, 1661 (2011)."
)


class Fits(NamedTuple):
    """θ of score matching, and by width of minimum probability flow and of denoising; the distances of their scores to the first."""

    limit: Tensor
    flow: dict[float, Tensor]
    denoising: dict[float, Tensor]
    flow_distance: dict[float, float]
    denoising_distance: dict[float, float]


@st.cache_resource(max_entries=16, show_spinner=False)
def _fits(question: PlaneQuestion) -> cache.Once[Fits]:
    return cache.Once()


def fits(question: PlaneQuestion, progress: Callable[[float], None] | None = None) -> Fits:
    """The fits, made once; ``progress`` takes the share that is done."""
    return _fits(question).get(lambda: _fit(question, progress))


def _fit(question: PlaneQuestion, progress: Callable[[float], None] | None) -> Fits:
    family, start, x = case(question.case, question.n, question.seed)
    limit = lab.fit(lambda theta: lab.score_matching(family, theta, x), start)
    found = Fits(limit, {}, {}, {}, {})
    for i, sigma in enumerate(WIDTHS):
        for method, thetas, distances in (
            (lab.flow, found.flow, found.flow_distance),
            (lab.denoising, found.denoising, found.denoising_distance),
        ):
            thetas[sigma] = lab.fit(partial(_objective, method, family, x, sigma), limit)
            distances[sigma] = lab.apart(family, thetas[sigma], limit, x)
        if progress is not None:
            progress((i + 1) / len(WIDTHS))
    return found


def _objective(method: Callable[..., Tensor], family: lab.Family, x: Tensor, sigma: float, theta: Tensor) -> Tensor:
    return method(family, theta, x, sigma)


def show(question: PlaneQuestion) -> Export:
    """The whole view. Raises ValueError."""
    place = st.empty()
    with working("Fitting the densities …"):
        found = fits(question, lambda share: _report(place, share))
        place.empty()
        payload = _payload(question)
    player(payload, key="plane_flow")
    slope = [
        {"method": "slope 2 (σ²)", "σ": s, "distance": 0.4 * found.flow_distance[WIDTHS[-1]] * (s / WIDTHS[-1]) ** 2} for s in WIDTHS[-3:]
    ]
    rows = [
        {"method": name, "σ": sigma, "distance": distance}
        for name, distances in (
            ("minimum probability flow", found.flow_distance),
            ("denoising score matching", found.denoising_distance),
        )
        for sigma, distance in distances.items()
        if distance > 0
    ]
    left, right = st.columns(2, gap="medium")
    left.markdown("**Distance to the estimate of score matching**")
    left.altair_chart(charts.width_chart([*rows, *slope], session.is_dark()))
    right.markdown("**The bridge to diffusion models**")
    right.markdown(BRIDGE)
    family, _, x = case(question.case, question.n, question.seed)
    value = float(lab.score_matching(family, found.limit, x))
    flow = float(lab.flow(family, found.limit, x, WIDTHS[-1]))
    st.latex(
        r"\frac{4}{\sigma^2}\left(\mathrm E\,e^{\frac12[E(x)-E(x+\sigma z)]}-1\right)\ \xrightarrow{\ \sigma\to0\ }\ "
        r"\mathrm E\left[\tfrac12\lVert\psi(x)\rVert^2+\nabla\!\cdot\psi(x)\right],\quad\psi=-\nabla E;"
        rf"\qquad {flow:.4f}\ (\sigma={WIDTHS[-1]:g})\ \to\ {value:.4f}"
    )
    if question.case != "mixture":
        covariance = torch.linalg.inv(lab.Gaussian().precision(found.limit))
        sample = torch.cov(x.T, correction=0)
        st.caption(
            "For a Gaussian the limit is known in closed form: the sample mean and the sample covariance, "
            f"({sample[0, 0]:.3f}, {sample[0, 1]:.3f}, {sample[1, 1]:.3f}); score matching found "
            f"({covariance[0, 0]:.3f}, {covariance[0, 1]:.3f}, {covariance[1, 1]:.3f}).".replace("-", "−")
        )
    else:
        st.caption(
            "The mixture's objectives have several minima; all fits start from the parameters that made the data. Expectations over "
            "neighbours are computed by Gauss–Hermite quadrature."
        )
    st.caption(SOURCES)
    table: dict[str, list] = {
        "sigma": list(WIDTHS),
        "flow": list(found.flow_distance.values()),
        "denoising": list(found.denoising_distance.values()),
    }
    arrays = {"x": x.numpy(), "score_matching": found.limit.numpy(), "flow": torch.stack(list(found.flow.values())).numpy()}
    return Export("dpm-score-matching", python_of_plane(question), arrays, table)


def _report(place: DeltaGenerator, share: float) -> None:
    place.progress(share, "Fitting for every width of the neighbourhood …")


@st.cache_resource(max_entries=16, show_spinner=False)
def _payload(question: PlaneQuestion) -> bytes:
    family, _, x = case(question.case, question.n, question.seed)
    found = fits(question)
    axis = torch.linspace(-REACH, REACH, GRID, dtype=torch.float64)
    points = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)

    def contours(theta: Tensor) -> list[np.ndarray]:
        energy = family.energy(theta, points)
        return contour_lines(torch.exp(energy.min() - energy).numpy(), limit=REACH)

    few = x[:AROUND].numpy()
    z = np.random.default_rng(question.seed).standard_normal((AROUND, EACH, 2))
    neighbours = np.stack([(few[:, None] + sigma * z).reshape(-1, 2) for sigma in WIDTHS])
    all_data = np.repeat(x.numpy()[None], len(WIDTHS), 0)
    flow = Lines("flow", "minimum probability flow", "model", [contours(found.flow[sigma]) for sigma in WIDTHS])
    noised = Lines("denoising", "denoising", "noise", [contours(found.denoising[sigma]) for sigma in WIDTHS])
    limit = Lines("limit", "score matching", "exact", [contours(found.limit)])
    panels = (
        Panel("neighbours", "data and their neighbours x + σz", "noise", neighbours, f"{AROUND} data, {EACH} neighbours each"),
        Panel("fit", "data and fitted densities", "data", all_data, f"{question.n} data", (noised, limit, flow)),
    )
    flows, denoised = list(found.flow_distance.values()), list(found.denoising_distance.values())
    cards = (
        Number("Width of the neighbourhood σ", list(WIDTHS), 2, "", "from wide to narrow", True, "noise"),
        Number("Flow against score matching", flows, 4, "", "difference of the scores, root mean square", True, "model"),
        Number("Denoising against score matching", denoised, 4, "", "with noise of the same width", True, "data"),
    )
    times = [round(1000 * sigma) for sigma in WIDTHS]
    return pack(
        Stage(
            panels, times, times[0], -REACH, REACH, cards, CAPTION, on=("flow", "limit", "denoising"), duration=5.0, start=times[1],
            name="dpm-score-matching",
        )
    )  # fmt: skip
