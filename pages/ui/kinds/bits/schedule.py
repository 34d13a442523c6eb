"""The Schedule page with bits: bits at eight times, and what each step does to them."""

from __future__ import annotations

import numpy as np
import streamlit as st
import torch

from dpm_core.config import ScheduleConfig
from dpm_core.data.bits import BitDataset
from dpm_core.figures.image_sheets import sheet, tinted
from dpm_core.figures.palette import DATA
from dpm_core.figures.rasters import frame_numbers, png
from dpm_core.measure.bit_budget import information_nats
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.process import BinomialDiffusion
from dpm_core.schedules import Schedule
from pages.ui.kinds.bits import cached, recordings
from pages.ui.kinds.bits.source import BitSource, dataset
from pages.ui.kinds.records import Curves

ROWS, SIDE, COLUMNS = 24, 140, 8  # of a raster, its pixels in height, and the times in a strip
NODES, DRAWS = 24, 400  # times at which information is measured, and data there

UNIT = "bits per bit"
NOTE = (
    "Look at where a row of bits loses its pattern: long before its last bit has been resampled, and under every schedule at about the "
    "same signal ᾱ. The paper's schedule, βₜ = 1/(T−t+1), resamples the same number of bits at every step, so all reverse steps have the "
    "same amount to learn. With ρ equal to the mean of the data, only the order of the bits changes, not their number of ones."
)


@st.cache_data(max_entries=64, show_spinner=False)
def strip(source: BitSource, config: ScheduleConfig, seed: int, dark: bool) -> tuple[bytes, list[int]]:
    """Sequences as rows, or one picture, at up to eight times: a PNG with a column for each, and the times."""
    process, data = cached.diffusion(source, config), dataset(source)
    times = frame_numbers(process.T + 1, COLUMNS).tolist()
    rows = ROWS if len(data.shape) == 1 else 1
    x0, noise = data.sample(rows, torch.Generator().manual_seed(seed)), torch.Generator().manual_seed(seed + 1)
    states = np.stack([(x0 if t == 0 else process.q_sample(x0, t, noise)).numpy() for t in times])
    pictures = states if states.ndim == 3 else states[:, 0, 0]
    return png(sheet(tinted(pictures, DATA, dark), len(times), SIDE, gap=8)), times


def prior_mismatch(source: BitSource, config: ScheduleConfig) -> tuple[float, str]:
    """E KL(q(x⁽ᵀ⁾|x⁽⁰⁾) ‖ π) in bits per bit of the data."""
    process, data = cached.diffusion(source, config), dataset(source)
    if float(process.schedule.alpha_bar(process.T)) == 0:
        return 0.0, UNIT
    x0 = data.sample(500, torch.Generator().manual_seed(3))
    p = process.q_marginal(x0.double(), process.T)
    nats = float(torch.distributions.kl_divergence(p, process.prior(tuple(x0.shape))).flatten(1).sum(1).mean())
    return max(0.0, nats) / NATS_PER_BIT / data.dims, UNIT


def charts(source: BitSource, configs: dict[str, ScheduleConfig]) -> dict[str, Curves]:
    """By title the curves of every schedule over t = 1..T, their axis and whether it is logarithmic."""
    bits = dataset(source)
    chains = {name: cached.diffusion(source, config) for name, config in configs.items()}
    signal = {name: chain.schedule.alpha_bar(torch.arange(1, chain.T + 1)).numpy() for name, chain in chains.items()}
    found: dict[str, Curves] = {
        "Signal left, ᾱₜ": (signal, "ᾱₜ", False),
        "Bits flipped": ({name: flipping(chain, _active(bits)) for name, chain in chains.items()}, "% of all bits, in step t", False),
    }
    if cached.exact_is_fast(source):
        lost = {name: destroyed(source, config) for name, config in configs.items()}
        return found | {"Information destroyed": (lost, "bits per datum, in step t", False)}
    stays = {name: 100 * (kept + bits.rate * (1 - kept)) for name, kept in signal.items()}
    return found | {"P(x⁽ᵗ⁾=1 | x⁽⁰⁾=1)": (stays, "%", False)}


def flipping(chain: BinomialDiffusion, active: float) -> np.ndarray:
    """The share of bits in % that step t flips, t = 1..T, of data of which the share ``active`` is 1."""
    t = torch.arange(1, chain.T + 1)
    now = chain.rate + chain.schedule.alpha_bar(t - 1) * (active - chain.rate)  # activity before the step
    return (100 * chain.schedule.beta(t) * (now * (1 - chain.rate) + (1 - now) * chain.rate)).numpy()


def _active(bits: BitDataset) -> float:
    return float((bits.weights * bits.patterns.flatten(1).double().mean(1)).sum())


@st.cache_data(max_entries=32, show_spinner=False)
def destroyed(source: BitSource, config: ScheduleConfig) -> np.ndarray:
    """I(X⁽⁰⁾;X⁽ᵗ⁻¹⁾) − I(X⁽⁰⁾;X⁽ᵗ⁾) for t = 1..T in bits per datum, the mean of the steps between two times measured."""
    kernel, data = cached.exact(source, config), dataset(source)
    T = kernel.diffusion.T
    x0 = data.sample(max(64, min(DRAWS, recordings.PAIRS // len(data.patterns))), torch.Generator().manual_seed(21))
    times = np.unique(np.linspace(0, T, min(T, NODES) + 1).round().astype(int))
    left = [float(information_nats(kernel, x0, int(t), torch.Generator().manual_seed(22)).mean()) / NATS_PER_BIT for t in times]
    slopes = np.maximum(-np.diff(np.minimum.accumulate(left)) / np.diff(times), 0.0)
    middles = (times[1:] + times[:-1] + 1) / 2  # steps t = a + 1 … b between two of them
    return np.interp(np.arange(1, T + 1), middles, slopes)


def marginal(schedule: Schedule, rate: float, t: int) -> str:
    """The forward marginal in LaTeX, in symbols and with the numbers of time t."""
    kept, own = float(schedule.alpha_bar(t)), rate * float(schedule.noise(t))
    return (
        r"q(x^{(t)}\mid x^{(0)})=\mathcal B\!\left(\bar\alpha_t\,x^{(0)}+\rho\,(1-\bar\alpha_t)\right),\qquad "
        rf"q(x^{{({t})}}\mid x^{{(0)}})=\mathcal B\!\left({kept:.3f}\,x^{{(0)}}+{own:.3f}\right)"
    )
