"""The VAE against probabilistic principal component analysis, whose posterior and log-likelihood have closed forms."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.distributions import MultivariateNormal

from dpm_core.config import ConfigError, NetworkConfig, RunConfig, TrainConfig
from dpm_core.guidance import make_model
from dpm_core.process import BinomialDiffusion, GaussianDiffusion, make_diffusion
from dpm_core.relatives import (
    VAE,
    evaluate_elbo,
    exact_log_prob,
    gaussian_information_nats,
    importance_log_prob,
    matched,
    parameters,
)
from dpm_core.schedules import make_schedule
from dpm_core.training import Trainer

SIGMA = 0.4


class LinearGaussian(nn.Module):
    """x = W z + b + σ ε with its exact posterior q(z|x), which may be shifted by ``wrong``. W has orthogonal columns."""

    def __init__(self, latent: int, wrong: float = 0.0):
        super().__init__()
        self.W = nn.Parameter(torch.tensor([[1.5, 0.0], [0.0, 0.7], [0.0, 0.0]])[:, :latent])
        self.b, self.latent, self.wrong = torch.tensor([0.3, -0.2, 0.1]), latent, wrong

    def encode(self, x):
        precision = 1 + self.W.square().sum(0) / SIGMA**2
        mean = (x - self.b) @ self.W / SIGMA**2 / precision
        return mean + self.wrong, (-0.5 * precision.log()).expand_as(mean)

    def decode(self, z):
        mean = z @ self.W.T + self.b
        return mean, torch.full_like(mean, math.log(SIGMA))

    def marginal(self):
        return MultivariateNormal(self.b.double(), (self.W @ self.W.T + SIGMA**2 * torch.eye(3)).detach().double())


def vae(latent=2, wrong=0.0):
    return VAE(LinearGaussian(latent, wrong), GaussianDiffusion(make_schedule("log_snr", 10)))


def data(model, n=200):
    torch.manual_seed(3)
    return model.network.marginal().sample((n,)).float()


def test_with_the_exact_posterior_the_bound_is_the_log_likelihood_for_every_z():
    """log p(x, z)/q(z|x) does not depend on z, and its KL form agrees on average: 40,000 draws of two data to 0.03 nats."""
    model = vae()
    x = data(model, 2).repeat(40_000, 1)
    exact = model.network.marginal().log_prob(x[:2].double())
    found = importance_log_prob(model, x[:2], 1, torch.Generator().manual_seed(0))
    assert torch.allclose(found, exact, atol=1e-4)
    terms = model.elbo_terms(x, torch.randn(len(x), 2, generator=torch.Generator().manual_seed(1)))
    assert torch.allclose(terms.elbo.reshape(-1, 2).mean(0).double(), exact, atol=0.03)


def test_the_divergence_of_every_dimension_has_its_closed_form():
    model = vae()
    x = data(model)
    mean, log_deviation = model.network.encode(x)
    wanted = 0.5 * (mean.square() + (2 * log_deviation).exp() - 1) - log_deviation
    found = model.elbo_terms(x, torch.zeros(len(x), 2)).divergence
    assert torch.allclose(found, wanted, atol=1e-5)
    assert found.shape == (200, 2)


@pytest.mark.parametrize("latent", [1, 2])
def test_quadrature_gives_the_log_likelihood(latent):
    """To 1e-3 nats, with a wrong encoder as well: the grid does not depend on where the posterior is."""
    for wrong in (0.0, 0.5):
        model = vae(latent, wrong)
        x = data(model)
        assert torch.allclose(exact_log_prob(model, x), model.network.marginal().log_prob(x.double()), atol=1e-3)


def test_quadrature_is_for_two_latent_dimensions_at_most():
    network = NetworkConfig("autoencoder_mlp", (("latent", 3),))
    model = make_model(network, make_diffusion(RunConfig()), (4,))
    with pytest.raises(ValueError, match=r"^A grid over 3 latent dimensions is too large"):
        exact_log_prob(model, torch.zeros(1, 4))


def test_importance_weights_rise_from_the_bound_to_the_log_likelihood():
    """With a posterior shifted by half, K is KL(q ‖ posterior) lower, and 2,000 draws come within 0.02 nats of log p."""
    model, wrong = vae(), 0.5
    model = vae(wrong=wrong)
    x = data(model, 50)
    exact = model.network.marginal().log_prob(x.double()).mean()
    elbo = evaluate_elbo(model, x, torch.Generator().manual_seed(0), draws=2000)
    precision = 1 + model.network.W.square().sum(0) / SIGMA**2
    gap = float(0.5 * (wrong**2 * precision).sum().detach())
    bound = elbo.bound_bits * math.log(2)
    assert bound == pytest.approx(float(exact) - gap, abs=0.03)
    few, many = (importance_log_prob(model, x, n, torch.Generator().manual_seed(1)).mean() for n in (5, 5000))
    assert bound < few < many < exact + 0.02 and many == pytest.approx(float(exact), abs=0.05)


def test_the_report_counts_bits_and_active_dimensions():
    """L_null is that of N(0, I); a dimension whose column of W is 0 has collapsed."""
    model = vae()
    with torch.no_grad():
        model.network.W[1, 1] = 0.0
    x = data(model)
    elbo = evaluate_elbo(model, x, torch.Generator().manual_seed(0))
    assert elbo.active == 1 and float(elbo.divergence_nats[1]) == pytest.approx(0, abs=1e-6)
    null = -0.5 * (x.square().sum(1).mean() + 3 * math.log(2 * math.pi)) / math.log(2)
    assert elbo.null_bits == pytest.approx(float(null), rel=1e-5)
    assert elbo.standard_error_bits > 0


def test_the_standard_error_is_the_spread_of_repeated_measurements():
    """Of the bound on 400 fresh data, measured 60 times: to 25 %, three times the error of such a spread."""
    model, generator = vae(), torch.Generator().manual_seed(4)
    torch.manual_seed(5)
    found = [evaluate_elbo(model, model.network.marginal().sample((400,)).float(), generator) for _ in range(60)]
    spread = float(torch.tensor([one.bound_bits for one in found]).std())
    assert sum(one.standard_error_bits for one in found) / 60 == pytest.approx(spread, rel=0.25)


def test_reconstructions_and_samples_are_the_decoders():
    model = vae()
    z, noise = torch.randn(5, 2), torch.randn(5, 3)
    assert torch.allclose(model.sample(z, noise) - model.sample(z), SIGMA * noise, atol=1e-6)
    x = data(model, 5)
    assert torch.allclose(model.reconstruct(x), model.network.decode(model.network.encode(x)[0])[0])


def test_the_information_of_the_forward_process_is_that_of_a_gaussian_channel():
    """½ log(1 + SNR λ) summed; for more dimensions than data by the smaller of two matrices, which has the same eigenvalues."""
    diffusion = GaussianDiffusion(make_schedule("cosine", 20))
    x = torch.randn(300, 2, generator=torch.Generator().manual_seed(0)) @ torch.tensor([[2.0, 0.3], [0.0, 0.5]])
    covariance = torch.cov(x.T.double(), correction=0)
    snr = diffusion.schedule.log_snr(torch.arange(1, 21)).double().exp()
    wanted = torch.stack([0.5 * torch.logdet(torch.eye(2, dtype=torch.float64) + s * covariance) for s in snr])
    assert torch.allclose(gaussian_information_nats(x, diffusion), wanted, atol=1e-9)
    wide = torch.cat([x[:10], torch.zeros(10, 40)], 1).reshape(10, 1, 6, 7)
    narrow = torch.cat([x[:10], torch.zeros(10, 5)], 1)
    assert torch.allclose(gaussian_information_nats(wide, diffusion), gaussian_information_nats(narrow, diffusion), atol=1e-9)


@pytest.mark.parametrize(
    ("name", "shape"), [("autoencoder_mlp", (2,)), ("autoencoder_conv", (1, 28, 28)), ("autoencoder_conv", (3, 9, 13))]
)
def test_both_networks_learn_to_reconstruct(name, shape):
    """A few steps lower the loss; shapes, bounds of the deviation and a fixed deviation are as stated."""
    model = make_model(NetworkConfig(name, (("latent", 2), ("width", 8))), make_diffusion(RunConfig()), shape, 0)
    x = torch.randn(64, *shape, generator=torch.Generator().manual_seed(0)) * 0.1
    trainer = Trainer(model, x, TrainConfig(loss="elbo", steps=60, batch=32, learning_rate=5e-3, ema=0.9))
    losses = [trainer.step().loss for _ in range(60)]
    assert sum(losses[-5:]) < sum(losses[:5]) - 1
    q, p = model.posterior(x), model.likelihood(torch.zeros(3, 2))
    assert q.mean.shape == (64, 2) and p.mean.shape == (3, *shape) and float(p.stddev.min()) >= math.exp(-7) - 1e-6
    fixed = make_model(NetworkConfig(name, (("deviation", 0.25), ("latent", 1), ("width", 8))), make_diffusion(RunConfig()), shape, 0)
    assert torch.allclose(fixed.likelihood(torch.zeros(1, 1)).stddev, torch.tensor(0.25))


def test_annealing_raises_the_weight_of_the_divergence():
    """At step s of n the loss has s/n of the KL term; the average that is evaluated has all of it."""
    model = make_model(NetworkConfig("autoencoder_mlp", (("width", 8),)), make_diffusion(RunConfig()), (2,), 0)
    trainer = Trainer(model, torch.randn(64, 2), TrainConfig(loss="elbo", steps=10, batch=8, annealing=4))
    weights = []
    for _ in range(6):
        trainer.step()
        weights.append(model.divergence_weight)
    assert weights == [0.25, 0.5, 0.75, 1.0, 1.0, 1.0] and trainer.average.divergence_weight == 1.0
    x, noise = torch.randn(4, 2), torch.randn(4, 2)
    terms = model.elbo_terms(x, noise)
    assert torch.allclose(terms.weighted(0.5), terms.reconstruction - 0.5 * terms.divergence.sum(1))
    with pytest.raises(ConfigError, match="for the loss 'elbo' only"):
        TrainConfig(loss="bound", annealing=10)


@pytest.mark.parametrize(
    ("name", "shape", "params", "sentence"),
    [
        ("autoencoder_mlp", (2,), {"latent": 3}, "choose 1 to 2, the dimensions of the data"),
        ("autoencoder_mlp", (2,), {"deviation": -1.0}, "must be positive, or 0 to learn it"),
        ("autoencoder_mlp", (1, 8, 8), {}, "use autoencoder_conv for images"),
        ("autoencoder_conv", (2,), {}, "for images of at least 8 pixels"),
        ("autoencoder_conv", (1, 8, 8), {"blocks": 0}, "choose 1 to 16"),
        ("autoencoder_conv", (1, 8, 8), {"width": 9}, "divisible by 4"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(name, shape, params, sentence):
    with pytest.raises(ValueError, match=sentence):
        make_model(NetworkConfig(name, tuple(params.items())), make_diffusion(RunConfig()), shape)


def test_bits_are_refused():
    with pytest.raises(ValueError, match="not for bits"):
        make_model(NetworkConfig("autoencoder_conv"), BinomialDiffusion(make_schedule("paper", 10)), (1, 8, 8))


@pytest.mark.parametrize(
    ("network", "shape", "autoencoder", "within"),
    [
        (NetworkConfig("mlp"), (2,), "autoencoder_mlp", 0.02),
        (NetworkConfig("unet", (("width", 16),)), (1, 28, 28), "autoencoder_conv", 0.08),
        (NetworkConfig("unet", (("width", 16),)), (1, 8, 8), "autoencoder_conv", 0.21),
    ],
)
def test_networks_of_equal_size(network, shape, autoencoder, within):
    count = parameters(network, shape, 40)
    found = matched(NetworkConfig(autoencoder, (("latent", 2),)), shape, count)
    made = make_model(found, make_diffusion(RunConfig()), shape)
    assert sum(p.numel() for p in made.parameters()) == parameters(found, shape)
    assert abs(parameters(found, shape) / count - 1) < within
