"""Training: a generator, one optimiser step per ``next()``. The caller owns logging, pausing and stopping."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.bound import moments_kl_nats, step_kl_nats
from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.diffusion import GaussianDiffusion, expand, randn_like
from dpm_core.networks import NETWORKS
from dpm_core.reverse import ReverseModel


class TrainingError(RuntimeError):
    """Training cannot go on; ``step`` is the last good step, whose weights the model and the average keep."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class TrainStep(NamedTuple):
    """What one optimiser step gave: its number (from 1), the loss, the gradient's norm before clipping."""

    step: int
    loss: float
    gradient_norm: float
    average: ReverseModel  # the exponential moving average of the weights: what to sample from


def build_model(network: NetworkConfig, diffusion: GaussianDiffusion, dims: int = 2, seed: int = 0) -> ReverseModel:
    """A fresh model, the same for the same seed. Raises ValueError for an unknown network or parameter."""
    if network.name not in NETWORKS:
        raise ValueError(f"Unknown network {network.name!r}; choose one of {', '.join(NETWORKS)}.")
    with torch.random.fork_rng(devices=[]):  # layers draw from the global generator: hand it back untouched
        torch.default_generator.manual_seed(seed)
        try:
            net = NETWORKS[network.name](dims=dims, T=diffusion.T, **dict(network.params))
        except TypeError as error:
            raise ValueError(f"Network {network.name!r} does not take these parameters: {error}.") from None
    return ReverseModel(net, diffusion)


def stratified_times(T: int, n: int, generator: torch.Generator | None = None) -> Tensor:
    """n times in 2..T, LongTensor ``[n]``: evenly spread with one random offset, so every batch sees all of 2..T."""
    u = torch.rand((), generator=generator) + torch.arange(n)
    return 2 + ((u / n % 1) * (T - 1)).long().clamp(max=T - 2)


def bound_loss(model: ReverseModel, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """−K up to its constant entropies, in nats per dimension: (T−1) times the mean KL at times t."""
    diffusion = model.diffusion
    q = diffusion.q_marginal(x0, t)
    kl = step_kl_nats(model, diffusion, x0, q.mean + q.stddev * noise, t)
    return (diffusion.T - 1) * kl.mean() / x0[0].numel()


def simple_loss(model: ReverseModel, x0: Tensor, t: Tensor, noise: Tensor) -> Tensor:
    """The ε-loss of Ho et al. 2020 for the mean; the variance learns from the KL with the mean held fixed.

    (The hybrid of Nichol & Dhariwal 2021, section 3.1, so that f_Σ is learned here too.)
    """
    diffusion = model.diffusion
    q = diffusion.q_marginal(x0, t)
    xt = q.mean + q.stddev * noise
    x0_mean, x0_variance = model.x0_moments(xt, t)
    signal = expand(diffusion.schedule.alpha_bar(t).sqrt(), xt)
    epsilon = (xt - signal * x0_mean) / expand(diffusion.schedule.noise(t).sqrt(), xt)
    kl = moments_kl_nats(diffusion, x0, x0_mean.detach(), x0_variance, t)
    return functional.mse_loss(epsilon, noise) + 1e-3 * (diffusion.T - 1) * kl.mean()


LOSSES = {"bound": bound_loss, "simple": simple_loss}


def train_steps(model: ReverseModel, data: Tensor, config: TrainConfig) -> Iterator[TrainStep]:
    """Train ``model`` in place on ``data`` ``[N, ...]``, yielding after every optimiser step.

    Batches, times and noise come from one generator seeded by the config: the same config, the same
    weights. Raises TrainingError at a non-finite loss or gradient, before it touches the weights.
    """
    device = data.device
    generator = torch.Generator(device).manual_seed(config.seed)
    cpu_generator = torch.Generator().manual_seed(config.seed)
    average = copy.deepcopy(model).requires_grad_(False)
    parameters = list(model.parameters())
    optimiser = torch.optim.Adam(parameters, lr=config.learning_rate, fused=True)
    loss_of = LOSSES[config.loss]
    for step in range(1, config.steps + 1):
        rows = torch.randint(len(data), (config.batch,), generator=generator, device=device)
        x0 = data[rows]
        t = stratified_times(model.diffusion.T, config.batch, cpu_generator)
        loss = loss_of(model, x0, t, randn_like(x0, generator))
        optimiser.zero_grad()
        loss.backward()
        norm = nn.utils.clip_grad_norm_(parameters, config.clip)
        if not math.isfinite(loss.item()) or not math.isfinite(norm.item()):
            raise TrainingError(
                f"The loss stopped being finite at step {step}; the weights of step {step - 1} are kept. "
                "A smaller learning rate usually helps.",
                step - 1,
            )
        for group in optimiser.param_groups:
            group["lr"] = config.learning_rate * 0.5 * (1 + math.cos(math.pi * (step - 1) / config.steps))
        optimiser.step()
        _average(average, model, min(config.ema, (1 + step) / (10 + step)))
        yield TrainStep(step, loss.item(), norm.item(), average)


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
