"""Networks against their formulas."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import dpm_core.networks.mlp
from dpm_core.config import NetworkConfig
from dpm_core.networks import MLP, NETWORKS, RBF, MultiScale, UNet, networks_for
from dpm_core.networks.temporal import temporal_bumps
from dpm_core.networks.unet import FourierFeatures
from dpm_core.process import GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule

PLANE_NETWORKS = ("mlp", "rbf")
IMAGE_NETWORKS = ("unet", "multiscale")
BIT_NETWORKS = ("bit_mlp", "sigmoid")  # of any shape; pictures of bits also take the U-Net
SHAPES = [("mlp", (2,)), ("rbf", (2,)), *((name, shape) for name in IMAGE_NETWORKS for shape in ((1, 8, 8), (3, 9, 14)))]


def shaken(network, seed=0, std=0.5):
    """The network in float64 with every weight drawn afresh."""
    draw = torch.Generator().manual_seed(seed)
    network = network.double()
    for p in network.parameters():
        nn.init.normal_(p, std=std, generator=draw)
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


@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_batched_equals_one_at_a_time(name, shape):
    """One time for all, the same per row, each row alone: one answer; of mixed times each row's own; 1e-10, odd sizes too."""
    diffusion = GaussianDiffusion(make_schedule("paper", 6))
    model = build_model(NetworkConfig(name), diffusion, shape)
    shaken(model.network)
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        scalar = torch.cat(model.x0_posterior(x, 3), 1)
        rows = torch.cat(model.x0_posterior(x, torch.full((4,), 3)), 1)
        alone = torch.cat([torch.cat(model.x0_posterior(x[i : i + 1], 3), 1) for i in range(4)])
        times = torch.tensor([3, 6, 1, 3])
        mixed = torch.cat(model.x0_posterior(x, times), 1)
        each = torch.cat([torch.cat(model.x0_posterior(x[i : i + 1], int(t)), 1) for i, t in enumerate(times)])
    torch.testing.assert_close(rows, scalar, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(alone, scalar, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(mixed, each, rtol=1e-10, atol=1e-10)
    assert not torch.allclose(mixed[1], scalar[1])
    assert scalar.shape == (4, 2 * shape[0], *shape[1:])
    assert bool(torch.isfinite(scalar).all())


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


@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_a_fresh_model_is_the_standard_normals(name, shape):
    """F = 0: E[x⁽⁰⁾|x⁽ᵗ⁾] = √ᾱ_t x⁽ᵗ⁾, the answer for N(0, I) data, and its variance 1−ᾱ_t = t/T."""
    T = 6
    model = build_model(NetworkConfig(name), GaussianDiffusion(make_schedule("paper", T)), shape)
    x = torch.randn(4, *shape, generator=torch.Generator().manual_seed(3))
    for t in range(1, T + 1):
        mean, variance = model.x0_posterior(x, t)
        torch.testing.assert_close(mean, ((T - t) / T) ** 0.5 * x)
        torch.testing.assert_close(variance, torch.full_like(x, t / T))


def test_rbf_centres_are_the_same_everywhere_and_fill_the_plane():
    """An even spiral: |c_u|² = 1.8² (u + ½)/16, independent of the seed; mean near 0."""
    diffusion = GaussianDiffusion(make_schedule("paper", 5))
    a, b = (build_model(NetworkConfig("rbf"), diffusion, seed=s).network.centres.detach() for s in (0, 1))
    assert torch.equal(a, b)
    np.testing.assert_allclose(a.square().sum(1), 1.8**2 * (np.arange(16) + 0.5) / 16, rtol=1e-5)
    assert float(a.mean(0).norm()) < 0.15


@pytest.mark.parametrize(("T", "count", "relative_width"), [(1000, 10, 1.0), (12, 4, 0.5), (7, 2, 1.0)])
def test_bumps_are_normalised_gaussians_evenly_spread(T, count, relative_width):
    """g_j(t) ∝ exp(−(t − jT/(J−1))²/2w²), w in units of the spacing, Σ_j g_j = 1; by loops, 1e-6."""
    spacing = T / (count - 1)
    bumps = temporal_bumps(T, count, relative_width).numpy()
    assert bumps.shape == (T + 1, count)
    for t in range(T + 1):
        raw = [np.exp(-((t - j * spacing) ** 2) / (2 * (relative_width * spacing) ** 2)) for j in range(count)]
        np.testing.assert_allclose(bumps[t], np.array(raw) / sum(raw), atol=1e-6)
    np.testing.assert_allclose(bumps.sum(1), 1, rtol=1e-6)


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("dense", [0, 5])
def test_multiscale_is_its_formula(variant, dense):
    """Pool, convolve, enlarge, sum; the dense branch; per-pixel layer; y_i ∈ R^{2J}, then Σ_j y_ij g_j(t). By loops, 1e-10."""
    T, J, C, H, W = 9, 3, 3, 9, 14
    network = shaken(MultiScale((C, H, W), T, width=4, scales=3, layers=2, dense=dense, bumps=J, variant=variant), std=0.2)
    x = torch.randn(2, C, H, W, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    w = {k: v.detach().numpy() for k, v in network.state_dict().items()}

    def soft(z):
        return np.log1p(np.exp(z)) if variant == "paper" else np.where(z > 0, z, 0.05 * z)

    def bounded(z):
        return np.tanh(z) if variant == "paper" else np.where(z > 0, z, 0.05 * z)

    def pool(h):
        rows, columns = (h.shape[1] + 1) // 2, (h.shape[2] + 1) // 2
        return np.stack([[h[:, 2 * i : 2 * i + 2, 2 * j : 2 * j + 2].mean((1, 2)) for j in range(columns)] for i in range(rows)]).transpose(
            2, 0, 1
        )

    def convolve(h, kernel):
        padded = np.pad(h, ((0, 0), (1, 1), (1, 1)))
        rows, columns = h.shape[1:]
        return sum(
            np.einsum("oc,chw->ohw", kernel[:, :, i, j], padded[:, i : i + rows, j : j + columns]) for i in range(3) for j in range(3)
        )

    times = torch.tensor([2, 7])
    F, v = (part.detach().numpy() for part in network(x, times, torch.zeros(2, dtype=torch.float64)))
    for row, t in enumerate(times.tolist()):
        h = x[row].numpy()
        for layer in range(2):
            name, total, small = f"convolutions.{layer}.scales", w[f"convolutions.{layer}.scales.0.bias"][:, None, None], h
            for s in range(3):
                small = pool(small) if s else h
                coarse = convolve(small, w[f"{name}.{s}.weight"])
                total = total + coarse[:, np.arange(H) >> s][:, :, np.arange(W) >> s]
            h = soft(total)
        if dense:
            d = x[row].numpy().reshape(-1)
            for i in range(3):
                d = bounded(w[f"dense.{i}.weight"] @ d + w[f"dense.{i}.bias"])
            h = np.concatenate([h, d.reshape(2, H, W)])
        h = bounded(np.einsum("oc,chw->ohw", w["pixelwise.weight"][:, :, 0, 0], h) + w["pixelwise.bias"][:, None, None])
        y = np.einsum("jco,chw->ojhw", w["readout"], h) + w["bias"].T[:, :, None, None]
        g = temporal_bumps(T, J, 1.0 if variant == "paper" else 0.5)[t].double().numpy()
        z = np.einsum("ojhw,j->ohw", y, g)
        np.testing.assert_allclose(F[row], z[:C], atol=1e-10)
        np.testing.assert_allclose(v[row], z[C:], atol=1e-10)


def constant_multiscale(T, F, v, schedule="paper", variant="paper", variance="free"):
    """A small multi-scale kernel in float64 whose network says F and v everywhere."""
    config = NetworkConfig("multiscale", (("dense", 0), ("layers", 1), ("variant", variant), ("width", 4)), variance)
    model = build_model(config, GaussianDiffusion(make_schedule(schedule, T)), (1, 8, 8)).requires_grad_(False)
    model.network.double()
    with torch.no_grad():
        model.network.bias.copy_(torch.tensor([F, v]).expand_as(model.network.bias))
    return model


def picture(seed=4):
    return torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.mark.parametrize("variant", ["paper", "code"])
@pytest.mark.parametrize("schedule", ["paper", "log_snr"])
def test_multiscale_starts_at_the_forward_kernel(schedule, variant):
    """z = 0: mean x√(1−β) and variance β; the older form's variance is β(1 − ρ sigmoid(−4)), within 2 % below β."""
    T = 50
    model = constant_multiscale(T, 0.0, 0.0, schedule, variant)
    older = constant_multiscale(T, 0.0, 0.0, schedule, variant, "capped")
    x, betas = picture(), model.diffusion.schedule.betas
    for t in (2, 10, T // 2, T - 1, T):
        p, beta = model.reverse(x, t), float(betas[t - 1])
        torch.testing.assert_close(p.mean, (1 - beta) ** 0.5 * x, rtol=1e-12, atol=1e-12)
        alpha_bar, before = torch.cumprod(1 - betas, 0)[[t - 1, t - 2]].tolist()
        wanted = beta * (1 - before * beta / (1 - alpha_bar) / (1 + np.exp(4)))
        torch.testing.assert_close(p.variance, torch.full_like(x, beta), rtol=1e-10, atol=0)
        torch.testing.assert_close(older.reverse(x, t).variance, torch.full_like(x, wanted), rtol=1e-10, atol=0)
        assert 0.98 * beta < wanted < beta


@pytest.mark.parametrize(("F", "v"), [(0.7, 0.3), (-1.3, -5.0), (0.2, 3.0)])
def test_multiscale_in_the_codes_terms_is_exact(F, v):
    """μ = x√(1−β) + z√β with z = √ρ F, ρ = 1/t, to 1e-8; Σ = σ(z + σ⁻¹(β)) with z = ρ (share − 1) to first order."""
    T = 1000
    model, x = constant_multiscale(T, F, v), picture()
    missing = 1 - np.log1p(np.exp(v)) / np.log(2)
    for t in (2, 30, 500, 900, T):
        p, beta, rho = model.reverse(x, t), 1 / (T - t + 1), 1 / t
        torch.testing.assert_close(p.mean, (1 - beta) ** 0.5 * x + rho**0.5 * F * beta**0.5, rtol=1e-8, atol=1e-8)
        torch.testing.assert_close(p.variance, torch.full_like(x, beta * (1 - rho * missing)), rtol=1e-8, atol=0)
        if t < T:
            variance = float(p.variance[0, 0, 0, 0])
            z = np.log(variance / (1 - variance)) - np.log(beta / (1 - beta))
            assert abs(z + rho * missing) < 2 * (rho * missing) ** 2 + 2 * beta * rho * abs(missing)


def eq_65_error(T, F=0.7, v=0.3, position=0.5):
    """How far f_μ is from Eq. 65 with z = x/2 + √SNR F and the kernel's own Σ, at most, and β there."""
    model, x, t = constant_multiscale(T, F, v), picture(), int(position * T)
    p = model.reverse(x, t)
    z = x / 2 + ((T - t) / t) ** 0.5 * F
    return float((p.mean - ((x - z) * (1 - p.variance) + z)).abs().max()), 1 / (T - t + 1)


def test_multiscale_is_eq_65_to_first_order_in_beta():
    """With z = x/2 + √SNR F the means differ by O(β²), of a step of size β: twice the steps, a quarter of the difference."""
    (coarse, beta), (fine, _) = eq_65_error(1000), eq_65_error(2000)
    assert 0.2 * beta**2 < coarse < 10 * beta**2
    assert coarse / fine == pytest.approx(4, rel=0.02)


def test_eq_65s_start_would_cost_most_of_a_nat():
    """x(1−β) instead of x√(1−β) at Σ = β, on N(0, I): Σ_t KL is 0.76 nats per dimension at T = 1000; ours is 0."""
    T = 1000
    model, x = constant_multiscale(T, 0.0, 0.0), picture()[:1]
    ours = theirs = 0.0
    for t in range(2, T + 1):
        beta = 1 / (T - t + 1)
        theirs += 0.5 * ((1 - beta) ** 0.5 - (1 - beta)) ** 2 / beta
        ratio = float(model.reverse(x, t).variance[0, 0, 0, 0]) / beta
        ours += 0.5 * (1 / ratio - 1 + np.log(ratio))
    assert theirs == pytest.approx(0.764, abs=0.001)
    assert ours == pytest.approx(0, abs=1e-9)


def test_unet_is_its_formula():
    """Two levels with attention: residual blocks, the lower level added above through a 1×1 convolution; step by step, 1e-10.

    Here the 1×1 convolution comes after the enlargement, and attention is written out.
    """
    network = shaken(UNet((2, 9, 14), 20, width=8, levels=2, attention=True), std=0.2)
    w = network.state_dict()
    draw = torch.Generator().manual_seed(7)
    x = torch.randn(2, 2, 9, 14, generator=draw, dtype=torch.float64)
    level = torch.tensor([3.0, -0.5], dtype=torch.float64)

    def conv(h, name, **how):
        return functional.conv2d(h, w[f"{name}.weight"], w[f"{name}.bias"], padding=w[f"{name}.weight"].shape[-1] // 2, **how)

    def norm(h, name):
        groups = h.unflatten(1, (-1, 8)).flatten(2)
        groups = (groups - groups.mean(2, keepdim=True)) / (groups.var(2, correction=0, keepdim=True) + 1e-5).sqrt()
        return groups.view(h.shape) * w[f"{name}.weight"][:, None, None] + w[f"{name}.bias"][:, None, None]

    def block(h, name):
        scale, shift = (condition @ w[f"{name}.modulate.weight"].T + w[f"{name}.modulate.bias"])[:, :, None, None].chunk(2, 1)
        inner = norm(conv(functional.silu(norm(h, f"{name}.norm1")), f"{name}.conv1"), f"{name}.norm2")
        return h + conv(functional.silu(inner * (1 + scale) + shift), f"{name}.conv2")

    phase = level[:, None] * torch.exp(torch.linspace(np.log(0.1), np.log(2.0), 16)).double()
    condition = torch.cat([level[:, None] / 8, phase.sin(), phase.cos()], 1)
    for i in (0, 2):
        condition = functional.silu(condition @ w[f"embed.layers.{i}.weight"].T + w[f"embed.layers.{i}.bias"])
    fine = block(conv(x, "inputs"), "down.0.0")
    coarse = block(conv(fine, "shrink.0", stride=2), "down.1.0")
    q, k, values = conv(norm(coarse, "attention.norm"), "attention.qkv").flatten(2).chunk(3, 1)
    weights = torch.softmax(torch.einsum("ncp,ncs->nps", q, k) / 4, 2)  # 16 channels
    coarse = block(coarse + conv(torch.einsum("nps,ncs->ncp", weights, values).view(coarse.shape), "attention.out"), "middle")
    enlarged = coarse[:, :, (torch.arange(9) * 5) // 9][..., (torch.arange(14) * 7) // 14]
    h = block(fine + conv(enlarged, "grow.0"), "up.0.0")
    wanted = conv(functional.silu(norm(h, "norm")), "outputs")
    torch.testing.assert_close(torch.cat(network(x, torch.tensor([1, 2]), level), 1), wanted, rtol=1e-10, atol=1e-10)


def test_fourier_features_tell_where_inside_a_grey_level_a_value_lies():
    """Their periods are 1, 2 and 4 levels, and the image itself comes first: checked at whole and half levels."""
    scale = 50.0
    features = FourierFeatures(scale)
    levels = torch.tensor([0.0, 0.25, 0.5, 1.0, 2.0, 4.0], dtype=torch.float64)
    out = features((levels / scale).reshape(-1, 1, 1, 1))[:, :, 0, 0]
    assert out.shape == (6, 7) and torch.equal(out[:, 0], levels / scale)
    sines, cosines = out[:, 1:4], out[:, 4:]
    torch.testing.assert_close(sines[1], torch.tensor([1.0, 0.5**0.5, math.sin(math.pi / 8)], dtype=torch.float64))
    torch.testing.assert_close(cosines[2], torch.tensor([-1.0, 0.0, 0.5**0.5], dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(cosines[3:], torch.tensor([[1.0, -1, 0], [1, 1, -1], [1, 1, 1]], dtype=torch.float64), atol=1e-12, rtol=0)
    net = NETWORKS["unet"](shape=(3, 8, 8), T=10, width=8, grey_levels=scale)
    assert net.inputs.weight.shape == (8, 21, 3, 3)


@pytest.mark.parametrize("name", IMAGE_NETWORKS)
def test_gradients_reach_every_parameter(name):
    """Of F² + v² at mixed times; no parameter is left out of the output."""
    params = (("attention", True), ("blocks", 2), ("width", 8)) if name == "unet" else ()
    model = build_model(NetworkConfig(name, params), GaussianDiffusion(make_schedule("paper", 20)), (3, 9, 14))
    network = shaken(model.network, std=0.1)
    x = torch.randn(4, 3, 9, 14, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    F, v = network(x, torch.tensor([2, 7, 15, 20]), torch.tensor([3.0, 1.0, -1.0, -15.0], dtype=torch.float64))
    (F.square() + v.square()).sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert parameter.grad is not None, parameter_name
        assert float(parameter.grad.abs().max()) > 0, parameter_name


@pytest.mark.parametrize("name", BIT_NETWORKS)
@pytest.mark.parametrize("shape", [(20,), (1, 4, 5)])
def test_networks_of_bits(name, shape):
    """Log odds shaped as x, zero before training; gradients reach all that the batch's times use; the body of sigmoids by hand."""
    network = build_model(NetworkConfig(name), GaussianDiffusion(make_schedule("paper", 12)), shape).network
    x = torch.randn(6, *shape, generator=torch.Generator().manual_seed(5))
    t, level = torch.tensor([2, 7, 12, 2, 7, 12]), torch.tensor([3.0, 1.0, -15.0] * 2)
    F, v = network(x, t, level)
    assert F.shape == x.shape and torch.equal(F, v) and float(F.abs().max()) == 0
    network = shaken(network)
    x, level = x.double(), level.double()
    F, _ = network(x, t, level)
    F.square().sum().backward()
    for parameter_name, parameter in network.named_parameters():
        assert float(parameter.grad.abs().max()) > 0, parameter_name
    one_by_one = torch.cat([network(x[i : i + 1], t[i], level[i])[0] for i in range(6)])
    torch.testing.assert_close(F, one_by_one)
    if name == "sigmoid":
        h = x.flatten(1)
        for layer in network.layers:
            h = 1 / (1 + torch.exp(-(h @ layer.weight.T + layer.bias)))
        wanted = torch.stack([(2 * h[i] - 1) @ network.readout[t[i]] + network.bias[t[i]] for i in range(6)])
        torch.testing.assert_close(F.flatten(1), wanted)


@pytest.mark.parametrize(("name", "shape"), SHAPES)
def test_state_carries_the_whole_network(name, shape):
    """Loaded into a model of another seed, the same function, exactly; before, another one."""
    diffusion = GaussianDiffusion(make_schedule("paper", 8))
    a, b = (build_model(NetworkConfig(name), diffusion, shape, seed=s) for s in (0, 1))
    draw = torch.Generator().manual_seed(6)
    for p in a.parameters():
        nn.init.normal_(p, std=0.3, generator=draw)
    x = torch.randn(3, *shape, generator=draw)
    t = torch.tensor([2, 5, 8])
    with torch.no_grad():
        wanted = torch.cat(a.x0_posterior(x, t), 1)
        assert not torch.allclose(torch.cat(b.x0_posterior(x, t), 1), wanted)
        b.load_state_dict(a.state_dict())
        assert torch.equal(torch.cat(b.x0_posterior(x, t), 1), wanted)


@pytest.mark.parametrize(
    ("name", "shape", "params", "sentence"),
    [
        ("mlp", (1, 8, 8), {}, "The MLP is for points"),
        ("rbf", (1, 8, 8), {}, "The RBF network is for points"),
        ("unet", (2,), {}, "The U-Net is for images"),
        ("multiscale", (2,), {}, "The multi-scale network is for images"),
        ("unet", (1, 8, 8), {"width": 20}, "divisible by 8"),
        ("unet", (1, 8, 8), {"levels": 6}, "up to 5 levels"),
        ("unet", (1, 8, 8), {"grey_levels": -1}, "positive number, or 0"),
        ("multiscale", (1, 8, 8), {"width": 0}, "a width up to 256"),
        ("multiscale", (1, 8, 8), {"layers": 9}, "up to 8 layers"),
        ("multiscale", (1, 8, 8), {"dense": -1}, "up to 2048 dense units"),
        ("multiscale", (1, 8, 8), {"bumps": 1}, "2 to 100 temporal bumps"),
        ("multiscale", (1, 8, 8), {"variant": "book"}, "'paper' or 'code', not 'book'"),
        ("multiscale", (1, 8, 8), {"levels": 2}, "does not accept these parameters"),
        ("bit_mlp", (20,), {"depth": 0}, "a depth up to 16"),
        ("sigmoid", (20,), {"units": 0}, "1 to 1,024 units"),
        ("sigmoid", (1, 200, 300), {}, "fewer units"),
    ],
)
def test_what_cannot_be_built_is_said_in_a_sentence(name, shape, params, sentence):
    """ValueError, one sentence, naming what is wrong."""
    with pytest.raises(ValueError, match=sentence) as caught:
        build_model(NetworkConfig(name, tuple(params.items())), GaussianDiffusion(make_schedule("paper", 6)), shape)
    message = str(caught.value)
    assert message.endswith(".")
    assert "\n" not in message


def test_every_network_has_three_growing_sizes():
    """Small < medium < large in parameters, on its own kind of data; the paper's network fits 4 MB in float16 at 28×28."""
    kernels = {name: network for name, network in NETWORKS.items() if network.kernel and not network.package}
    assert sorted(kernels) == sorted((*PLANE_NETWORKS, *IMAGE_NETWORKS, *BIT_NETWORKS))
    for name, sizes in ((name, network.sizes) for name, network in kernels.items()):
        assert list(sizes) == ["small", "medium", "large"]
        counts = []
        for params in sizes.values():
            assert list(params) == sorted(params)
            model = build_model(
                NetworkConfig(name, params),
                GaussianDiffusion(make_schedule("paper", 8)),
                (2,) if name in PLANE_NETWORKS else (1, 28, 28),
            )
            counts.append(sum(p.numel() for p in model.parameters()))
        assert counts[0] < counts[1] < counts[2]
        if name == "multiscale":
            assert counts[2] < 1.2e6


def test_the_networks_for_data_of_a_kind_and_shape():
    """Those designed for the kind first; the U-Net only for pictures of at least 8 pixels a side, of grey levels or of bits."""
    assert list(networks_for("points", (2,))) == list(PLANE_NETWORKS)
    assert [name for name in networks_for("images", (1, 8, 8)) if not NETWORKS[name].package] == list(IMAGE_NETWORKS)
    assert list(networks_for("bits", (20,))) == list(networks_for("bits", (1, 7, 8))) == list(BIT_NETWORKS)
    assert list(networks_for("bits", (1, 8, 8))) == [*BIT_NETWORKS, "unet"]
    assert list(networks_for("sounds", (16000,))) == list(PLANE_NETWORKS), "networks that take data of any shape"
