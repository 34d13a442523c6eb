"""What the Denoise page computes: a noisy image, posterior samples, and two classical filters."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import streamlit as st
import torch
from skimage.metrics import peak_signal_noise_ratio
from skimage.restoration import denoise_nl_means, denoise_tv_chambolle
from torch import Tensor

from dpm_core.data.images import ImageDataset, ImageSpec
from dpm_core.posterior.denoising import corrupt, denoise
from pages.ui import cache
from pages.ui.kinds.images import stages
from pages.ui.kinds.images.source import spec_of_checkpoint

TRUTH_SEED, NOISE_SEED = 500, 900


@dataclass(frozen=True)
class DenoiseConfig:
    """Which held-out image, its SNR, the rule, samples, steps, seed. ``seen``: bytes of an uploaded noisy picture."""

    number: int = 0
    snr: float = 1.0
    rule: str = "matched"
    n: int = 16
    steps: int = 50
    seed: int = 7
    seen: bytes = b""
    shape: tuple[int, ...] = ()
    sigma_levels: float = 0.0  # noise of the uploaded picture, in grey levels


class Result(NamedTuple):
    """Grey levels uint8, ``[H, W]`` or ``[H, W, 3]``; ``samples`` with a first axis n; ``spread`` float ``[H, W]`` in levels."""

    truth: np.ndarray | None
    seen: np.ndarray
    samples: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    total_variation: np.ndarray
    non_local: np.ndarray
    sigma_levels: float


@st.cache_resource(max_entries=4, show_spinner=False)
def dataset(ref: cache.ModelRef) -> ImageDataset:
    """The images that a model was trained on. Raises DataError where their files are missing."""
    found: ImageDataset = cache.data_of(ref)
    return found


@st.cache_data(max_entries=16, show_spinner=False)
def result(ref: cache.ModelRef, how: DenoiseConfig) -> Result:
    """Everything that the page shows. Raises DataError."""
    loaded = cache.model(ref)
    spec = spec_of_checkpoint(loaded)
    if how.seen:
        pixels = np.frombuffer(how.seen, np.uint8).reshape(how.shape)
        truth, y = None, spec.standardise(torch.from_numpy(pixels.reshape(*how.shape[:2], -1).copy()).permute(2, 0, 1)[None])[0]
        sigma = how.sigma_levels / _level(spec) / spec.scale
    else:
        x0 = dataset(ref).sample_held_out(1, torch.Generator().manual_seed(TRUTH_SEED + how.number))[0]
        truth = stages.grey_levels(spec, x0)
        y, sigma = corrupt(x0, how.snr, torch.Generator().manual_seed(NOISE_SEED + how.seed))
    steps = denoise(loaded.model, y, sigma, how.n, rule=how.rule, steps=how.steps, generator=torch.Generator().manual_seed(how.seed))
    x = deque(steps, maxlen=1).pop().x
    grey = _grey(spec, y)
    colour = -1 if spec.shape[0] == 3 else None
    level = spec.scale * _level(spec)
    variation = denoise_tv_chambolle(grey, weight=0.7 * sigma * level, channel_axis=colour)
    means = denoise_nl_means(grey, patch_size=3, patch_distance=5, h=0.8 * sigma * level, sigma=sigma * level, channel_axis=colour)
    spread = (x.std(0) if how.n > 1 else torch.zeros_like(y)).mean(0).numpy() * level
    plain = [stages.grey_levels(spec, v) for v in (y, x, x.mean(0))]
    return Result(truth, plain[0], plain[1], plain[2], spread, _bytes(variation), _bytes(means), sigma * level)


def estimate_sigma(pixels: np.ndarray) -> float:
    """The noise of a picture in grey levels, from a difference operator that ramps and straight edges leave at 0 (Immerkær 1996)."""
    grey = pixels.astype(float).reshape(*pixels.shape[:2], -1)
    across = grey[:, :-2] - 2 * grey[:, 1:-1] + grey[:, 2:]
    both = across[:-2] - 2 * across[1:-1] + across[2:]  # of white noise: 36 times its variance
    return float(np.median(np.abs(both)) / 0.6745 / 6)


def psnr(truth: np.ndarray, found: np.ndarray) -> float:
    """In dB, of 255 grey levels."""
    with np.errstate(divide="ignore"):
        return float(peak_signal_noise_ratio(truth, found, data_range=255))


def _level(spec: ImageSpec) -> float:
    """Grey levels between two levels of a set."""
    return 255 / (spec.levels - 1)


def _grey(spec: ImageSpec, x: Tensor) -> np.ndarray:
    """x in grey levels as they come, not cut off to 0..255: what a filter should be given."""
    values = ((x * spec.scale + spec.mean) * _level(spec)).permute(1, 2, 0).double().numpy()
    return values[..., 0] if spec.shape[0] == 1 else values


def _bytes(values: np.ndarray) -> np.ndarray:
    return np.round(values).clip(0, 255).astype(np.uint8)
