"""What the Relatives page computes of a trained pair. Nothing here imports Streamlit but the caches that it uses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from dpm_core import jobs
from dpm_core.data.kinds import DATA_KINDS, classes_of
from dpm_core.measure.bound import NATS_PER_BIT, Bound, BoundEstimate
from dpm_core.measure.memorisation import information_nats
from dpm_core.measure.model_density import exact_log_prob as exact_log_prob_of_chain
from dpm_core.measure.model_density import first_marginal
from dpm_core.relatives import VAE, Elbo, evaluate_elbo, exact_log_prob, gaussian_information_nats, importance_log_prob
from dpm_core.reverse import ReverseModel
from dpm_core.samplers import ancestral
from dpm_core.samplers.steps import walk
from dpm_core.training.snapshots import Evaluator
from pages.ui import cache
from pages.ui.relatives.question import Question
from pages.ui.relatives.training import Pair

SHOWN = {"points": 2000, "images": 16}  # samples and reconstructions
SCATTERED = 1000  # data in the latent space
MEASURED = {"points": 500, "images": 100}  # data whose log p(x) is computed
DRAWS = 100  # of the importance-weighted estimate
REVERSE_STEPS = 100  # of a chain of a thousand, for samples
COVARIANCE = 2000  # images whose covariance bounds the information


class Score(NamedTuple):
    """K and its standard error in bits per unit; network calls for a sample."""

    bound: float
    error: float
    calls: int


class LogProb(NamedTuple):
    """log₂ p(x) in bits per unit, its standard error, and how far K is below it on the same data."""

    bits: float
    error: float
    gap: float


@dataclass(frozen=True, eq=False)
class Findings:
    """Everything shown of a trained pair that does not depend on a time.

    ``x0``: held-out data ``[n, ...]`` and ``colour`` of each, a label or the distance from the centre, ``[n]``; ``samples`` by method.
    ``information``: I(X⁽⁰⁾;X⁽ᵗ⁾) in bits per datum, for t = 1..T; ``exact``: whether it is exact.
    """

    diffusion: ReverseModel
    vae: VAE
    scores: dict[str, Score]
    elbo: Elbo
    x0: Tensor
    colour: Tensor
    labels: tuple[str, ...]
    samples: dict[str, Tensor]
    information: list[float]
    exact: bool

    @property
    def rate(self) -> float:
        """KL(q(z|x) ‖ p(z)) of the VAE in bits per datum."""
        return float(self.elbo.divergence_nats.sum()) / NATS_PER_BIT

    def time_of_equal_rate(self) -> int:
        """The time t at which x⁽ᵗ⁾ carries about as many bits as the VAE's z."""
        return 1 + min(range(len(self.information)), key=lambda i: abs(self.information[i] - self.rate))


def find(question: Question, pair: Pair) -> Findings:
    """Measure and sample both models. Seconds for points, up to half a minute for images."""
    kind, source, seed = question.kind, question.source, question.vae.training.seed
    dataset = kind.dataset(source)
    diffusion_model, vae = pair.diffusion(), pair.vae()
    process, unit = cache.gaussian(diffusion_model), DATA_KINDS[kind.name].unit(dataset)
    x0, colour, labels = _coloured(question)
    held_out = kind.held_out(source)[:500]
    elbo = evaluate_elbo(vae, held_out, torch.Generator().manual_seed(seed), draws=10)
    bound = _bound(diffusion_model, held_out, seed)
    exact = kind.exact(source, question.diffusion.schedule)
    if exact is not None:
        information = information_nats(exact)
    else:
        information = gaussian_information_nats(dataset.sample(COVARIANCE, torch.Generator().manual_seed(seed + 5)), process)
    n = SHOWN[kind.name]
    scores = {
        "diffusion": Score(bound.bound_bits / unit.count, bound.standard_error_bits / unit.count, process.T),
        "vae": Score(elbo.bound_bits / unit.count, elbo.standard_error_bits / unit.count, 1),
    }
    noise = torch.Generator().manual_seed(seed + 1)
    steps = min(REVERSE_STEPS, process.T)
    with torch.inference_mode():
        *_, (_, drawn) = ancestral(diffusion_model, process, (n, *dataset.shape), steps=steps, generator=noise)
        z = torch.randn(n, vae.latent, generator=noise)
        decoded = vae.sample(z, torch.randn(n, *dataset.shape, generator=noise) if exact is not None else None)
    samples = {"data": kind.held_out(source)[:n], "diffusion": drawn, "vae": decoded}
    bits = (information / NATS_PER_BIT).tolist()
    return Findings(diffusion_model, vae, scores, elbo, x0, colour, labels, samples, bits, exact is not None)


