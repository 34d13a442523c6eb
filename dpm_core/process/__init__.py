"""The forward process q(x⁽ᵗ⁾|x⁽ᵗ⁻¹⁾): a Markov chain from the data distribution to the prior π, in closed form."""

from dpm_core.process.binomial import BinomialDiffusion
from dpm_core.process.chain import LOG_SNR_LIMIT, Chain, Kernel, Step, draw, expand, from_noise, noise_like, randn_like, where
from dpm_core.process.gaussian import GaussianDiffusion, gaussian_entropy_nats
from dpm_core.process.make import make_diffusion

__all__ = ["LOG_SNR_LIMIT", "BinomialDiffusion", "Chain", "GaussianDiffusion", "Kernel", "Step", "draw", "expand", "from_noise"]
__all__ += ["gaussian_entropy_nats", "make_diffusion", "noise_like", "randn_like", "where"]
