"""Denoising against the closed-form posterior of Gaussian data, and that the paper's rule differs from it."""

from __future__ import annotations

import math
from collections import deque

import pytest
import torch

from dpm_core import checkpoints
from dpm_core.data.images import make_images
from dpm_core.posterior.denoising import RULES, corrupt, denoise, matching_time
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.schedules import make_schedule

DIFFUSION = GaussianDiffusion(make_schedule("log_snr", 200))


@pytest.fixture(scope="module")
def normal():
    """The exact kernel of N(0, 1) on the line: 2,001 quantiles of a narrower one, blurred."""
    levels = torch.linspace(0, 1, 2003, dtype=torch.float64)[1:-1]
    points = math.sqrt(2) * torch.erfinv(2 * levels - 1) * math.sqrt(1 - 0.2**2)
    return EmpiricalReverse(points[:, None].float(), DIFFUSION, noise=0.2)


def drawn(kernel, y, sigma, rule, n=4000, seed=1):
    steps = denoise(kernel, torch.tensor([y]), sigma, n, rule=rule, steps=200, generator=torch.Generator().manual_seed(seed))
    return deque(steps, maxlen=1).pop().x[:, 0]


@pytest.mark.parametrize("y, sigma", [(1.5, 1.0), (-0.7, 0.4)])
def test_the_matched_chain_samples_the_posterior(normal, y, sigma):
    """N(y/(1+σ²), σ²/(1+σ²)), mean and deviation to 0.04."""
    x = drawn(normal, y, sigma, "matched")
    assert abs(float(x.mean()) - y / (1 + sigma**2)) < 0.04
    assert abs(float(x.std()) - sigma / math.sqrt(1 + sigma**2)) < 0.04


def test_r_held_constant_is_biased(normal):
    """With a perfect kernel the paper's rule overcounts what was seen: its spread is far too small."""
    assert (
        float(drawn(normal, 1.5, 1.0, "constant").std()) < 0.6 < 1 / math.sqrt(2) < float(drawn(normal, 1.5, 1.0, "matched").std()) + 0.04
    )


def test_what_is_seen_has_the_asked_snr():
    y, sigma = corrupt(torch.zeros(200, 200), 4.0, torch.Generator().manual_seed(0))
    assert sigma == 0.5 and abs(float(y.std()) - 0.5) < 0.01
    with pytest.raises(ValueError, match="positive"):
        corrupt(torch.zeros(3), 0.0)


@pytest.mark.parametrize("sigma", [0.05, 1.0, 7.0])
def test_the_matching_time(sigma):
    """(1−ᾱ)/ᾱ = σ² to the step of the schedule, 16/199 in log-SNR."""
    t = matching_time(DIFFUSION, sigma)
    assert abs(float(DIFFUSION.schedule.log_snr(t)) + 2 * math.log(sigma)) <= 8 / 199 + 1e-9


def test_digits_come_nearer_to_the_truth():
    """SNR 1, thirty digits: the mean of the samples has less than half of the noise's error; shares rise to 1; seeds decide."""
    loaded, digits = checkpoints.load("digits_unet"), make_images("digits")
    x0 = digits.spec.standardise(digits.held_out[:30])
    y, sigma = corrupt(x0, 1.0, torch.Generator().manual_seed(0))
    errors = []
    for one, seen in zip(x0, y):
        steps = list(denoise(loaded.model, seen, sigma, 8, steps=30, generator=torch.Generator().manual_seed(1)))
        assert [s.share for s in steps] == sorted(s.share for s in steps) and steps[-1].share == 1
        errors.append(float((steps[-1].x.mean(0) - one).square().mean()))
    assert sum(errors) / 30 < 0.5 * sigma**2
    for rule in RULES:
        a, b, c = (
            deque(denoise(loaded.model, y[0], sigma, 2, rule=rule, steps=10, generator=torch.Generator().manual_seed(s)), maxlen=1).pop().x
            for s in (1, 1, 2)
        )
        assert torch.equal(a, b) and not torch.equal(a, c)


@pytest.mark.parametrize("options, words", [({"rule": "other"}, "one of matched"), ({"sigma": 0.0}, "must be positive")])
def test_what_makes_no_sense_is_refused(normal, options, words):
    with pytest.raises(ValueError, match=words):
        next(denoise(normal, torch.zeros(1), **({"sigma": 1.0} | options)))
