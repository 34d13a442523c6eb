"""Player stages of bits: rows of a raster, or lattices and digits, and the numbers beside them. Nothing here imports Streamlit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dpm_core.process import BinomialDiffusion
from dpm_core.schedules import Schedule
from pages.ui.components.player import Formula, Images, Number, Stage


def panel(id: str, label: str, role: str, x: np.ndarray, note: str = "", offsets: np.ndarray | None = None) -> Images:
    """Bits ``[F, n, *shape]``, or their probabilities: sequences as the rows of one raster, each shifted left by its offset."""
    x = aligned(x, offsets)
    bits = x.dtype == np.uint8
    pixels = x if bits else np.rint(255 * x).astype(np.uint8)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels[:, :, 0]
    return Images(id, label, role, pixels, note, tint=True, bits=bits)


def aligned(x: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
    """Sequences ``[F, n, L]``, row i rotated left by ``offsets[i]``."""
    if offsets is None or x.ndim != 3:
        return x
    places = (np.arange(x.shape[2]) + offsets[:, None]) % x.shape[2]
    return np.take_along_axis(x, np.broadcast_to(places, x.shape), 2)


def first_pulses(x: np.ndarray) -> np.ndarray:
    """Where the first 1 of every sequence ``[n, L]`` is; 0 where there is none."""
    return x.argmax(1)


def _percent(share: np.ndarray | torch.Tensor) -> list[float]:
    return (100 * np.asarray(share)).tolist()


def forward_stage(
    panels: tuple[Images, Images], times: Sequence[int], diffusion: BinomialDiffusion, flipped: np.ndarray, information: list[float] | None
) -> Stage:
    """The Forward page with bits. ``flipped`` ``[F]``: fraction of bits that differ from x⁽⁰⁾; ``information`` in bits per datum."""
    schedule, t = diffusion.schedule, torch.tensor(list(times))
    signal = schedule.alpha_bar(t)
    kernel = Formula(
        "Forward kernel at t",
        "q(x<sup>{t}</sup>|x<sup>{s}</sup>) = B(x<sup>{s}</sup>(1−β) + ρβ)<br>"
        "β<sub>{t}</sub> = {beta} &emsp; ρ = {rate}<br>"
        "P(x<sup>{t}</sup>=1|x<sup>0</sup>=1) = {stays}, P(x<sup>{t}</sup>=1|x<sup>0</sup>=0) = {comes}",
        {
            "t": list(times),
            "s": [max(v - 1, 0) for v in times],
            "beta": schedule.beta(t).tolist(),
            "rate": [diffusion.rate],
            "stays": (signal + diffusion.rate * (1 - signal)).tolist(),
            "comes": (diffusion.rate * (1 - signal)).tolist(),
        },
    )
    readouts = [
        Number("Bits resampled, 1 − ᾱ<sub>t</sub>", _percent(schedule.noise(t)), 1, "%", "at 100 % only noise is left", True, "noise"),
        Number("Bits that differ from x⁽⁰⁾", _percent(flipped), 1, "%", "a resampled bit often keeps its value", True, "data"),
    ]
    if information is not None:
        note = "I(X⁽⁰⁾;X⁽ᵗ⁾), exact but for the sampling of x⁽ᵗ⁾"
        readouts.append(Number("Information left about x⁽⁰⁾", information, 2, "bits", note, True, "exact"))
    caption = (
        "Each step of [x⁽ᵗ⁾](steps) resamples a fraction β<sub>t</sub> of the bits, each a 1 with probability ρ, and leaves the others. "
        + (
            "The [posterior of x⁽⁰⁾](told) is the probability that each bit was a 1 at t = 0, given all bits of x<sup>(t)</sup>. "
            "It stays sharp long after the pattern is no longer visible, and then becomes uncertain within a few steps. "
            if panels[1].id == "told" and panels[1].role == "exact"
            else "Beside it, [one jump](told) from x⁽⁰⁾, which has the same distribution. "
        )
        + _pace(schedule)
    )
    start = list(times)[int(np.abs(schedule.noise(t).numpy() - 0.4).argmin())]
    return Stage(panels, list(times), schedule.T, readouts=(*readouts, kernel), caption=caption, name="dpm-forward", start=start)


def _pace(schedule: Schedule) -> str:
    """How fast the schedule removes the signal, in a sentence."""
    lost = -np.diff(schedule.alpha_bar(torch.arange(schedule.T + 1)).numpy())
    if lost[1:].max() < 1.01 * lost[1:].min():
        return "This schedule removes the same fraction of the signal at every step and ends with ᾱ = 0 at t = T."
    t = int(lost.argmax()) + 1
    return f"This schedule removes the signal fastest around t = {t:,}."


def reverse_stage(
    panels: tuple[Images, ...], times: Sequence[int], diffusion: BinomialDiffusion, numbers: dict[str, list[float]], ends: list[Number]
) -> Stage:
    """The Reverse page with bits: learned beside exact samples, or samples beside the posterior of x⁽⁰⁾."""
    schedule = diffusion.schedule
    t = torch.tensor([*times[:-1], times[-2]])
    kernel = Formula(
        "Reverse kernel at t",
        "p(x<sup>{s}</sup>|x<sup>{t}</sup>) = B(f<sub>b</sub>(x<sup>{t}</sup>, t))<br>"
        "bits flipped in this step: {flips} % &emsp; ᾱ<sub>{t}</sub> = {bar}",
        {"t": t.tolist(), "s": [*times[1:], times[-1]], "flips": numbers["flips"], "bar": schedule.alpha_bar(t).tolist()},
    )
    readouts = (
        Number("Bits that still differ from t = 0", numbers["to_flip"], 1, "%", "of all bits", True, "model"),
        *ends,
        kernel,
    )
    caption = (
        "At t = T every bit of [x⁽ᵗ⁾](left) is noise. Each step samples every bit again: a 1 with probability f<sub>b</sub>. "
        + (
            "The [exact kernel](right) uses the same random numbers at every step, so a difference shows where the network is wrong. "
            if panels[1].label.startswith("exact")
            else "The [posterior](right) is the probability that each bit is a 1 at t = 0; grey means that it is still uncertain. "
        )
        + "Watch which bits are determined first, and how the others follow."
    )
    begin = list(times)[int(np.abs(schedule.noise(torch.tensor(list(times))).numpy() - 0.5).argmin())]
    return Stage(panels, list(times), schedule.T, readouts=readouts, caption=caption, name="dpm-reverse", start=begin)
