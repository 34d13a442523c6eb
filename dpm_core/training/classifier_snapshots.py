"""Snapshots of a classifier of noisy data during training."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from dpm_core.guidance import Classifier
from dpm_core.process import Chain
from dpm_core.training.losses import stratified_times
from dpm_core.training.snapshots import FRAMES, Snapshot

NATS_PER_BIT = math.log(2)


class LabelScore(NamedTuple):
    """The mean of log₂ p(y|x⁽ᵗ⁾) over data and times, its standard error, and the value of equal probabilities, in bits."""

    bound_bits: float
    standard_error_bits: float
    null_bits: float


class ClassifierEvaluator:
    """Takes snapshots of a classifier; in the place of K they hold the mean of log₂ p(y|x⁽ᵗ⁾) on the held-out data x0 ``[N, ...]``.

    Each datum is noised to one time, the same and with the same noise in every snapshot; the times cover 1..T evenly. The frames of a
    snapshot are the first n data at several times.
    """

    uses_all_times = True  # there is no estimate of K to compare in pairs

    def __init__(self, diffusion: Chain, x0: Tensor, y: Tensor, n: int, seed: int):
        generator = torch.Generator().manual_seed(seed)
        self.t = stratified_times(diffusion.T, len(x0), generator, first=1)
        self.y, self.xt = y, diffusion.q_sample(x0, self.t, generator)
        self.times = np.unique(np.linspace(0, diffusion.T, FRAMES).round().astype(int))[::-1].copy()
        few = x0[:n]
        self.frames = np.stack([few.numpy() if t == 0 else diffusion.q_sample(few, int(t), generator).numpy() for t in self.times])
        self.x_T = few

    @torch.no_grad()
    def bound(self, model: Classifier) -> LabelScore:
        """Return the mean of log₂ p(y|x⁽ᵗ⁾)."""
        device = next(model.parameters()).device
        log_probs = model.log_probs(self.xt.to(device), self.t.to(device)).cpu().double()
        score = log_probs.gather(1, self.y[:, None])[:, 0] / NATS_PER_BIT
        return LabelScore(float(score.mean()), float(score.std()) / math.sqrt(len(score)), -math.log2(model.classes))

    def take_snapshot(self, model: Classifier, step: int, seconds: float) -> Snapshot:
        """Return a snapshot of ``model``. The caller ensures that the weights do not change meanwhile."""
        weights = {k: v.detach().to("cpu", torch.float16, copy=True).contiguous() for k, v in model.network.state_dict().items()}
        return Snapshot(step, seconds, *self.bound(model), self.times, self.frames.astype(np.float16), weights)
