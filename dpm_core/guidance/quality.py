"""How well a classifier reads noisy data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from dpm_core.guidance.classifier import NoisyClassifier

CHUNK = 1024  # data classified at once


class Quality(NamedTuple):
    """At each time: the share of data whose most probable class is right, and the mean of −log p(y|x⁽ᵗ⁾) in nats; ``[F]`` each."""

    accuracy: Tensor
    cross_entropy_nats: Tensor


@torch.no_grad()
def classifier_quality(
    classifier: NoisyClassifier, x0: Tensor, y: Tensor, times: Sequence[int], generator: torch.Generator | None = None
) -> Quality:
    """Classify the data x0 ``[n, ...]`` with labels y ``[n]``, noised to each of the times."""
    rows = []
    for t in times:
        parts = [classifier.log_probs(classifier.diffusion.q_sample(part, t, generator), t) for part in x0.split(CHUNK)]
        log_probs = torch.cat(parts)
        right = (log_probs.argmax(1) == y).double().mean()
        rows.append((right, -log_probs.gather(1, y[:, None]).double().mean()))
    accuracy, cross_entropy = (torch.stack(column).cpu() for column in zip(*rows))
    return Quality(accuracy, cross_entropy)
