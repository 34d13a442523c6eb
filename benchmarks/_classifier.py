"""How good drawn images are: a small classifier of MNIST or CIFAR-10, trained here, and what it says of them.

The classifier learns from 50,000 of the training images; the other 10,000 tell its accuracy and, as images that
it has never seen but a diffusion model has, give the floor of the Fréchet distance.
"""

from __future__ import annotations

import math
import os
import tempfile
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from time import perf_counter

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.nn import functional

from dpm_core.data.images import ImageDataset

HELD_BACK = 10_000  # labelled training images that the classifier does not learn from
FEATURES, BATCH, RATE, SEED = 64, 128, 3e-3, 0
ROUND_OFF = 1e-8  # of a covariance's eigenvalues, relative to the largest
CACHE = Path(tempfile.gettempdir()) / f"dpm-benchmarks-{os.getuid() if hasattr(os, 'getuid') else 0}"


@dataclass(frozen=True)
class Recipe:
    """How a data set's classifier is built and trained.

    ``channels`` of its convolutions, each followed by pooling; ``mean`` of the pixels in [0, 1]; ``flips``: half of the training images
    are mirrored.
    """

    channels: tuple[int, ...]
    epochs: int
    mean: float
    flips: bool


RECIPES = {"mnist": Recipe((16, 32), 4, 0.13, flips=False), "cifar10": Recipe((32, 64, 128), 24, 0.47, flips=True)}


class Classifier(nn.Module):
    """Convolutions and two layers: grey levels uint8 ``[n, C, H, W]`` → logits ``[n, 10]`` and features ``[n, 64]``."""

    def __init__(self, shape: tuple[int, ...], recipe: Recipe) -> None:
        super().__init__()
        self.mean, layers = recipe.mean, []
        for before, after in pairwise((shape[0], *recipe.channels)):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.convolutions = nn.Sequential(*layers)
        pixels = (shape[1] >> len(recipe.channels)) * (shape[2] >> len(recipe.channels))
        self.features = nn.Linear(recipe.channels[-1] * pixels, FEATURES)
        self.classes = nn.Linear(FEATURES, 10)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        h = self.convolutions(images.float() / 255 - self.mean).flatten(1)
        features = functional.relu(self.features(h))
        return self.classes(features), features


@dataclass(frozen=True)
class Seen:
    """What the classifier says of some images: probabilities ``[n, 10]`` and features ``[n, 64]``, float64."""

    probabilities: Tensor
    features: Tensor

    @property
    def confidence(self) -> float:
        """Mean of the largest probability."""
        return float(self.probabilities.amax(1).mean())

    def confident(self, above: float = 0.9) -> float:
        """Share of images whose largest probability exceeds ``above``."""
        return float((self.probabilities.amax(1) > above).double().mean())

    def confident_error(self, above: float = 0.9) -> float:
        """Standard error of ``confident``: binomial."""
        share = self.confident(above)
        return math.sqrt(share * (1 - share) / len(self.probabilities))

    @property
    def class_entropy_bits(self) -> float:
        """Entropy of how often each class is the likeliest; log₂ 10 when all ten are equally frequent."""
        return entropy_bits(torch.bincount(self.probabilities.argmax(1), minlength=10))


class Judge:
    """The classifier, its accuracy, and the held-out images as it sees them."""

    def __init__(self, dataset: ImageDataset, quick: bool = False):
        """Trained or read from the temporary folder; ``quick`` trains for a few seconds unless there is one already.

        Raises ValueError when the labels of the training images are missing.
        """
        if dataset.labels is None:
            raise ValueError(f"The labels of {dataset.title}'s training images are missing; put their file beside that of the images.")
        self.seconds, recipe = 0.0, RECIPES[dataset.name]
        self.classifier, cache = Classifier(dataset.shape, recipe), CACHE / f"{dataset.name}-{recipe.epochs}.safetensors"
        if not self._read(cache):
            start = perf_counter()
            train(self.classifier, dataset.train[:-HELD_BACK], dataset.labels[:-HELD_BACK], recipe, 200 if quick else None)
            self.seconds = perf_counter() - start
            if not quick:
                CACHE.mkdir(mode=0o700, exist_ok=True)
                trial = cache.with_suffix(f".{os.getpid()}")
                save_file(self.classifier.state_dict(), trial)
                trial.replace(cache)
        self.fresh = self.look(dataset.train[-HELD_BACK:])  # in a diffusion model's training set, not in the classifier's
        self.held_out = self.look(dataset.held_out)
        self.accuracy = float((self.fresh.probabilities.argmax(1) == dataset.labels[-HELD_BACK:]).double().mean())

    @torch.inference_mode()
    def look(self, images: Tensor) -> Seen:
        """What the classifier says of uint8 images ``[n, C, H, W]``."""
        parts = [self.classifier(part) for part in images.split(500)]
        return Seen(*(torch.cat([part[i].double().softmax(1) if i == 0 else part[i].double() for part in parts]) for i in (0, 1)))

    def distance(self, seen: Seen) -> float:
        """Fréchet distance of the features to those of all held-out images."""
        return frechet(seen.features, self.held_out.features)

    def distance_error(self, seen: Seen) -> float:
        """Standard error of ``distance``, by a bootstrap over both sets of images."""
        return frechet_error(seen.features, self.held_out.features)

    def floor(self, n: int, draws: int = 10) -> list[float]:
        """The same distance for ``n`` training images in place of drawn ones, several times."""
        order = [torch.randperm(len(self.fresh.features), generator=torch.Generator().manual_seed(i))[:n] for i in range(draws)]
        return [frechet(self.fresh.features[rows], self.held_out.features) for rows in order]

    def _read(self, cache: Path) -> bool:
        try:
            self.classifier.load_state_dict(load_file(cache))
        except (OSError, SafetensorError, RuntimeError):
            return False
        return True


