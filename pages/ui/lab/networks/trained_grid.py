"""Small networks trained over weight variance and depth, on the Random networks page, beside the depth that theory allows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from dpm_core.lab.signals import trainability
from dpm_core.lab.signals.trainability import SIGMAS, STAGES, TRAINING, Results, Row, Setting
from pages.ui import rights, session
from pages.ui.lab.networks import compute, grid_chart, training
from pages.ui.lab.networks.question import TITLES, Question

SECONDS_PER_STEP = 0.186  # of the whole grid on two cores, measured by benchmarks/lab_trainability.py
EVERY = 1.0  # seconds between two drawings while it trains


def setting_of(question: Question) -> Setting:
    """The grid that the controls describe: with their activation, bias variance and seed."""
    return Setting(activation=str(question.network.activation), sigma_b2=question.network.sigma_b2, seed=question.seed)


def section(question: Question) -> dict[str, np.ndarray]:
    """The whole section; returns what has been trained, for the export."""
    setting = setting_of(question)
    st.markdown("**Train small networks over the diagram**")
    steps = session.bind(
        st.segmented_control, "Training steps", STAGES, default=500, key="grid_steps", required=True,
        help="Longer training fills more of the diagram, up to a depth of a few $\\xi_c$.",
    )  # fmt: skip
    grid = training.current(setting, int(steps))
    if grid is not None and grid.running:
        st.fragment(_progress, run_every=EVERY)(question, setting, int(steps))
        return {}
    results = grid.results if grid is not None else trainability.load(training.folder(), setting)
    if grid is not None and grid.problem:
        st.error(session.plain(grid.problem))
    _offer(setting, int(steps), results)
    _chart(question, setting, int(steps), results, ())
    return arrays(setting, int(steps), results)


def arrays(setting: Setting, steps: int, results: Results) -> dict[str, np.ndarray]:
    """σ_w² and depths, and the accuracies ``[depths, σ_w²]`` of the depths that have been trained; nothing where none has."""
    rows = [results.rows[depth, steps] for depth in setting.depths if (depth, steps) in results.rows]
    if not rows:
        return {}
    return {
        "grid_sigma_w2": np.array(setting.sigma_w2), "grid_depth": np.array([row.depth for row in rows]),
        "grid_accuracy": np.array([row.accuracy for row in rows]), "grid_held_out": np.array([row.held_out for row in rows]),
    }  # fmt: skip


def _offer(setting: Setting, steps: int, results: Results) -> None:
    """What can be trained, and the button; nothing where all is trained."""
    missing = results.missing(setting, steps)
    if not missing:
        return
    layers = sum(missing) / sum(setting.depths)
    some = len(missing) < len(setting.depths)
    with st.container(horizontal=True, vertical_alignment="center"):
        label = "Train the remaining depths" if some else "Train the networks"
        pressed = st.button(label, type="primary", key="train_grid", disabled=not rights.may_start())
        st.caption(
            f"{len(setting.sigma_w2)} × {len(missing)} networks of {setting.width} units per layer, {steps:,} steps of SGD each on "
            f"{TRAINING:,} digits: about {max(5, round(SECONDS_PER_STEP * steps * layers, -1 if steps > 200 else 0)):.0f} seconds on two "
            "processor cores."
        )
    if pressed:
        try:
            training.start(setting, steps)
        except (ValueError, OSError) as error:
            st.error(session.plain(str(error)))
        else:
            st.rerun()


def _progress(question: Question, setting: Setting, steps: int) -> None:
    """The grid in training; a fragment that is drawn again every second."""
    grid = training.current(setting, steps)
    if grid is None or not grid.running:
        st.rerun()
    grid.seen()
    rows = sorted(list(grid.live.values()), reverse=True)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.button("Stop", key="stop_grid", on_click=grid.stop, disabled=grid.stopping or not rights.may_start())
        at = "; ".join(f"depth {row.depth}, step {row.step:,} of {steps:,}" for row in rows)
        st.progress(grid.share, "Stopping after the current steps …" if grid.stopping else f"Training: {at or 'starting'}")
    _chart(question, setting, steps, grid.results, rows)


def _chart(question: Question, setting: Setting, steps: int, results: Results, live: Sequence[Row]) -> None:
    rows = [results.rows[depth, steps] for depth in setting.depths if (depth, steps) in results.rows]
    rows += [row for row in live if (row.depth, steps) not in results.rows]
    curve = compute.trainable(setting.activation, setting.sigma_b2)
    critical, dark = compute.critical(question.network), session.is_dark()
    if not rows:
        st.caption("No networks have been trained with these settings yet.")
    st.altair_chart(grid_chart.accuracy_chart(setting, rows, compute.CURVE, curve, critical, dark), key="grid_chart")
    st.caption(
        f"Accuracy on the training digits after {steps:,} steps, in percent, of {TITLES[setting.activation]} networks with $\\sigma_b^2$ "
        f"= {setting.sigma_b2:g}; 10 % is chance. All layers begin with weights of variance $\\sigma_w^2$/(units in the layer before), "
        f"from {min(SIGMAS):g} to {max(SIGMAS):g}; step size {setting.rate:g}, batches of {setting.batch}, no normalisation. Green line: "
        "6 $\\xi_c$, the depth to which signals and gradients reach; dashed: the edge of chaos. This is figure 5 of Schoenholz et al. "
        "(2017) on a coarse grid; networks of finite width lose their signal somewhat earlier near the edge."
    )
