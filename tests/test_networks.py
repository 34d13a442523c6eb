"""Networks against their formulas."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import dpm_core.networks.mlp
from dpm_core.config import NetworkConfig
from dpm_core.diffusion import GaussianDiffusion
from dpm_core.networks import MLP, NETWORKS, RBF
from dpm_core.schedules import make_schedule
from dpm_core.training import build_model


def shaken(network, seed=0):
    """The network in float64 with every weight drawn afresh."""
    draw = torch.Generator().manual_seed(seed)
    network = network.double()
    for p in network.parameters():
        nn.init.normal_(p, std=0.5, generator=draw)
    return network


def test_rbf_is_a_normalised_radial_basis_readout_per_time():
    """Σ_u φ_u(x) R_t,u / Σ_u φ_u(x), φ_u = exp(−|x − c_u|²/2σ_u²), its own R for each t (App. D.1.1); 1e-12."""
    network = shaken(RBF((2,), 5, units=7))
    x = torch.randn(6, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    centres, readout = network.centres.detach().numpy(), network.readout.detach().numpy()
    width = np.exp(network.log_width.detach().numpy())
    t = torch.arange(6)
    rows = network(x, t, torch.zeros(6))
    for i in range(6):
        phi = np.exp(-((x[i].numpy() - centres) ** 2).sum(1) / (2 * width**2))
        wanted = phi @ readout[i] / phi.sum()
        one = network(x[i : i + 1], torch.tensor(i), torch.zeros(()))
        for part, (together, alone) in enumerate(zip(rows, one)):
            np.testing.assert_allclose(together[i].detach(), wanted[2 * part : 2 * part + 2], atol=1e-12)
            np.testing.assert_allclose(alone[0].detach(), wanted[2 * part : 2 * part + 2], atol=1e-12)


def test_mlp_is_its_formula():
    """Fourier features, one shift per block from the log-SNR, residual silu blocks, read out; layer by layer by hand, 1e-10."""
    network = shaken(MLP((2,), 9, width=6, depth=2, features=3))
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(5, 2, generator=draw, dtype=torch.float64)
    level = torch.tensor([3.0, -1.0, 3.0, 0.5, -15.0], dtype=torch.float64)
    state = {k: v.detach().double().numpy() for k, v in network.state_dict().items()}

    def silu(z):
        return z / (1 + np.exp(-z))

    angle = x.numpy() @ state["frequencies"]
    h = np.c_[x.numpy(), np.sin(angle), np.cos(angle)] @ state["inputs.weight"].T + state["inputs.bias"]
    phase = level.numpy()[:, None] * state["snr_frequencies"]
    c = np.c_[level.numpy() / 8, np.sin(phase), np.cos(phase)] @ state["condition.0.weight"].T + state["condition.0.bias"]
    c = silu(c) @ state["condition.2.weight"].T + state["condition.2.bias"]
    for i in range(2):
        h = h + silu(h @ state[f"blocks.{i}.weight"].T + c[:, 6 * i : 6 * i + 6])
    out = h @ state["outputs.weight"].T + state["outputs.bias"]
    F, v = network(x, torch.zeros(5).long(), level)
    np.testing.assert_allclose(torch.cat([F, v], 1).detach(), out, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_batched_equals_one_at_a_time(name):
    """A scalar time for all, the same time per row, and each row alone: one answer, 1e-10."""
    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    model = build_model(NetworkConfig(name), diffusion)
    shaken(model.network)
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        scalar = torch.cat(model.x0_moments(x, 3), 1)
        rows = torch.cat(model.x0_moments(x, torch.full((4,), 3)), 1)
        alone = torch.cat([torch.cat(model.x0_moments(x[i : i + 1], 3), 1) for i in range(4)])
        mixed = torch.cat(model.x0_moments(x, torch.tensor([3, 6, 1, 3])), 1)
    torch.testing.assert_close(rows, scalar, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(alone, scalar, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mixed[[0, 3]], scalar[[0, 3]], rtol=1e-10, atol=1e-10)
    assert not torch.allclose(mixed[1], scalar[1])


@pytest.mark.parametrize("n", [1, 3, 4, 8, 10])
def test_mlp_blocks_of_rows_do_not_change_the_answer(n, monkeypatch):
    """Without gradients rows go four at a time and in place; with them all at once: the same numbers, and x untouched."""
    monkeypatch.setattr(dpm_core.networks.mlp, "CACHE_ROWS", 4)
    network = shaken(MLP((2,), 9, width=6, depth=2, features=3))
    draw = torch.Generator().manual_seed(4)
    x = torch.randn(n, 2, generator=draw, dtype=torch.float64)
    before = x.clone()
    levels = torch.randint(-3, 3, (n,), generator=draw).double()
    for log_snr in (levels, levels[0]):
        whole = torch.cat(network(x, torch.tensor(0), log_snr), 1).detach()
        with torch.no_grad():
            parts = torch.cat(network(x, torch.tensor(0), log_snr), 1)
        torch.testing.assert_close(parts, whole, rtol=1e-12, atol=1e-12)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", list(NETWORKS))
def test_a_fresh_model_is_the_standard_normals(name):
    """F = 0: E[x⁽⁰⁾|x⁽ᵗ⁾] = √ᾱ_t x⁽ᵗ⁾, the answer for N(0, I) data, and half its variance (sigmoid 0)."""
    T = 6
    model = build_model(NetworkConfig(name), GaussianDiffusion(make_schedule("paper", T)))
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(3))
    for t in range(1, T + 1):
        mean, variance = model.x0_moments(x, t)
        torch.testing.assert_close(mean, ((T - t) / T) ** 0.5 * x)
        torch.testing.assert_close(variance, torch.full_like(x, t / T / 2))


def test_rbf_centres_are_the_same_everywhere_and_fill_the_plane():
    """An even spiral: |c_u|² = 1.8² (u + ½)/16, independent of the seed; mean near 0."""
    diffusion = GaussianDiffusion(make_schedule("paper", 5))
    a, b = (build_model(NetworkConfig("rbf"), diffusion, seed=s).network.centres.detach() for s in (0, 1))
    assert torch.equal(a, b)
    np.testing.assert_allclose(a.square().sum(1), 1.8**2 * (np.arange(16) + 0.5) / 16, rtol=1e-5)
    assert float(a.mean(0).norm()) < 0.15
