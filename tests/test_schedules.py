"""Schedules against their own published formulas, written a second time."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
import torch
from torch.distributions import Normal, kl_divergence

from dpm_core.schedules import SCHEDULES, Schedule, ScheduleError, make_schedule

STEPS = [2, 5, 40, 1000]


def close(got, wanted, tolerance=1e-12):
    np.testing.assert_allclose(np.asarray(got), np.asarray(wanted), rtol=tolerance, atol=1e-15)


@pytest.mark.parametrize("T", STEPS)
@pytest.mark.parametrize("name", list(SCHEDULES))
def test_tables_follow_from_beta(name, T):
    """β in (0, 1]; ᾱ, 1−ᾱ, the SNR and β̃ equal products of 1 − β taken one by one in exact rational numbers."""
    schedule = make_schedule(name, T)
    assert schedule.T == len(schedule.betas) == T
    assert bool(((schedule.betas > 0) & (schedule.betas <= 1)).all())
    checked = range(T + 1) if T <= 40 else [0, 1, 2, 3, 500, 998, 999, 1000]
    product, bars = Fraction(1), [Fraction(1)]
    for beta in schedule.betas.tolist():
        product *= 1 - Fraction(beta)
        if product and product.denominator.bit_length() > 4000:  # keep the numbers short; far below the tolerance
            product = Fraction(product.numerator >> 2000, product.denominator >> 2000)
        bars.append(product)
    for t in checked:
        bar, noise = float(bars[t]), float(1 - bars[t])
        close(schedule.alpha_bar(t), bar, 1e-11)
        close(schedule.noise(t), noise, 1e-11)
        if t == 0:
            assert schedule.beta(0) == 0 and schedule.snr(0) == math.inf and schedule.log_snr(0) == math.inf
            continue
        beta = float(schedule.betas[t - 1])
        close(schedule.beta(t), beta)
        close(schedule.alpha(t), 1 - beta)
        close(schedule.posterior_variance(t), beta * float(1 - bars[t - 1]) / noise, 1e-11)
        close(schedule.snr(t), float(bars[t] / (1 - bars[t])), 1e-9)
        close(schedule.log_snr(t), math.log(bar) - math.log(noise) if bar else -math.inf, 1e-9)
    everywhere = torch.arange(T + 1)
    for table in (schedule.beta, schedule.alpha, schedule.alpha_bar, schedule.noise, schedule.posterior_variance):
        assert bool(torch.isfinite(table(everywhere)).all())
    assert not bool(torch.isnan(schedule.log_snr(everywhere)).any())
    assert bool(torch.isfinite(schedule.log_snr(everywhere[1:-1])).all())
    assert bool((torch.diff(schedule.alpha_bar(everywhere)) < 0).all())


@pytest.mark.parametrize("T", STEPS)
def test_paper_erases_one_part_in_T_each_step(T):
    schedule = make_schedule("paper", T)
    t = np.arange(1, T + 1)
    close(schedule.betas, 1 / (T - t + 1))
    close(schedule.alpha_bar(torch.arange(T + 1))[:-1], (T - np.arange(T)) / T)
    assert float(schedule.alpha_bar(T)) == 0.0 and float(schedule.noise(T)) == 1.0
    assert float(schedule.betas[-1]) == 1.0 and float(schedule.log_snr(T)) == -math.inf


def test_paper_beta_1_replaces_the_first_step_alone():
    schedule = make_schedule("paper", 40, beta_1=1e-3)
    close(schedule.betas, np.r_[1e-3, 1 / np.arange(39, 0, -1)])
    close(schedule.alpha_bar(1), 0.999)
    close(schedule.alpha_bar(20), 0.999 * 20 / 39)


@pytest.mark.parametrize("T", STEPS)
def test_rescaled_schedules(T):
    u = np.arange(T) / (T - 1)
    a, b, scale = 1e-4, 0.02, 1000 / T
    close(make_schedule("linear", T).betas, np.minimum(0.999, scale * (a + (b - a) * u)))
    close(make_schedule("quadratic", T).betas, np.minimum(0.999, scale * (a**0.5 + (b**0.5 - a**0.5) * u) ** 2))
    logistic = 1 / (1 + np.exp(-(-6 + 12 * u)))
    close(make_schedule("sigmoid", T).betas, np.minimum(0.999, scale * (a + (b - a) * logistic)))


def test_rescaling_keeps_the_total_destruction():
    """−log ᾱ_T of the linear schedule stays near its T = 1000 value, Σβ = 10.05, to first order in β (2 %)."""
    totals = [-float(make_schedule("linear", T).log_alpha_bars[-1]) for T in (1000, 2000, 4000)]
    assert totals == pytest.approx([10.05] * 3, rel=0.02)


@pytest.mark.parametrize("T", STEPS)
def test_cosine(T):
    """ᾱ_t = f(t)/f(0), f = cos²((t/T + s)/(1 + s)·π/2), where no β is clipped; β_T is, to 0.999."""

    def f(t):
        return math.cos((t / T + 0.008) / 1.008 * math.pi / 2) ** 2

    schedule = make_schedule("cosine", T)
    for t in range(1, T):
        if 1 - f(t) / f(t - 1) <= 0.999:
            assert float(schedule.alpha_bar(t)) == pytest.approx(f(t) / f(0), rel=1e-9)
    assert float(schedule.betas[-1]) == 0.999
    assert float(make_schedule("cosine", T, clip=0.5).betas.max()) == 0.5
    assert float(make_schedule("cosine", 10, s=0.1).alpha_bar(5)) == pytest.approx(
        (math.cos(0.6 / 1.1 * math.pi / 2) / math.cos(0.1 / 1.1 * math.pi / 2)) ** 2
    )


@pytest.mark.parametrize("T", STEPS)
def test_constant(T):
    close(make_schedule("constant", T).betas, np.full(T, 1 - math.exp(-8 / T)))
    assert float(make_schedule("constant", T).alpha_bar(T)) == pytest.approx(math.exp(-8), rel=1e-10)
    close(make_schedule("constant", T, beta=0.25).alpha_bar(T), 0.75**T, 1e-9)


@pytest.mark.parametrize("T", STEPS)
def test_log_snr_is_a_straight_line(T):
    schedule = make_schedule("log_snr", T)
    close(schedule.log_snr(torch.arange(1, T + 1)), np.linspace(8, -8, T), 1e-7)
    other = make_schedule("log_snr", T, start=3.0, end=-5.0)
    wanted = 1 / (1 + np.exp(-np.linspace(3, -5, T)))
    close(other.alpha_bar(torch.arange(1, T + 1)), wanted, 1e-10)


def test_custom_is_piecewise_linear_in_log_beta():
    points = ((0.9, 0.4), (0.1, 1e-3), (0.4, 0.02))  # in any order; constant before 0.1 and after 0.9
    for T in STEPS:
        u = np.arange(T) / (T - 1)
        wanted = np.exp(np.interp(u, [0.1, 0.4, 0.9], np.log([1e-3, 0.02, 0.4])))
        close(make_schedule("custom", T, points=points).betas, wanted)
    close(make_schedule("custom", 3, points=((0, 0.01), (1, 1.0))).betas, [0.01, 0.1, 1.0])


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_information_destroyed(name):
    """Differences of I(X⁽⁰⁾;X⁽ᵗ⁾) = −½ log₂(1 − ᾱ_t), the mutual information of jointly Gaussian unit variables."""
    schedule = make_schedule(name, 40)
    betas = schedule.betas.numpy().astype(np.longdouble)
    information = -0.5 * np.log2(1 - np.cumprod(1 - betas))
    got = schedule.information_destroyed_bits(torch.arange(1, 41))
    assert float(got[0]) == math.inf
    np.testing.assert_allclose(got[1:], (information[:-1] - information[1:]).astype(float), rtol=1e-8, atol=1e-12)
    assert float(schedule.information_destroyed_bits(7)) == float(got[6])


def test_information_destroyed_by_the_paper_schedule():
    """1 − ᾱ_t = t/T, so step t destroys ½ log₂(t/(t−1)) bits at every T."""
    for T in STEPS:
        got = make_schedule("paper", T).information_destroyed_bits(torch.arange(2, T + 1))
        t = np.arange(2, T + 1)
        close(got, 0.5 * np.log2(t / (t - 1)), 1e-9)


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_terminal_kl_is_the_expected_divergence_from_the_prior(name):
    """Data of unit second moment: the mean of torch's KL over x⁽⁰⁾ = ±√2, 0, 0."""
    schedule = make_schedule(name, 12, **({"beta": 0.05} if name == "constant" else {}))
    alpha_bar = schedule.alpha_bar(12)
    x0 = torch.tensor([-math.sqrt(2), math.sqrt(2), 0.0, 0.0], dtype=torch.float64)
    q = Normal(alpha_bar.sqrt() * x0, (1 - alpha_bar).sqrt())
    wanted = kl_divergence(q, Normal(0.0, 1.0)).mean()
    assert schedule.terminal_kl_nats() == pytest.approx(float(wanted), rel=1e-9, abs=1e-12)


