"""Relatives of diffusion models, measured in the same units: the variational autoencoder."""

from dpm_core.relatives.likelihood import Elbo, evaluate_elbo, exact_log_prob, importance_log_prob
from dpm_core.relatives.matching import matched, parameters
from dpm_core.relatives.rate import gaussian_information_nats
from dpm_core.relatives.vae import VAE, ElboTerms

__all__ = [
    "VAE",
    "Elbo",
    "ElboTerms",
    "evaluate_elbo",
    "exact_log_prob",
    "gaussian_information_nats",
    "importance_log_prob",
    "matched",
    "parameters",
]
