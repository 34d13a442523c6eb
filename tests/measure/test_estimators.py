"""Log likelihoods: trajectories, quadrature, windows and the flow against closed forms and against each other."""

from __future__ import annotations

import math

import pytest
import torch
from torch.distributions import Normal

from dpm_core import checkpoints
from dpm_core.config import NetworkConfig
from dpm_core.measure.bound import evaluate_bound
from dpm_core.measure.estimators import (
    bennett_free_energy,
    forward_and_backward_work,
    jarzynski,
    parzen,
    parzen_log_prob,
)
from dpm_core.measure.model_density import exact_log_prob, first_marginal, on_grid
from dpm_core.measure.probability_flow import probability_flow_log_prob
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import EmpiricalReverse, build_model
from dpm_core.schedules import make_schedule


class Linear:
    """Steps N(a x + b, s²) with one a, b, s per time, whose density is a Gaussian in closed form."""

    def __init__(self, T=6, dims=2):
        self.diffusion = GaussianDiffusion(make_schedule("log_snr", T, start=3.0, end=-4.0))
        generator = torch.Generator().manual_seed(0)
        off = torch.rand(3, T + 1, generator=generator) - 0.5
        alpha, beta = (table(torch.arange(T + 1)).float() for table in (self.diffusion.schedule.alpha, self.diffusion.schedule.beta))
        # what undoes the diffusion of N(0, I), each number a little wrong
        self.a, self.b, self.s = alpha.sqrt() + 0.1 * off[0], 0.2 * off[1], beta.sqrt() * (1 + 0.2 * off[2])

    def reverse(self, xt, t, s=None):
        return Normal(self.a[t] * xt + self.b[t], self.s[t].expand_as(xt), validate_args=False)

    def density(self):
        mean, variance = 0.0, 1.0
        for t in range(self.diffusion.T, 0, -1):
            mean, variance = self.a[t] * mean + self.b[t], self.a[t] ** 2 * variance + self.s[t] ** 2
        return Normal(mean, variance**0.5)


def gaussian_kernel(T=40):
    """The exact kernel of N(0, I): every step is exact, and so is every estimate of its likelihood."""
    process = GaussianDiffusion(make_schedule("log_snr", T))
    return EmpiricalReverse(torch.zeros(1, 2, dtype=torch.float64), process, 1.0)


def test_jarzynski_converges_to_the_exact_likelihood():
    """40,000 trajectories: within 0.02 nats and four of its own errors; the ELBO lies below; the effective sample grows with N."""
    model, x = Linear(), torch.tensor([[0.0, 0.3], [1.0, -0.5], [-0.8, 0.9]])
    exact = model.density().log_prob(x).sum(1).double()
    found = jarzynski(model, model.diffusion, x, 40_000, torch.Generator().manual_seed(1))
    assert float((found.log_prob - exact).abs().max()) < 0.02
    assert bool(((found.log_prob - exact).abs() < 4 * found.standard_error).all())
    assert bool((found.elbo < exact).all()) and bool((found.effective_samples < 40_000).all())
    assert torch.equal(found.after(40_000).log_prob, found.log_prob)
    assert float((found.after(1).log_prob - exact).abs().mean()) > float((found.after(10_000).log_prob - exact).abs().mean())


def test_where_every_step_is_exact_one_trajectory_is_enough():
    """N(0, I): every weight is the likelihood itself, to 1e-4, so K, Jarzynski and the truth are one; work is 0 both ways."""
    kernel, x = gaussian_kernel(), torch.tensor([[0.0, 0.0], [1.5, -2.0]])
    wanted = Normal(0.0, 1.0).log_prob(x).sum(1).double()
    found = jarzynski(kernel, kernel.diffusion, x, 3, torch.Generator().manual_seed(2))
    assert float((found.log_weights - wanted[:, None]).abs().max()) < 1e-4
    assert torch.allclose(found.effective_samples, torch.tensor(3.0, dtype=torch.float64), atol=1e-3)
    x = torch.randn(200, 2, generator=torch.Generator().manual_seed(3))

    def density(x):
        return Normal(0.0, 1.0).log_prob(x).sum(1)

    for work in forward_and_backward_work(kernel, kernel.diffusion, x, density(x), density, torch.Generator().manual_seed(4)):
        assert float(work.abs().max()) < 1e-3