def test_tiny_betas_lose_no_digits():
    """1 − ᾱ₁ = β₁ to full precision where 1 − (1 − β₁) would keep none."""
    schedule = Schedule(torch.tensor([1e-18, 1e-18, 0.5], dtype=torch.float64))
    close(schedule.noise(2), 2e-18)
    close(schedule.posterior_variance(2), 5e-19)


@pytest.mark.parametrize(
    "name, T, params",
    [
        ("papyrus", 5, {}),
        ("paper", 1, {}),
        ("paper", 0, {}),
        ("paper", -3, {}),
        ("paper", 2.5, {}),
        ("paper", True, {}),
        ("constant", 5, {"beta": 0.0}),
        ("constant", 5, {"beta": 1.0001}),
        ("constant", 5, {"beta": -0.1}),
        ("constant", 5, {"beta": math.nan}),
        ("constant", 5, {"beta_1": 0.1}),
        ("paper", 5, {"beta": 0.1}),
        ("paper", 5, {"beta_1": "small"}),
        ("linear", 5, {"beta_start": -1.0}),
        ("log_snr", 5, {"start": -8.0, "end": 8.0}),
        ("custom", 5, {"points": ((0.5, 0.1),)}),
        ("custom", 5, {"points": ((0.0, 0.1), (1.0, 0.0))}),
        ("custom", 5, {"points": ((0.0, 0.1), (1.0, 1.1))}),
        ("custom", 5, {"points": ((0.0, 0.1), (1.1, 0.5))}),
        ("custom", 5, {"points": ((-0.1, 0.1), (1.0, 0.5))}),
    ],
)
def test_impossible_schedules_are_refused_in_one_sentence(name, T, params):
    with pytest.raises(ScheduleError) as caught:
        make_schedule(name, T, **params)
    message = str(caught.value)
    assert message.endswith(".") and "\n" not in message


def test_the_sentence_names_what_was_asked_for():
    for T in (1, 2.5):
        with pytest.raises(ScheduleError, match=f"at least 2, not {T}"):
            make_schedule("paper", T)
    with pytest.raises(ScheduleError, match=r"papyrus.*paper, log_snr"):
        make_schedule("papyrus", 5)


def test_bare_betas_are_checked_too():
    for betas in ([0.1], [[0.1, 0.2]], [0.1, 0.0], [0.1, 1.5], [0.1, math.nan]):
        with pytest.raises(ScheduleError):
            Schedule(torch.tensor(betas))
    close(Schedule(torch.tensor([1.0 / 4, 1.0 / 2])).alpha_bar(2), 3 / 8)
