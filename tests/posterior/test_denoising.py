"""Denoising against the closed-form posterior of Gaussian data, and that the paper's rule differs from it."""

from __future__ import annotations

import math
from collections import deque

import pytest
import torch

from dpm_core import checkpoints
from dpm_core.data.images import make_images
from dpm_core.posterior.denoising import RULES, corrupt, denoise, matched_diffusion, matching_time
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
    """(1−ᾱ)/ᾱ is at least σ² there and less one step before; the matched process has σ² exactly, and the other times unchanged."""
    schedule, t = DIFFUSION.schedule, matching_time(DIFFUSION, sigma)
    assert float(schedule.log_snr(t)) <= -2 * math.log(sigma) < float(schedule.log_snr(t - 1))
    matched, first = matched_diffusion(DIFFUSION, sigma)
    assert first == t and float(matched.schedule.log_snr(t)) == pytest.approx(-2 * math.log(sigma), abs=1e-9)
    others = torch.tensor([s for s in range(DIFFUSION.T + 1) if s != t])
    torch.testing.assert_close(matched.schedule.alpha_bar(others), schedule.alpha_bar(others), rtol=1e-12, atol=0)


@pytest.mark.parametrize("sigma", [0.01, 0.3, 1.0, 1.7, 200.0])
def test_a_coarse_chain_starts_exactly_at_the_observation(gaussian_reverse, sigma):
    """N(0, 1) with T = 6: every reverse step is Gaussian, so the posterior N(y/(1+σ²), σ²/(1+σ²)) is exact for any σ, to 5 errors.

    To start at the nearest of six times would move the mean by up to a third.
    """
    coarse, y, n = GaussianDiffusion(make_schedule("log_snr", 6)), 1.5, 20_000

    class Normals(gaussian_reverse):
        def with_diffusion(self, diffusion):
            return Normals(diffusion)

    steps = denoise(Normals(coarse), torch.tensor([y]), sigma, n, steps=6, generator=torch.Generator().manual_seed(3))
    x = deque(steps, maxlen=1).pop().x
    variance = sigma**2 / (1 + sigma**2)
    assert abs(float(x.mean()) - y / (1 + sigma**2)) < 5 * math.sqrt(variance / n)
    assert abs(float(x.var()) / variance - 1) < 5 * math.sqrt(2 / n)


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
