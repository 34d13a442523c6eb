"""Player stages of images, and the numbers beside them. Nothing here imports Streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.data.images import ImageSpec
from dpm_core.process import GaussianDiffusion
from pages.ui.components.player import Formula, Histogram, Images, Number, Stage

PAYLOAD_BYTES = 4_700_000  # pixels of both panels at most: the player's 5 MB less what is beside them
MAX_FRAMES = 101
MIN_FRAMES = 24  # fewer would not look like an animation
EDGES = np.linspace(-4, 4, 49)
_MIDDLES = (EDGES[1:] + EDGES[:-1]) / 2
NORMAL = np.exp(-(_MIDDLES**2) / 2) / np.sqrt(2 * np.pi)
DECIBELS = 10 / np.log(10)


def budget(total: int, n: int, dims: int) -> tuple[int, int]:
    """(frames, images) of two panels that fit the player, out of ``total`` frames of ``n`` images."""
    room = PAYLOAD_BYTES // (2 * dims)
    images = max(1, min(n, room // MIN_FRAMES))
    return min(total, MAX_FRAMES, max(2, room // images)), images


def grey_levels(spec: ImageSpec, x: np.ndarray | Tensor) -> np.ndarray:
    """Grey levels for the player: ``[..., C, H, W]`` to uint8 ``[..., H, W]``, with a last axis of 3 for colour."""
    pixels = spec.pixels(torch.as_tensor(x)).numpy()
    return pixels[..., 0, :, :] if spec.shape[0] == 1 else np.moveaxis(pixels, -3, -1)


@cache
def cosines(n: int) -> Tensor:
    """The orthonormal discrete cosine transform (DCT-II) as a matrix, float32 ``[n, n]``."""
    k, i = torch.arange(n, dtype=torch.float64)[:, None], torch.arange(n, dtype=torch.float64)
    rows = torch.cos(torch.pi * (i + 0.5) * k / n) * (2 / n) ** 0.5
    rows[0] /= 2**0.5
    return rows.float()


class Scales(NamedTuple):
    """How strong each scale of the data is: its mean image and the variance of every cosine coefficient, ``[C, H, W]``."""

    mean: Tensor
    power: Tensor


def scales_of(images: Tensor) -> Scales:
    """Of a set, from draws ``[M, C, H, W]``; of one picture, smoothed over coefficients of like wavelength."""
    one = len(images) == 1
    mean = images.mean((0, 2, 3), keepdim=True)[0].expand(images.shape[1:]) if one else images.mean(0)
    power = _transform(images - mean).square().mean(0)
    if one:
        height, width = images.shape[2:]
        y, x = torch.arange(height)[:, None] / height, torch.arange(width) / width
        ring = ((y.square() + x.square()).sqrt() * 64).long().flatten()
        sums = torch.zeros(images.shape[1], int(ring.max()) + 1).index_add_(1, ring, power.flatten(1))
        power = (sums / torch.bincount(ring).clamp(min=1))[:, ring].view_as(power)
    return Scales(mean, power)


def linear_estimate(scales: Scales, xt: Tensor, alpha_bar: float, noise: float) -> Tensor:
    """The best linear estimate of x⁽⁰⁾ from x⁽ᵗ⁾ (Wiener filter), ``[n, C, H, W]``: exact for Gaussian data of these scales.

    Each cosine coefficient keeps the share √ᾱ S/(ᾱ S + 1 − ᾱ), S its variance in the data.
    """
    a = alpha_bar**0.5
    gain = a * scales.power / (alpha_bar * scales.power + noise).clamp(min=1e-12)
    return scales.mean + _transform(gain * _transform(xt - a * scales.mean), back=True)


def _transform(x: Tensor, back: bool = False) -> Tensor:
    down, across = (cosines(side) for side in x.shape[-2:])
    return down.T @ x @ across if back else down @ x @ across.T


def histogram(x: np.ndarray, role: str) -> Histogram:
    """How often each value of x occurs at each time, as a density, beside N(0, 1)."""
    inside = [np.histogram(frame, EDGES)[0] / (frame.size * (EDGES[1] - EDGES[0])) for frame in x]
    return Histogram("Values of x<sup>(t)</sup>", EDGES, np.stack(inside), NORMAL, "line: the prior N(0, 1)", role)


def _decibels(diffusion: GaussianDiffusion, times: Sequence[int]) -> list[float]:
    return [DECIBELS * float(diffusion.schedule.log_snr(int(t))) for t in times]


def forward_stage(
    spec: ImageSpec, times: Sequence[int], x: np.ndarray, estimate: np.ndarray, diffusion: GaussianDiffusion, note: str
) -> Stage:
    """The Forward page with images: the chain, and the best linear estimate of its start. x, estimate ``[F, n, C, H, W]``."""
    schedule, t = diffusion.schedule, torch.tensor(list(times))
    kernel = Formula(
        "Forward kernel at t",
        "q(x<sup>{t}</sup>|x<sup>0</sup>) = N({root} x<sup>0</sup>, {noise})<br>ᾱ<sub>{t}</sub> = {bar} &emsp; SNR = {snr}",
        {
            "t": list(times),
            "root": schedule.alpha_bar(t).sqrt().tolist(),
            "noise": schedule.noise(t).tolist(),
            "bar": schedule.alpha_bar(t).tolist(),
            "snr": schedule.snr(t).tolist(),
        },
    )
    readouts = (
        Number(
            "Noise variance, 1 − ᾱ<sub>t</sub>", (100 * schedule.noise(t)).tolist(), 1, "%", "at 100 % only noise is left", True, "noise"
        ),
        Number("Signal-to-noise ratio", _decibels(diffusion, times), 1, "dB", "at 0 dB signal and noise are equal", True, "data"),
        histogram(x, "data"),
        kernel,
    )
    caption = (
        "At each step every pixel of [x⁽ᵗ⁾](steps) is scaled down and gets independent Gaussian noise; "
        "values below black and above white are clipped in the picture, not in the numbers. "
        "The [best linear estimate](guess) of x⁽⁰⁾ is the Wiener filter, which knows only the variance of each spatial scale: "
        "fine strokes are lost first, then whole shapes, and at the end only the mean is left. "
        "When the histogram has the shape of the line, x<sup>(t)</sup> follows the prior and nothing of the picture is left."
    )
    panels = (
        Images("steps", "x⁽ᵗ⁾, step by step", "data", grey_levels(spec, x), note),
        Images("guess", "best linear estimate of x⁽⁰⁾", "exact", grey_levels(spec, estimate), "from x⁽ᵗ⁾ alone"),
    )
    start = list(times)[int(np.abs(schedule.noise(t).numpy() - 0.4).argmin())]
    return Stage(panels=panels, times=list(times), T=schedule.T, readouts=readouts, caption=caption, name="dpm-forward", start=start)


def opening(diffusion: GaussianDiffusion, times: Sequence[int]) -> int:
    """The frame at which the Reverse page opens, where shapes begin to be visible."""
    return int(np.abs(diffusion.schedule.noise(torch.tensor(list(times))).numpy() - 0.5).argmin())


def reverse_stage(
    spec: ImageSpec,
    times: Sequence[int],
    x: np.ndarray,
    x0: np.ndarray,
    numbers: dict[str, list[float]],
    diffusion: GaussianDiffusion,
    note: str,
) -> Stage:
    """The Reverse page with images: x⁽ᵗ⁾ and the network's estimate x̂⁽⁰⁾, ``[F, n, C, H, W]``."""
    schedule = diffusion.schedule
    t = torch.tensor([*times[:-1], times[-2]])  # at the end: the last step taken
    kernel = Formula(
        "Reverse kernel at t",
        "p(x<sup>{s}</sup>|x<sup>{t}</sup>) = N(f<sub>μ</sub>, f<sub>Σ</sub>)<br>√f<sub>Σ</sub> ≈ {spread} &emsp; ᾱ<sub>{t}</sub> = {bar}",
        {
            "t": t.tolist(),
            "s": [*times[1:], times[-1]],
            "spread": numbers["mean_deviation"],
            "bar": schedule.alpha_bar(t).tolist(),
        },
    )
    readouts = (
        Number("Signal-to-noise ratio", _decibels(diffusion, times), 1, "dB", "at 0 dB signal and noise are equal", True, "noise"),
        Number("Distance of x̂⁽⁰⁾ to the final image", numbers["rms_to_final"], 3, "σ", "root mean square over all pixels", True),
        histogram(x, "model"),
        kernel,
    )
    caption = (
        "The [samples](samples) form from coarse to fine scales: first light and dark areas, then shapes, then edges. "
        "The network's estimate [x̂⁽⁰⁾](guess) = E[x<sup>(0)</sup>|x<sup>(t)</sup>] starts as the mean of all images "
        "and becomes sharper as t decreases. "
        "Click an image to see the standard deviation of the reverse step at each of its pixels."
    )
    panels = (
        Images("samples", "x⁽ᵗ⁾", "model", grey_levels(spec, x), note),
        Images("guess", "network's estimate x̂⁽⁰⁾", "model", grey_levels(spec, x0), "from x⁽ᵗ⁾ alone"),
    )
    start = list(times)[opening(diffusion, times)]
    return Stage(panels=panels, times=list(times), T=schedule.T, readouts=readouts, caption=caption, name="dpm-reverse", start=start)
