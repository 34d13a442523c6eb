"""A network read as a reverse kernel."""

from __future__ import annotations

import threading

import torch
from torch import Tensor, nn

from dpm_core.config import NetworkConfig
from dpm_core.networks import NETWORKS
from dpm_core.process import Chain, Kernel, expand, where
from dpm_core.reverse.kernel import FromMoments
from dpm_core.schedules import Time

LOG_SNR_LIMIT = 15.0  # networks see log-SNR clamped here, so ᾱ_T = 0 (log-SNR −∞) stays finite
_SEEDING = threading.Lock()  # two threads that seed the global generator at once would get each other's weights


class ReverseModel(FromMoments, nn.Module):
    """A network read as a reverse kernel: N(f_μ(x⁽ᵗ⁾,t), f_Σ(x⁽ᵗ⁾,t)) with diagonal f_Σ, or of bits B(f_b(x⁽ᵗ⁾,t)).

    The network's contract: ``network(x, t, log_snr) -> (F, v)`` with x ``[n, ...]``; t LongTensor and
    log_snr float, both scalar or ``[n]``; F and v shaped as x. The diffusion reads them as a belief in x⁽⁰⁾
    (:meth:`GaussianDiffusion.belief`, :meth:`BinomialDiffusion.belief`). The step t = 1 is fixed to
    q(x⁽¹⁾|x⁽⁰⁾)π(x⁽⁰⁾)/π(x⁽¹⁾), which is q's own kernel at x⁽¹⁾, as q leaves π as it is (App. B.2).
    """

    def __init__(self, network: nn.Module, diffusion: Chain):
        super().__init__()
        self.network = network
        self.diffusion = diffusion
        self.precision = torch.float32  # what the network computes in; its outputs are used in x's own type

    def x0_moments(self, xt: Tensor, t: Time) -> tuple[Tensor, Tensor]:
        """Mean and diagonal variance of x⁽⁰⁾ given x⁽ᵗ⁾, both shaped as xt."""
        schedule = self.diffusion.schedule
        t = torch.as_tensor(t)
        x = self.diffusion.network_input(xt)
        log_snr = schedule.log_snr(t).clamp(-LOG_SNR_LIMIT, LOG_SNR_LIMIT).to(x)
        with torch.autocast(xt.device.type, self.precision, enabled=self.precision != torch.float32):
            F, v = self.network(x, t.to(x.device), log_snr)
        return self.diffusion.belief(xt, t, F.to(xt.dtype), v.to(xt.dtype))

    def reverse(self, xt: Tensor, t: Time, s: Time | None = None) -> Kernel:
        """p(x⁽ˢ⁾|x⁽ᵗ⁾), independent over the elements of xt; s = t−1 unless given."""
        if isinstance(t, int):
            return self.diffusion.q_step(xt, 1) if t == 1 else super().reverse(xt, t, s)
        p, edge = super().reverse(xt, t, s), self.diffusion.q_step(xt, t)
        return where(expand(t == 1, xt).bool(), edge, p)


def build_model(network: NetworkConfig, diffusion: Chain, shape: tuple[int, ...] = (2,), seed: int = 0) -> ReverseModel:
    """A fresh model for data of the given shape, the same for the same seed.

    Raises ValueError for an unknown network, a parameter it does not take, or a shape it is not for.
    """
    if network.name not in NETWORKS:
        raise ValueError(f"Unknown network {network.name!r}; choose one of {', '.join(NETWORKS)}.")
    with _SEEDING, torch.random.fork_rng(devices=[]):  # layers draw from the global generator: hand it back untouched
        torch.default_generator.manual_seed(seed)
        try:
            net = NETWORKS[network.name](shape=shape, T=diffusion.T, **dict(network.params))
        except TypeError as error:
            raise ValueError(f"Network {network.name!r} does not take these parameters: {error}.") from None
    return ReverseModel(net, diffusion)
