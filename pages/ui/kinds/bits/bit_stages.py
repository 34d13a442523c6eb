"""Bits into player stages: rows of a raster, or lattices and digits, and the numbers beside them. No Streamlit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from dpm_core.process import BinomialDiffusion
from dpm_core.schedules import Schedule
from pages.ui.components.player.pack import Formula, Images, Number, Stage


def panel(id: str, label: str, role: str, x: np.ndarray, note: str = "", offsets: np.ndarray | None = None) -> Images:
    """Bits ``[F, n, *shape]``, or their probabilities: sequences as the rows of one raster, each moved left by its offset."""
    x = aligned(x, offsets)
    bits = x.dtype == np.uint8
    pixels = x if bits else np.rint(255 * x).astype(np.uint8)
    pixels = pixels[:, None] if pixels.ndim == 3 else pixels[:, :, 0]
    return Images(id, label, role, pixels, note, tint=True, bits=bits)


def aligned(x: np.ndarray, offsets: np.ndarray | None) -> np.ndarray:
    """Sequences ``[F, n, L]``, row i turned left by ``offsets[i]``."""
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
    """The Forward page with bits. ``flipped`` ``[F]``: share of bits unlike their start; ``information`` in bits per datum."""
    schedule, t = diffusion.schedule, torch.tensor(list(times))
    signal = schedule.alpha_bar(t)
    kernel = Formula(
        "Forward kernel, now",
        "q(x<sup>{t}</sup>|x<sup>{s}</sup>) = B(x<sup>{s}</sup>(1−β) + ρβ)<br>"
        "β<sub>{t}</sub> = {beta} &emsp; ρ = {rate}<br>a 1 is still one: {stays}, a 0 has become one: {comes}",
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
        Number("Bits drawn anew (1 − ᾱ<sub>t</sub>)", _percent(schedule.noise(t)), 1, "%", "at 100 % nothing is left", True, "noise"),
        Number("Bits unlike their start", _percent(flipped), 1, "%", "a bit drawn anew often comes out as it was", True, "data"),
    ]
    if information is not None:
        note = "I(X⁽⁰⁾;X⁽ᵗ⁾), exact up to the draws of x⁽ᵗ⁾"
        readouts.append(Number("Information left about the start", information, 2, "bits", note, True, "exact"))
    caption = (
        "Every step of [x⁽ᵗ⁾](steps) draws a few bits anew, with ρ the chance of a 1, and leaves the others as they are. "
        + (
            "Beside it, [what can still be told](told): the chance that each bit began as a 1, given all of x<sup>(t)</sup>. "
            "Long after the eye has given up, all bits together still tell the pattern; then it breaks down at once. "
            if panels[1].id == "told"
            else "Beside it, [one jump](told) from the start: the same law. "
        )
        + _pace(schedule)
    )
    start = list(times)[int(np.abs(schedule.noise(t).numpy() - 0.4).argmin())]
    return Stage(panels, list(times), schedule.T, readouts=(*readouts, kernel), caption=caption, name="dpm-forward", start=start)


def _pace(schedule: Schedule) -> str:
    """What the schedule does to the signal, in a sentence."""
    lost = -np.diff(schedule.alpha_bar(torch.arange(schedule.T + 1)).numpy())
    if lost[1:].max() < 1.01 * lost[1:].min():
        return "The same share of all bits is lost in every step, and at t = T exactly nothing is left."
    t = int(lost.argmax()) + 1
    return f"This schedule loses most of the signal around t = {t:,}."


def reverse_stage(
    panels: tuple[Images, ...], times: Sequence[int], diffusion: BinomialDiffusion, numbers: dict[str, list[float]], ends: list[Number]
) -> Stage:
    """The Reverse page with bits: what is learned beside what is exact, or beside what the network takes x⁽⁰⁾ to be."""
    schedule = diffusion.schedule
    t = torch.tensor([*times[:-1], times[-2]])
    kernel = Formula(
        "Reverse kernel, now",
        "p(x<sup>{s}</sup>|x<sup>{t}</sup>) = B(f<sub>b</sub>(x<sup>{t}</sup>, t))<br>"
        "bits that flip in this step: {flips} % &emsp; ᾱ<sub>{t}</sub> = {bar}",
        {"t": t.tolist(), "s": [*times[1:], times[-1]], "flips": numbers["flips"], "bar": schedule.alpha_bar(t).tolist()},
    )
    readouts = (
        Number("Still to flip", numbers["undecided"], 1, "%", "of the bits, until the end", True, "model"),
        *ends,
        kernel,
    )
    caption = (
        "At t = T every bit of [x⁽ᵗ⁾](left) is noise. Every step draws each of them anew, by the chance f<sub>b</sub> that it is a 1. "
        + (
            "The [exact kernel](right) has the same noise at every step: where they part ways, the network has something to learn. "
            if panels[1].label.startswith("exact")
            else "[The guess](right) is the chance that each bit ends as a 1: grey where it is open. "
        )
        + "Watch which row decides first, and how its neighbours in time fall into place."
    )
    begin = list(times)[int(np.abs(schedule.noise(torch.tensor(list(times))).numpy() - 0.5).argmin())]
    return Stage(panels, list(times), schedule.T, readouts=readouts, caption=caption, name="dpm-reverse", start=begin)