@torch.inference_mode()
def reconstructions(found: Findings, question: Question, t: int) -> dict[str, Tensor]:
    """The data, the VAE's reconstruction, and one draw of the reverse process from their x⁽ᵗ⁾."""
    x0 = found.samples["data"]
    noise = torch.Generator().manual_seed(question.vae.training.seed + 2)
    process = cache.gaussian(found.diffusion)
    xt, count = process.q_sample(x0, t, noise), min(t, REVERSE_STEPS)
    times = sorted({round(t * i / count) for i in range(count + 1)}, reverse=True)
    *_, (_, back) = walk(found.diffusion, process, xt, times, generator=noise)
    return {"data": x0, "diffusion": back, "vae": found.vae.reconstruct(x0)}


@torch.inference_mode()
def latent_spaces(found: Findings, question: Question, t: int) -> dict[str, Tensor]:
    """Two dimensions of both latents of the data, ``[n, 2]``: x⁽ᵗ⁾, of images along two principal components; the means of q(z|x)."""
    noise = torch.Generator().manual_seed(question.vae.training.seed + 3)
    xt = cache.gaussian(found.diffusion).q_sample(found.x0, t, noise).flatten(1)
    if xt.shape[1] > 2:
        flat = found.x0.flatten(1)
        xt = (xt - flat.mean(0)) @ torch.linalg.svd(flat - flat.mean(0), full_matrices=False).Vh[:2].T
    mean = found.vae.posterior(found.x0).mean
    most = found.elbo.divergence_nats.argsort(descending=True)[:2]
    z = mean[:, most]
    return {"diffusion": xt, "vae": z if z.shape[1] == 2 else torch.cat([z, torch.zeros_like(z)], 1)}


def errors(shown: dict[str, Tensor]) -> dict[str, float]:
    """The root mean square error of each reconstruction, per element."""
    return {name: float((x - shown["data"]).square().mean().sqrt()) for name, x in shown.items() if name != "data"}


def _coloured(question: Question) -> tuple[Tensor, Tensor, tuple[str, ...]]:
    """Held-out data, a number for the colour of each, and the names of the classes where these are the numbers."""
    dataset = question.kind.dataset(question.source)
    generator, labels = torch.Generator().manual_seed(41), classes_of(dataset)
    if labels:
        x, y = dataset.labelled(SCATTERED, generator, held_out=True)
        return x, y.double(), labels
    x = dataset.sample_held_out(SCATTERED, generator)
    return x, x.flatten(1).double().square().mean(1).sqrt(), ()


def log_probs(found: Findings, question: Question) -> dict[str, LogProb]:
    """log₂ p(x) of the models of which it is known: in the plane of both, by quadrature, which takes a quarter of a minute.

    Of images, and of more than two latent dimensions, only the VAE's, as an importance-weighted estimate.
    """
    x0 = question.kind.held_out(question.source)[: MEASURED[question.kind.name]]
    seed = question.vae.training.seed
    nats = {"vae": _vae_log_prob(found.vae, x0, seed)}
    bounds = {"vae": evaluate_elbo(found.vae, x0, torch.Generator().manual_seed(seed), draws=10).bound_bits}
    if found.exact:
        bounds["diffusion"] = _bound(found.diffusion, x0, seed).bound_bits
        density = jobs.call(first_marginal, found.diffusion, cache.gaussian(found.diffusion))
        nats["diffusion"] = exact_log_prob_of_chain(found.diffusion, density, x0)
    count = DATA_KINDS[question.kind.name].unit(question.kind.dataset(question.source)).count
    found_bits = {name: v / (NATS_PER_BIT * count) for name, v in nats.items()}
    return {
        name: LogProb(float(v.mean()), float(v.std()) / math.sqrt(len(v)), float(v.mean()) - bounds[name] / count)
        for name, v in found_bits.items()
    }


def _bound(model: ReverseModel, x0: Tensor, seed: int) -> Bound | BoundEstimate:
    return Evaluator(cache.gaussian(model), x0, 1, 1, seed).bound(model)


def _vae_log_prob(vae: VAE, x0: Tensor, seed: int) -> Tensor:
    if vae.latent <= 2 and x0.ndim == 2:
        return exact_log_prob(vae, x0)
    return importance_log_prob(vae, x0, DRAWS, torch.Generator().manual_seed(seed))
