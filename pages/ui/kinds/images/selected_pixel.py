"""Under the Reverse page's player: the selected image at t, and the reverse step at one of its pixels."""

from __future__ import annotations

import altair as alt
import numpy as np
import streamlit as st
import torch

from dpm_core import checkpoints
from dpm_core.figures.palette import MODEL, NOISE
from pages.ui import cache, session
from pages.ui.components.player import clean_pick, unpack
from pages.ui.kinds.images import recordings, rows, stages
from pages.ui.kinds.images.source import spec_of_checkpoint


def show(ref: cache.ModelRef, payload: bytes, path: recordings.Path, click: object) -> None:
    """The selected image, the network's estimate, the standard deviation of the step, and the Gaussian of the selected pixel."""
    if session.SELECTION_MODEL.get() not in (None, ref):  # a pixel of another model has no meaning here
        session.SELECTION.remember(None)
    session.SELECTION_MODEL.set(ref)
    if click is not None and (clicked := clean_pick(click, unpack(payload)[0])):
        session.SELECTION.remember((clicked["t"], clicked["image"], clicked["x"], clicked["y"]))
    loaded = cache.model(ref)
    spec, process = spec_of_checkpoint(loaded), cache.gaussian(loaded.model)
    channels, height, width = spec.shape
    times = path.times.tolist()
    selected: tuple[int, int, int, int] | None = session.SELECTION.read(_decode, None)
    session.SELECTION.show(",".join(map(str, selected)) if selected else None)
    t, image, column, row = selected or (times[stages.opening(process, times)], 0, width // 2, height // 2)
    at = min(int(np.abs(path.times - t).argmin()), len(times) - 2)  # at t = 0 there is no reverse step left
    t, s = times[at], times[at + 1]
    image, column, row = min(image, path.x.shape[1] - 1), min(column, width - 1), min(row, height - 1)
    x, x0 = (torch.from_numpy(part[at, image : image + 1]) for part in (path.x, path.x0))
    with torch.inference_mode():
        kernel = loaded.model.reverse(x, t, s)
    spread = kernel.stddev.mean(1, keepdim=True)
    low, high = float(spread.min()), float(spread.max())
    grey = ((spread - low) / max(high - low, 1e-9) * 255).to(torch.uint8).expand(-1, channels, -1, -1)
    trio = np.concatenate([stages.grey_levels(spec, x), stages.grey_levels(spec, x0), _as_pixels(grey)])
    here = slice(None), row, column
    means, deviations, now = (part[0][here].tolist() for part in (kernel.mean, kernel.stddev, x))
    pictures, chart = st.columns([3, 2], gap="large", vertical_alignment="center")
    with pictures:
        st.markdown(f"**Image {image + 1} at t = {t}**, and the learned reverse step to s = {s}")
        labels = ["x⁽ᵗ⁾", "estimate x̂⁽⁰⁾", f"standard deviation √f<sub>Σ</sub>: {low:.3f} (black) to {high:.3f} (white)"]
        rows.show_row(rows.row(trio, side=192), labels, "The image, the estimate and the standard deviation", share=1.0)
    with chart:
        st.markdown(f"**Reverse step at pixel ({column}, {row})**, p(x⁽ˢ⁾|x⁽ᵗ⁾)")
        st.altair_chart(_gaussians(means, deviations, now, session.is_dark()), height=210)
        numbers = ", ".join(f"{m:.2f} ± {d:.2f}" for m, d in zip(means, deviations)).replace("-", "−")
        st.caption(f"Mean ± standard deviation: {numbers}, in units in which the data have variance 1. Click another pixel to select it.")


def _as_pixels(images: torch.Tensor) -> np.ndarray:
    return images[:, 0].numpy() if images.shape[1] == 1 else images.permute(0, 2, 3, 1).numpy()


def _decode(text: str) -> tuple[int, int, int, int]:
    """A selected pixel from the link: t, image, column, row. Raises ValueError for anything else."""
    t, image, column, row = (int(part) for part in text.split(","))
    if not (0 <= t <= checkpoints.MAX_T and min(image, column, row) >= 0):
        raise ValueError(f"A selected pixel needs t, image, column and row from 0 up, not {text}.")
    return t, image, column, row


def _gaussians(means: list[float], deviations: list[float], now: list[float], dark: bool) -> alt.LayerChart:
    """One curve per channel, and a rule where the pixel is now."""
    names = ["grey"] if len(means) == 1 else ["red", "green", "blue"]
    reach = 4 * max(deviations) + 1e-6
    axis = np.linspace(min([*means, *now]) - reach, max([*means, *now]) + reach, 161)
    curves = [
        {"value": float(v), "density": float(np.exp(-(((v - m) / d) ** 2) / 2) / (d * np.sqrt(2 * np.pi))), "channel": name}
        for name, m, d in zip(names, means, deviations)
        for v in axis
    ]
    dashes = alt.StrokeDash("channel:N", legend=alt.Legend(title=None, orient="top") if len(names) > 1 else None, sort=names)
    colour, quiet = (role.dark if dark else role.light for role in (MODEL, NOISE))
    lines = alt.Chart(alt.Data(values=curves)).mark_line(color=colour, strokeWidth=2)
    x = alt.X("value:Q", title="value of the pixel; vertical line: value at t", scale=alt.Scale(nice=False), axis=alt.Axis(grid=False))
    y = alt.Y("density:Q", title=None, axis=alt.Axis(tickCount=3))
    rules = alt.Chart(alt.Data(values=[{"value": v, "channel": name} for name, v in zip(names, now)])).mark_rule(color=quiet, strokeWidth=2)
    return lines.encode(x, y, dashes) + rules.encode(alt.X("value:Q"), dashes)
