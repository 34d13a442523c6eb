"""A reverse kernel parameterised by a neural network."""

from __future__ import annotations

import copy
import math
import threading
from functools import partial

import torch
from torch import Tensor, nn
from torch.distributions import Normal
from torch.nn import functional

from dpm_core.config import NetworkConfig
from dpm_core.networks import NETWORKS
from dpm_core.process import LOG_SNR_LIMIT, Chain, Kernel, expand, where
from dpm_core.reverse.kernel import X0PosteriorKernel
from dpm_core.schedules import Time

_SEEDING = threading.Lock()  # layers are initialised from the global generator, which only one thread at a time may seed


class ReverseModel(X0PosteriorKernel, nn.Module):
    """A reverse kernel N(f_μ(x⁽ᵗ⁾,t), f_Σ(x⁽ᵗ⁾,t)) with diagonal f_Σ, or B(f_b(x⁽ᵗ⁾,t)) for bits, parameterised by a network.

    The network's interface: ``network(x, t, log_snr) -> (F, v)`` with x ``[n, ...]``; t LongTensor and log_snr float, both scalar
    or ``[n]``; F and v shaped as x. The diffusion maps F and share(v) to posterior moments of x⁽⁰⁾
    (:meth:`GaussianDiffusion.x0_posterior_from_network`, :meth:`BinomialDiffusion.x0_posterior_from_network`), where Var(x⁽⁰⁾|x⁽ᵗ⁾)
    is share(v) times its value 1−ᾱ_t for N(0, I) data. With ``variance`` "free" share(v) = softplus(v)/log 2 is any positive number
    and 1 at v = 0; "capped", the form of older checkpoints, is sigmoid(v) < 1, by which f_Σ < β_t everywhere. The step t = 1 is
    fixed to q(x⁽¹⁾|x⁽⁰⁾)π(x⁽⁰⁾)/π(x⁽¹⁾), which equals q's own transition kernel at x⁽¹⁾, because π is stationary under q (App. B.2).

    A class-conditional network (``classes`` > 0) is called as ``network(x, t, log_snr, label)``, with a label int64, scalar or ``[n]``,
    or None. The model is then the unconditional kernel unless :meth:`given` fixes the class. A network with SAMPLES_FIRST_STEP gives the
    step t = 1 as well; K counts the fixed step in any case.
    """

    def __init__(self, network: nn.Module, diffusion: Chain, variance: str = "free", classes: int = 0):
        super().__init__()
        self.network, self.classes = network, classes
        self.label: Tensor | None = None
        self.guidance = 0.0
        self.diffusion = diffusion
        self.share = _free if variance == "free" else partial(_capped, start=getattr(network, "CAPPED_START", 0.0))
        self.samples_first_step = getattr(network, "SAMPLES_FIRST_STEP", False)  # instead of the fixed step t = 1
        self.precision = torch.float32  # of the network's computations; its outputs are cast to x's dtype

    def x0_posterior(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Return the posterior mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾ (and y, see :meth:`given`), both shaped as xt."""
        parts = self._parts()
        if len(parts) == 1:
            return self._x0_posterior(xt, t, parts[0][0])
        labels, weights = zip(*parts)
        return self.diffusion.combine([self._x0_posterior(xt, t, label) for label in labels], weights)

    def _parts(self) -> list[tuple[Tensor | None, float]]:
        """The labels to ask the network for, and the weights of its answers, which add up to 1; None is "no label"."""
        if self.label is None:
            return [(None, 1.0)]
        given: list[tuple[Tensor | None, float]] = [(self.label, 1.0)]
        if self.label.is_floating_point():
            given = [(torch.tensor(y), share) for y, share in enumerate((self.label / self.label.sum()).tolist()) if share]
        guided = [(label, (1 + self.guidance) * share) for label, share in given]
        return [*guided, (None, -self.guidance)] if self.guidance else guided

    def _x0_posterior(self, xt: Tensor, t: Time, label: Tensor | None) -> tuple[Tensor, Tensor]:
        schedule = self.diffusion.schedule
        t = torch.as_tensor(t)
        x = self.diffusion.network_input(xt)
        if x.dtype == torch.float64:  # of a solver that needs its digits; the network keeps its own
            x = x.to(next(self.network.parameters(), x).dtype)
        log_snr = schedule.log_snr(t).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT).to(x)
        with torch.autocast(xt.device.type, self.precision, enabled=self.precision != torch.float32):
            inputs = (x, t.to(x.device), log_snr)
            F, v = self.network(*inputs, None if label is None else label.to(x.device)) if self.classes else self.network(*inputs)
        return self.diffusion.x0_posterior_from_network(xt, t, F.to(xt.dtype), self.share(v.to(xt.dtype)))

    def given(self, label: int | Tensor | None, guidance: float = 0.0) -> ReverseModel:
        """Return the model of p(x⁽ᵗ⁻¹⁾|x⁽ᵗ⁾, y) for the class y, with the same weights; None gives the unconditional model.

        ``label``: 0..classes−1, for all data or int64 ``[n]`` for each; ``classes`` itself stands for "no label". With ``guidance`` w the
        posterior mean of x⁽⁰⁾ is (1+w) times that given y minus w times that without y, which for Gaussian diffusion is the same
        combination of predicted noise (Ho & Salimans 2021, "Classifier-free diffusion guidance", Eq. 6); for bits it is that of log odds.
        Instead of a label, positive weights of several classes, float ``[classes]``, average the predictions given each of them. Raises
        ValueError for a label out of range or a model without classes.
        """
        given = None if label is None else torch.as_tensor(label)
        if given is not None:
            self._check(given)
        other = copy.copy(self)  # an nn.Module whose weights are shared
        other.label, other.guidance = given, float(guidance)
        return other

    def _check(self, label: Tensor) -> None:
        if not self.classes:
            raise ValueError("This model was trained without labels; choose a class-conditional model.")
        if label.is_floating_point() and label.shape == (self.classes,) and bool((label >= 0).all()) and bool(label.sum() > 0):
            return
        if label.is_floating_point() or not bool(((label >= 0) & (label <= self.classes)).all()):
            raise ValueError(f"The label must be a whole number from 0 to {self.classes - 1}, as the model has {self.classes} classes.")

    def with_diffusion(self, diffusion: Chain) -> ReverseModel:
        """Return the model with the same network under another diffusion with as many steps; it is asked at the new log-SNRs."""
        other = copy.copy(self)
        other.diffusion = diffusion
        return other

    def reverse(self, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """Return p(x⁽ˢ⁾|x⁽ᵗ⁾), which factorises over the elements of xt; by default s = t−1."""
        if self.samples_first_step:
            p = super().reverse(xt, t, s)  # at t = 1 without noise
            return p if not isinstance(t, int) or t > 1 else Normal(p.mean, torch.zeros_like(p.mean), validate_args=False)
        if isinstance(t, int):
            return self.diffusion.q_step(xt, 1) if t == 1 else super().reverse(xt, t, s)
        p, edge = super().reverse(xt, t, s), self.diffusion.q_step(xt, t)
        return where(expand(t == 1, xt).bool(), edge, p)


def build_model(network: NetworkConfig, diffusion: Chain, shape: tuple[int, ...] = (2,), seed: int = 0) -> ReverseModel:
    """Return an untrained model for data of the given shape; the same seed gives the same weights.

    Raises ValueError for an unknown network, an unknown parameter, an unsupported shape, or the network of another kind of model.
    """
    if network.name in NETWORKS and not NETWORKS[network.name].kernel:
        other = "a classifier" if NETWORKS[network.name].classifier else "an autoencoder"
        raise ValueError(f"The network {network.name!r} is {other} and no reverse kernel; choose another network.")
    net = build_network(network, diffusion.T, shape, seed)
    return ReverseModel(net, diffusion, network.variance, network.classes)


def build_network(network: NetworkConfig, T: int, shape: tuple[int, ...], seed: int = 0) -> nn.Module:
    """Return the untrained network of a config; the same seed gives the same weights. Raises ValueError as :func:`build_model`."""
    if network.name not in NETWORKS:
        raise ValueError(f"Unknown network {network.name!r}; choose one of {', '.join(NETWORKS)}.")
    entry, labels = NETWORKS[network.name], {}
    if network.classes:
        if not entry.labelled:
            able = ", ".join(name for name, one in NETWORKS.items() if one.labelled)
            raise ValueError(f"The network {network.name!r} takes no labels; choose one of {able}.")
        labels = {"classes": network.classes}
    with _SEEDING, torch.random.fork_rng(devices=[]):  # restores the global generator
        torch.default_generator.manual_seed(seed)
        try:
            return entry(shape=shape, T=T, **labels, **dict(network.params))
        except TypeError as error:
            raise ValueError(f"Network {network.name!r} does not accept these parameters: {error}.") from None


def _free(v: Tensor) -> Tensor:
    """Var(x⁽⁰⁾|x⁽ᵗ⁾)/(1−ᾱ_t) as any positive number: linear for large v, exponential for small."""
    return functional.softplus(v) / math.log(2)


def _capped(v: Tensor, start: float) -> Tensor:
    """Var(x⁽⁰⁾|x⁽ᵗ⁾)/(1−ᾱ_t) between 0 and 1; ``start`` is what a network's v counts from."""
    return torch.sigmoid(v + start)
