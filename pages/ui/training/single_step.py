"""One optimiser step in detail: the network's input, its target, its output and the loss of each datum."""

from __future__ import annotations

import streamlit as st

from dpm_core import jobs
from pages.ui.kinds.runs import Setup

_TABLE = """<style>
.dpm-step { display: grid; grid-template-columns: 7.5rem repeat(%(n)d, minmax(2.6rem, 5.5rem)); gap: 0.35rem 0.5rem; align-items: center;
  overflow-x: auto; font-size: 0.875rem; font-variant-numeric: tabular-nums; }
.dpm-step > span { opacity: 0.74; line-height: 1.25; }
.dpm-step > i { font-style: normal; text-align: center; }
.dpm-step img { width: 100%%; image-rendering: pixelated; border-radius: 3px; display: block; }
.dpm-step img.plane { image-rendering: auto; border: 1px solid color-mix(in srgb, currentColor 14%%, transparent); border-radius: 6px; }
</style><div class="dpm-step">%(cells)s</div>"""


def show(made: Setup, job: jobs.Job) -> None:
    """The last single step of a run, while the run is not running."""
    seen = job.last_step
    if seen is None or seen.step != job.step or job.status in ("queued", "running"):
        return
    training = job.config.run.training
    cut = f", clipped to {training.clip:g}" if training.uses_rate(seen.step) and seen.gradient_norm > training.clip else ""
    then = (
        f"The optimiser then moves the weights against the gradient, at learning rate {job.learning_rate:g}."
        if training.uses_rate(seen.step)
        else "The optimiser (SFO) then moves the weights to the minimum of the sum of its models of all minibatches."
    )
    times = "<span>Time t</span>" + "".join(f"<i>{int(t)}</i>" for t in seen.t)
    losses = "<span>Loss, nats</span>" + "".join(f"<i>{float(loss):.2g}</i>" for loss in seen.losses)
    st.markdown(f"**Training step {seen.step:,} in detail**")
    st.html(_TABLE % {"n": len(seen.t), "cells": times + made.kind.single_step_rows(seen, made.source) + losses})
    st.caption(
        f"{len(seen.t)} of the {training.batch} data of the batch. The loss is the mean over the batch, "
        f"{seen.loss:.3g} nats per dimension; the norm of its gradient over all weights is {seen.gradient_norm:.3g}{cut}. {then}"
    )
