"""Classifiers of noisy data as factors: exact ones against Bayes' rule, and what sampling with them gives against the exact answer."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Bernoulli, Normal

from dpm_core.data.kinds import DATA_KINDS
from dpm_core.data.toy2d import DATASETS
from dpm_core.factors import Annealed, FactorError, Product
from dpm_core.guidance import ClassFactor, ExactClasses
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse
from dpm_core.samplers import ancestral, ddim, probability_flow
from dpm_core.schedules import make_schedule

DIFFUSION = GaussianDiffusion(make_schedule("log_snr", 40))
CENTRE, WIDTH = 0.9, 0.3  # of two Gaussians on a line, at ± CENTRE


def two_classes():
    """p(y|x⁽ᵗ⁾) of two Gaussians at ± CENTRE, the second three times as probable."""
    kernels = [EmpiricalReverse(torch.tensor([[m]], dtype=torch.float64), DIFFUSION, WIDTH) for m in (-CENTRE, CENTRE)]
    return ExactClasses(kernels, torch.tensor([0.25, 0.75], dtype=torch.float64))


def exact(name="moons"):
    data = DATASETS[name]
    return data, DATA_KINDS["points"].exact_classes(data, DIFFUSION)


def log_odds(x, t):
    """log p(y=1|x) − log p(y=0|x) in closed form, and its slope."""
    a, v = (float(f) for f in (DIFFUSION.schedule.alpha_bar(t).sqrt(), DIFFUSION.schedule.noise(t)))
    v += a**2 * WIDTH**2
    return math.log(3) + 2 * a * CENTRE * x / v, 2 * a * CENTRE / v


@pytest.mark.parametrize("t", [0, 1, 7, 20, 40])
def test_the_exact_classifier_is_bayes_rule(t):
    x = torch.linspace(-2, 2, 41, dtype=torch.float64)[:, None]
    found = two_classes().log_probs(x, t)
    wanted = log_odds(x[:, 0], t)[0]
    torch.testing.assert_close(found[:, 1] - found[:, 0], wanted, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.exp().sum(1), torch.ones(41, dtype=torch.float64))


@pytest.mark.parametrize("w", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("t", [1, 12, 30])
def test_the_mean_moves_by_the_variance_times_the_slope(t, w):
    """Eq. 61 in closed form: ∂log p(y=1|x)/∂x = p(y=0|x) times the slope of the log odds."""
    x = torch.linspace(-1.5, 1.5, 7, dtype=torch.float64)[:, None]
    p = Normal(x, torch.full_like(x, 0.2), validate_args=False)
    odds, slope = log_odds(x, t)
    moved = ClassFactor(two_classes(), 1, w).multiply(p, t)
    torch.testing.assert_close(moved.mean, x + 0.04 * w * torch.sigmoid(-odds) * slope, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(moved.stddev, p.stddev)


def test_soft_targets_weigh_the_slopes():
    """τ = (¼, ¾) in any units; a class that is not asked for may have probability 0 without harm."""
    x = torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    both = ClassFactor(two_classes(), torch.tensor([1.0, 3.0]), 2.0).gradient(x, 9)
    first, second = (ClassFactor(two_classes(), y, 2.0).gradient(x, 9) for y in (0, 1))
    torch.testing.assert_close(both, 0.25 * first + 0.75 * second)
    each = ClassFactor(two_classes(), torch.tensor([[1.0, 3.0]] * 4 + [[0.0, 1.0]]), 2.0).gradient(x, 9)
    torch.testing.assert_close(each, torch.cat([both[:4], second[4:]]))
    far = torch.full((1, 1), 1e3, dtype=torch.float64)
    assert ClassFactor(two_classes(), 1).log_prob(far).item() == pytest.approx(0)


@pytest.mark.parametrize("name", ["moons", "pinwheel", "eight_gaussians"])
@pytest.mark.parametrize("t", [2, 15, 33])
def test_with_strength_one_the_posterior_mean_is_that_of_the_class(name, t):
    """Tweedie's formula: E[x⁽⁰⁾|x⁽ᵗ⁾] + (1−ᾱ)/√ᾱ ∂log q(y|x⁽ᵗ⁾)/∂x⁽ᵗ⁾ = E[x⁽⁰⁾|x⁽ᵗ⁾,y], to 1e-7."""
    data, classes = exact(name)
    generator = torch.Generator().manual_seed(t)
    xt = DIFFUSION.q_sample(data.sample(50, generator).double(), t, generator)
    mean, variance = data.exact_reverse(DIFFUSION).x0_posterior(xt, t)
    moved = ClassFactor(classes, 1).multiply_x0(Normal(mean, variance.sqrt(), validate_args=False), xt, t)
    wanted, _ = data.of_class(1).exact_reverse(DIFFUSION).x0_posterior(xt, t)
    torch.testing.assert_close(moved.mean, wanted, rtol=0, atol=1e-7)
    assert float((mean - wanted).abs().max()) > 1e-3  # so the factor has something to do


