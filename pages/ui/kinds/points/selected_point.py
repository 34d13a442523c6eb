"""Under the Reverse page's player: the reverse kernel at the selected particle, exact, moment-matched and learned."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from dpm_core.figures.charts import kernel_figure
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.samplers import Recording
from pages.ui import cache, session
from pages.ui.components.player import clean_pick, unpack
from pages.ui.kinds.points import cached, stages
from pages.ui.kinds.records import Model

Selection = tuple[int, float, float]  # t, x₁, x₂


def show(model: Model, payload: bytes, left: Recording, click: object) -> None:
    """q(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾) at the selected particle: the exact density, its Gaussian fit and the network's Gaussian."""
    t, x, y = _selection(model, payload, left, click)
    xt = torch.tensor([[x, y]])
    truth = cached.exact(model.source, model.schedule)
    fit = truth.reverse(xt, t)
    guess = cache.model(model.ref).model.reverse(xt, t) if model.ref else None
    dark = session.is_dark()
    gaussians = {"moment-matched Gaussian": (fit.mean[0].numpy(), fit.stddev[0].numpy(), "exact")}
    if guess:
        gaussians["learned Gaussian"] = (guess.mean[0].numpy(), guess.stddev[0].numpy(), "model")
    centre, width = fit.mean[0].numpy(), 3.6 * float(fit.stddev.max())
    axis = np.linspace(-width, width, 81, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2) + centre
    log_density = truth.log_kernel(torch.from_numpy(points), xt, t).numpy().reshape(81, 81)
    mass = float(np.exp(log_density).sum() * (axis[1] - axis[0]) ** 2)
    picture, words = st.columns([3, 2], gap="large", vertical_alignment="center")
    picture.plotly_chart(
        kernel_figure(axis + centre[0], axis + centre[1], np.exp(log_density), gaussians, (x, y), dark),
        config={"displaylogo": False, "modeBarButtons": [["toImage"]]}, key="kernel",
    )  # fmt: skip
    words.markdown(f"**Reverse step at the selected particle**: t = {t}, x = ({_pair(xt[0])})")
    rows = [f"| exact, moment-matched | ({_pair(fit.mean[0])}) | ({_pair(fit.stddev[0])}) |"]
    if guess:
        rows.append(f"| learned | ({_pair(guess.mean[0])}) | ({_pair(guess.stddev[0])}) |")
    words.markdown("| Kernel | mean | standard deviation |\n|---|---|---|\n" + "\n".join(rows))
    if guess:
        kl = float(torch.distributions.kl_divergence(fit, guess).sum()) / NATS_PER_BIT
        words.markdown(f"Network against the moment-matched Gaussian: KL = {kl:.3f} bits.")
    words.caption(
        f"Shaded: the exact density q(x{_raised(t - 1)}|x{_raised(t)}); the picture shows {100 * min(mass, 1):.0f} % of its mass. "
        "Rings: one and two standard deviations. Click another particle to select it."
    )


def _selection(model: Model, payload: bytes, left: Recording, click: object) -> Selection:
    """The selected particle and its time, at least 1: what was clicked, what the link says, or one at the opening frame."""
    shown = (model.ref, model.source, model.schedule)
    if session.SELECTION_MODEL.get() not in (None, shown):  # a point of another model has no meaning here
        session.SELECTION.remember(None)
    session.SELECTION_MODEL.set(shown)
    if click is not None and (clicked := clean_pick(click, unpack(payload)[0])):
        if clicked["t"] >= 1:
            session.SELECTION.remember((clicked["t"], clicked["x"], clicked["y"]))
        else:
            st.caption("At t = 0 there is no reverse step left. Move to a time t ≥ 1 and click again.")
    selected: Selection | None = session.SELECTION.read(decode, None)
    session.SELECTION.show(encode(*selected) if selected else None)
    if selected is None:
        first = stages.opening(cache.diffusion(model.schedule), left.times.tolist())
        x, y = map(float, left.x[first, 0])
        selected = (max(1, int(left.times[first])), x, y)
    return min(selected[0], model.schedule.T), selected[1], selected[2]


def encode(t: int, x: float, y: float) -> str:
    """A selected point as link text."""
    return f"{t},{x:.3f},{y:.3f}"


def decode(text: str) -> Selection:
    """The inverse of encode. Raises ValueError for anything else."""
    t, x, y = text.split(",")
    values = (int(t), float(x), float(y))
    if not (values[0] >= 1 and abs(values[1]) <= 20 and abs(values[2]) <= 20):
        raise ValueError(f"A selected point needs t ≥ 1 and coordinates between −20 and 20, not {text}.")
    return values


def _pair(values: torch.Tensor) -> str:
    return ", ".join(f"{float(v):.3f}" for v in values).replace("-", "−")


def _raised(t: int) -> str:
    return f"⁽{t}⁾".translate(str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹"))