def test_the_mean_of_the_log_weights_is_the_bound():
    """K by trajectories and by Eq. 14, the same number from two formulas, within four errors."""
    loaded = checkpoints.load("moons_mlp")
    x0 = loaded.dataset.sample(3000, torch.Generator().manual_seed(1))
    found = jarzynski(loaded.model, loaded.diffusion, x0, 4, torch.Generator().manual_seed(2)).elbo
    plain = evaluate_bound(loaded.model, loaded.diffusion, x0, torch.Generator().manual_seed(3))
    error = math.hypot(float(found.std()) / math.sqrt(3000), plain.standard_error_nats)
    assert abs(float(found.mean()) - plain.bound_nats) < 4 * error


def test_the_mean_of_the_log_weights_is_the_bound_of_data_of_any_variance():
    """An untrained network on N(0, 1.4² I): K with the entropy of π alone would be 0.19 nats above the trajectories' mean."""
    diffusion = GaussianDiffusion(make_schedule("paper", 5, beta_1=0.2))
    model = build_model(NetworkConfig("rbf"), diffusion)
    x0 = 1.4 * torch.randn(20_000, 2, generator=torch.Generator().manual_seed(1))
    found = jarzynski(model, diffusion, x0, 2, torch.Generator().manual_seed(2)).elbo
    plain = evaluate_bound(model, diffusion, x0, torch.Generator().manual_seed(3))
    error = math.hypot(float(found.std()) / math.sqrt(len(x0)), plain.standard_error_nats)
    assert abs(float(found.mean()) - plain.bound_nats) < 4 * error < 0.1


def test_quadrature_carries_a_gaussian_down_exactly():
    """Every step linear: the density on the grid and at points is the Gaussian it must be, to 1e-3 nats."""
    model, x = Linear(), torch.tensor([[0.0, 0.3], [1.0, -0.5], [-0.8, 0.9]])
    density = first_marginal(model, model.diffusion)
    assert abs(density.total - 1) < 1e-3
    exact = model.density()
    assert float((exact_log_prob(model, density, x) - exact.log_prob(x).sum(1)).abs().max()) < 1e-3
    axis = torch.linspace(-2, 2, 41, dtype=torch.float64)
    wanted = exact.log_prob(axis[:, None]).exp() * exact.log_prob(axis[None]).exp()
    assert float((on_grid(model, density, axis) - wanted).abs().max()) < 1e-3 * float(wanted.max())
    far = exact_log_prob(model, density, torch.tensor([[60.0, 60.0]]))
    assert bool((far < -100).all()) and not bool(far.isnan().any())


def test_jarzynski_and_quadrature_agree_on_a_network():
    """The shipped moons at T = 40: 3,000 trajectories within four of their errors of the quadrature, on most points within 0.05."""
    loaded = checkpoints.load("moons_mlp")
    x0 = loaded.dataset.sample(8, torch.Generator().manual_seed(5))
    exact = exact_log_prob(loaded.model, first_marginal(loaded.model, loaded.diffusion), x0)
    found = jarzynski(loaded.model, loaded.diffusion, x0, 3000, torch.Generator().manual_seed(6))
    assert float((found.log_prob - exact).abs().median()) < 0.05
    assert bool(((found.log_prob - exact).abs() < 4 * found.standard_error + 0.02).all())


@pytest.mark.parametrize("probes", [None, 40])
def test_the_flow_of_gaussian_data_is_exact(probes):
    """N(0, I) again, where the flow stands still: to 1e-3; random probes agree, as the divergence is the same everywhere."""
    kernel, x = gaussian_kernel(100), torch.tensor([[0.2, -0.4], [1.5, 1.0]])
    found = probability_flow_log_prob(kernel, kernel.diffusion, x, probes=probes, generator=torch.Generator().manual_seed(7))
    assert float((found - Normal(0.0, 1.0).log_prob(x).sum(1)).abs().max()) < 1e-3