@pytest.mark.parametrize("sampler", [ddim, probability_flow])
def test_deterministic_samplers_go_where_those_of_the_class_go(sampler):
    """The same noise ends at the same points, up to what happens in the faintest steps, where the classifier is not asked."""
    data, classes = exact()
    x_T = torch.randn(100, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    guided = [step.x for step in sampler(data.exact_reverse(DIFFUSION), DIFFUSION, x_T, factor=ClassFactor(classes, 0))][-1]
    wanted = [step.x for step in sampler(data.of_class(0).exact_reverse(DIFFUSION), DIFFUSION, x_T)][-1]
    assert float((guided - wanted).norm(dim=1).median()) < 0.02
    assert float((classes.log_probs(guided, 0).argmax(1) == 0).double().mean()) >= 0.99


def test_ancestral_samples_are_of_the_class():
    """At T = 40 by Eq. 61, which is of first order: nearly all are, and without the factor half."""
    data, classes = exact()
    kernel = data.exact_reverse(DIFFUSION)

    def share(factor):
        x = [s.x for s in ancestral(kernel, DIFFUSION, (500, 2), factor=factor, generator=torch.Generator().manual_seed(1))][-1]
        return float((classes.log_probs(x.double(), 0).argmax(1) == 1).double().mean())

    assert share(ClassFactor(classes, 1)) > 0.97 and 0.4 < share(None) < 0.6


def test_powers_and_combinations():
    factor, x = ClassFactor(two_classes(), 1, 2.0), torch.linspace(-1, 1, 5, dtype=torch.float64)[:, None]
    assert factor.power(0.5).strength == 1.0
    torch.testing.assert_close(factor.power(0.5).log_prob(x), 0.5 * factor.log_prob(x))
    p = Normal(x, torch.ones_like(x), validate_args=False)
    annealed = Annealed(factor, 40)
    torch.testing.assert_close(annealed.multiply(p, 10).mean - x, 0.75 * (factor.multiply(p, 10).mean - x))
    torch.testing.assert_close(annealed.multiply_x0(p, x, 10).mean - x, 0.75 * (factor.multiply_x0(p, x, 10).mean - x))
    assert annealed.multiply_x0(p, x, 40).mean is p.mean
    twice = Product([factor, factor]).multiply_x0(p, x, 10).mean
    torch.testing.assert_close(twice - x, 2 * (factor.multiply_x0(p, x, 10).mean - x))


def test_log_odds_of_bits_move_by_the_slope():
    class Half:
        """log p(y|x) = ±(x − ½)/2 + const, in one bit."""

        diffusion, classes = DIFFUSION, 2

        def log_probs(self, xt, t):
            return torch.log_softmax(torch.cat([-(xt - 0.5) / 2, (xt - 0.5) / 2], 1), 1)

    p = Bernoulli(torch.tensor([[0.2], [0.7]], dtype=torch.float64), validate_args=False)
    moved = ClassFactor(Half(), 1, 3.0).multiply(p, 5)
    wanted = 3 * torch.sigmoid(-(p.mean - 0.5))
    torch.testing.assert_close(torch.logit(moved.mean) - torch.logit(p.mean), wanted)


def test_noise_that_says_nothing_is_not_asked():
    faint = GaussianDiffusion(make_schedule("cosine", 50))
    classes = two_classes().with_diffusion(faint)
    assert float(faint.schedule.log_snr(50)) < -6
    x = torch.ones(3, 1, dtype=torch.float64)
    assert torch.equal(ClassFactor(classes, 1, 5.0).gradient(x, 50), torch.zeros_like(x))
    assert bool((ClassFactor(classes, 1, 5.0).gradient(x, 20) > 0).all())


@pytest.mark.parametrize(
    ("target", "strength", "sentence"),
    [
        (2, 1.0, "whole number from 0 to 1, not 2"),
        (-1, 1.0, "whole number from 0 to 1, not -1"),
        (torch.tensor([1.0, 1.0, 1.0]), 1.0, "2 weights"),
        (torch.tensor([0.0, 0.0]), 1.0, "one of them positive"),
        (torch.tensor([-1.0, 2.0]), 1.0, "at least 0"),
        (0, -0.5, "strength must be at least 0"),
        (0, math.nan, "strength must be at least 0"),
    ],
)
def test_wrong_targets_are_refused(target, strength, sentence):
    with pytest.raises(FactorError, match=sentence):
        ClassFactor(two_classes(), target, strength)


def test_classes_need_weights():
    with pytest.raises(ValueError, match="3 class weights for 2"):
        ExactClasses(two_classes().kernels, torch.ones(3) / 3)