def train(classifier: Classifier, images: Tensor, labels: Tensor, recipe: Recipe, steps: int | None = None) -> None:
    """The recipe's epochs of Adam with a falling learning rate, or that many ``steps``, in place; the same every time."""
    generator = torch.Generator().manual_seed(SEED)
    for parameter in classifier.parameters():  # from our own generator, not the global one
        bound = 1 / math.sqrt(parameter[0].numel()) if parameter.ndim > 1 else 0.0
        nn.init.uniform_(parameter, -bound, bound, generator=generator)
    steps = recipe.epochs * (len(images) // BATCH) if steps is None else steps
    optimiser = torch.optim.Adam(classifier.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, total_steps=steps)
    rows = torch.empty(0, dtype=torch.long)
    for _ in range(steps):
        if len(rows) < BATCH:
            rows = torch.randperm(len(images), generator=generator)
        batch, rows = rows[:BATCH], rows[BATCH:]
        shown = images[batch]
        if recipe.flips:
            mirrored = torch.rand(len(batch), generator=generator) < 0.5
            shown = torch.where(mirrored[:, None, None, None], shown.flip(-1), shown)
        logits, _ = classifier(shown)
        optimiser.zero_grad()
        functional.cross_entropy(logits, labels[batch]).backward()
        optimiser.step()
        schedule.step()


def entropy_bits(counts: Tensor) -> float:
    """Entropy of a histogram of counts, in bits; empty classes add nothing."""
    p = counts.double() / counts.sum()
    return abs(float(torch.xlogy(p, p).sum())) / math.log(2)


def frechet(x: Tensor, y: Tensor) -> float:
    """Fréchet distance |μ₁−μ₂|² + tr(Σ₁ + Σ₂ − 2(Σ₁Σ₂)^½) of two clouds ``[n, d]``, ``[m, d]`` (Dowson & Landau 1982).

    The squared distance, as Heusel et al. 2017 report it. Σ₁Σ₂ has the eigenvalues of Σ₁^½ Σ₂ Σ₁^½, which is symmetric, so
    nothing complex or singular comes up however few points there are. Raises ValueError for clouds that have no
    covariance or are not finite.
    """
    if x.ndim != 2 or y.ndim != 2 or x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError("Two clouds of at least two points of the same dimension are needed.")
    x, y = x.double(), y.double()
    if not bool(x.isfinite().all() and y.isfinite().all()):
        raise ValueError("The clouds hold values that are not finite.")
    first, second = (covariance(c) for c in (x, y))
    values, vectors = torch.linalg.eigh(first)
    root = vectors * non_negative(values).sqrt() @ vectors.T
    inner = root @ second @ root
    crossed = non_negative(torch.linalg.eigvalsh((inner + inner.T) / 2)).sqrt().sum()
    return float((x.mean(0) - y.mean(0)).square().sum() + first.trace() + second.trace() - 2 * crossed)


def frechet_error(x: Tensor, y: Tensor, draws: int = 50, seed: int = 0) -> float:
    """Standard error of :func:`frechet`: its standard deviation over clouds resampled from the points of each, with replacement."""
    generator = torch.Generator().manual_seed(seed)
    rows = [[torch.randint(len(cloud), (len(cloud),), generator=generator) for cloud in (x, y)] for _ in range(draws)]
    return float(torch.tensor([frechet(x[a], y[b]) for a, b in rows]).std())


def covariance(x: Tensor) -> Tensor:
    """Σ ``[d, d]`` of a cloud ``[n, d]``, by n − 1."""
    centred = x - x.mean(0)
    return centred.T @ centred / (len(x) - 1)


def non_negative(values: Tensor) -> Tensor:
    """Eigenvalues with those that only rounding made negative set to 0. Raises ValueError when more than rounding did."""
    if float(values.min()) < -ROUND_OFF * max(float(values.max()), 1e-300):
        raise ValueError("The matrix is not positive semi-definite.")
    return values.clamp(min=0)