def test_the_flow_of_a_narrow_gaussian_and_of_a_mixture():
    """N(0, ¼ I) and three bumps at T = 400: log q(x⁽⁰⁾) to 0.05 nats (the smallest noise blurs it a little)."""
    process = GaussianDiffusion(make_schedule("log_snr", 400))
    for points, noise in ((torch.zeros(1, 2), 0.5), (torch.tensor([[1.0, 0.0], [-1.0, 0.5], [0.0, -1.0]]), 0.3)):
        kernel = EmpiricalReverse(points.double(), process, noise)
        x = points[0] + torch.tensor([[0.0, 0.1], [0.3, -0.2], [0.5, 0.4]])
        found = probability_flow_log_prob(kernel, process, x)
        assert float((found - kernel.log_marginal(x, 0)).abs().max()) < 0.05


def test_works_cross_at_equal_free_energies():
    """The shipped roll, 4,000 each way: Bennett's root is 0 within four errors and 0.05; ⟨W⟩ is positive one way, negative the other;
    and Gaussian works with a known difference give it."""
    loaded = checkpoints.load("swiss_roll_mlp")
    x0 = loaded.dataset.sample(4000, torch.Generator().manual_seed(1))
    forward, backward = forward_and_backward_work(
        loaded.model, loaded.diffusion, x0, loaded.dataset.log_prob(x0), loaded.dataset.log_prob, torch.Generator().manual_seed(2)
    )
    difference, error = bennett_free_energy(forward, backward)
    assert abs(difference) < 4 * error and error < 0.02 and float(forward.mean()) > 0 > float(backward.mean())
    z = torch.randn(2, 20_000, generator=torch.Generator().manual_seed(3))
    difference, error = bennett_free_energy(1.7 + 0.5 + z[0], 1.7 - 0.5 + z[1])  # P_F(W)/P_R(W) = e^(W − 1.7) at unit variance
    assert abs(difference - 1.7) < 4 * error and error < 0.03


def test_windows_against_the_sum_itself():
    """log mean of the windows, one by one, to 1e-4; the bandwidth with the best validation wins; bits are nats/log 2."""
    generator = torch.Generator().manual_seed(0)
    samples, x = torch.randn(50, 3, 2, generator=generator), torch.randn(7, 3, 2, generator=generator)
    wanted = torch.stack([Normal(s, 0.3).log_prob(x).sum((1, 2)) for s in samples]).double().logsumexp(0) - math.log(50)
    assert torch.allclose(parzen_log_prob(samples, x, 0.3), wanted, atol=1e-4)
    many, other, test = (torch.randn(n, 1, generator=generator) for n in (200, 500, 500))
    found = parzen(many, other, test)
    scores = {float(b): float(parzen_log_prob(many, other, float(b)).mean()) for b in torch.logspace(math.log10(0.05), 0, 40).double()}
    assert abs(found.bandwidth - max(scores, key=scores.get)) < 1e-6 and 0.1 < found.bandwidth < 0.6
    assert abs(found.nats[0] - float(Normal(0.0, 1.0).log_prob(test).mean())) < 0.1
    assert found.bits[0] == pytest.approx(found.nats[0] / math.log(2)) and found.bits[1] == pytest.approx(found.nats[1] / math.log(2))


def test_edges():
    model = Linear()
    one = jarzynski(model, model.diffusion, torch.zeros(1, 2), 1, torch.Generator().manual_seed(0))
    assert one.log_prob == one.elbo and bool(one.standard_error.isnan().all())
    far = jarzynski(model, model.diffusion, torch.full((1, 2), 1e4), 100, torch.Generator().manual_seed(0))
    assert not bool(far.log_prob.isnan().any()) and bool((far.log_prob < -1000).all())
    with pytest.raises(ValueError, match="At least one trajectory"):
        jarzynski(model, model.diffusion, torch.zeros(1, 2), 0)
    with pytest.raises(ValueError, match="bandwidth must be positive"):
        parzen_log_prob(torch.zeros(2, 2), torch.zeros(2, 2), 0.0)
