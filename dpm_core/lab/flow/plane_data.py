"""Data in the plane with the families of densities that are fitted to them: the examples of score matching."""

from __future__ import annotations

import torch
from torch import Tensor

from dpm_core.lab.flow.score_matching import Family, Gaussian, Mixture

COVARIANCE = ((1.0, 0.6), (0.6, 0.8))
MEANS = ((-1.2, -0.6), (1.1, -0.5), (0.0, 1.1))
SHARES, DEVIATION = (0.5, 0.3, 0.2), 0.5
BEND = 0.35  # of the second coordinate, by the square of the first


def case(name: str, n: int, seed: int = 0) -> tuple[Family, Tensor, Tensor]:
    """Return a family, the θ where its fits start, and data ``[n, 2]``, float64: "gaussian", "bent" or "mixture". Raises ValueError.

    Fits of the mixture start from the parameters of the data's own distribution, because their objectives have several minima.
    """
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(n, 2, generator=generator, dtype=torch.float64)
    if name == "mixture":
        means, shares = torch.tensor(MEANS, dtype=torch.float64), torch.tensor(SHARES, dtype=torch.float64)
        which = torch.multinomial(shares, n, replacement=True, generator=generator)
        family = Mixture(len(SHARES))
        return family, family.parameters(means, shares, DEVIATION), means[which] + DEVIATION * noise
    if name not in ("gaussian", "bent"):
        raise ValueError(f"The case is {name!r}; choose gaussian, bent or mixture.")
    x = noise @ torch.linalg.cholesky(torch.tensor(COVARIANCE, dtype=torch.float64)).T
    if name == "bent":
        x = torch.stack([x[:, 0], x[:, 1] - BEND * (x[:, 0].square() - 1)], 1)
    return Gaussian(), Gaussian.parameters(x.mean(0), torch.eye(2, dtype=torch.float64)), x
