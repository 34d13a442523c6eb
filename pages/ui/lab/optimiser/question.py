"""What the Sum of functions page is asked: an objective, its subfunctions, the step sizes; its controls and its Python."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from dpm_core.lab.optimiser import digits_comparison, plane_objectives
from dpm_core.lab.optimiser.optimiser_comparison import RATES, TITLES
from pages.ui import session
from pages.ui.controls import widgets

VIEWS = {"plane": "In the plane", "digits": "On digits"}
BEST = "best of ten"
BESIDE = {name: TITLES[name] for name in ("sgd", "adam", "lbfgs")} | {"all": "All three"}
COUNTS = (5, 10, 20, 40)
PASSES = (5, 10, 15, 20, 30)
DIGIT_PASSES = (20, 40, 60)


@dataclass(frozen=True)
class Plane:
    """A surface, its number of subfunctions, the seed, the passes, and the step sizes of SGD and Adam (None: the best of RATES).

    ``beside``: the optimiser whose panel stands beside that of SFO, or "all".
    """

    surface: str = "quadratics"
    N: int = 10
    passes: int = 15
    sgd: float | None = None
    adam: float | None = None
    seed: int = 7
    beside: str = "sgd"


@dataclass(frozen=True)
class Digits:
    """An objective on the digits, and the passes of every run."""

    objective: str = "logistic"
    passes: int = 40


def controls() -> Plane | Digits:
    """The question, from controls."""
    session.accept_option_names("sum_view", VIEWS)
    view = session.bind(
        st.segmented_control, "Objective", list(VIEWS), default="plane", format_func=VIEWS.get, key="sum_view", required=True
    )  # fmt: skip
    if view == "digits":
        name = widgets.choose("Model of the digits", digits_comparison.TITLES, "digits_model")
        passes = session.bind(st.select_slider, "Effective passes", list(DIGIT_PASSES), 40, key="digits_passes")
        return Digits(name, int(passes))
    surface = widgets.choose("Sum of functions", plane_objectives.TITLES, "surface")
    N = session.bind(
        st.select_slider, "Subfunctions N", list(COUNTS), 10, key="subfunctions",
        help="The objective is the sum of N subfunctions, as a training loss is a sum over minibatches.",
    )  # fmt: skip
    passes = session.bind(
        st.select_slider, "Effective passes", list(PASSES), 15, key="passes",
        help="N evaluations of a subfunction with its gradient are an effective pass. L-BFGS evaluates all N each time.",
    )  # fmt: skip
    beside = widgets.choose("Panel beside SFO", BESIDE, "beside")
    return Plane(surface, int(N), int(passes), _rate("SGD", "sgd_rate"), _rate("Adam", "adam_rate"), widgets.seed(), beside)


def _rate(name: str, key: str) -> float | None:
    options = [BEST, *(f"{rate:g}" for rate in RATES)]
    chosen = session.bind(
        st.select_slider, f"Step size of {name}", options, BEST, key=key,
        help="The best of ten is the one that first stays within 0.001 of the minimum; if none does, the lowest in its last fifth.",
    )  # fmt: skip
    return None if chosen == BEST else float(chosen)


def python_of_digits(question: Digits) -> str:
    """The Python that makes the curves of the digits."""
    return f"""from dpm_core.lab.optimiser.digits_comparison import BATCHES, compare, lowest
from dpm_core.lab.optimiser.optimiser_comparison import best_of

curves = {{}}
for progress in compare({question.objective!r}, passes={question.passes}):
    curves[progress.name] = progress.curves
minimum = lowest({question.objective!r}, curves)
for name, runs in curves.items():
    best = best_of(runs, minimum + 1e-3)
    print(name, best.setting, best.passes_to(minimum + 1e-3, BATCHES), best.loss[-1] - minimum)
"""


def python_of_plane(question: Plane) -> str:
    """The Python that makes the curves in the plane."""

    def rates(rate: float | None) -> str:
        return "" if rate is None else f", rates=[{rate:g}]"

    return f"""from dpm_core.lab.optimiser.optimiser_comparison import MEMORIES, best_of, first_order_curves, lbfgs_curve, sfo_curve
from dpm_core.lab.optimiser.plane_objectives import make_surface

surface = make_surface({question.surface!r}, N={question.N}, seed={question.seed})
curves = {{
    "sfo": [sfo_curve(surface, {question.passes})],
    "sgd": first_order_curves(surface, "sgd", {question.passes}{rates(question.sgd)}),
    "adam": first_order_curves(surface, "adam", {question.passes}{rates(question.adam)}),
    "lbfgs": [lbfgs_curve(surface, {question.passes}, memory) for memory in MEMORIES],
}}
for name, runs in curves.items():
    best = best_of(runs, surface.lowest + 1e-3)
    print(name, best.setting, best.passes_to(surface.lowest + 1e-3, surface.N), best.loss[-1] - surface.lowest)
"""
