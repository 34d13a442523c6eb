"""Snapshots of a model in training: samples from the same noise every time, and K on the same held-out data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from safetensors.torch import save
from torch import Tensor

from dpm_core.measure.bound import Bound, BoundEstimate, estimate_bound, evaluate_bound
from dpm_core.process import BinomialDiffusion, Chain, GaussianDiffusion, Step
from dpm_core.reverse import ReverseKernel, ReverseModel
from dpm_core.samplers import ancestral, ddim, record, timesteps

KEPT = 40  # snapshots of one run
FRAMES = 11  # of one sample trajectory
WEIGHT_BYTES = 64 << 20  # of all snapshots' weights together; the oldest go first
PLATEAU = 8  # snapshots without a rise of K, at least, that make a plateau
NEGLIGIBLE = 0.05  # of K's own error: a rise that is real but that nobody would wait for
IMAGES, POINTS, PAIRS = 256, 500, 2000  # held-out images; points that visit every time; pairs of a point and a time
SEQUENCES = 50_000  # pairs of a sequence of bits and a time
LONG = 100  # a longer chain is not visited whole


@dataclass(frozen=True, eq=False)
class Snapshot:
    """One instant of training. ``times`` int ``[F]``, falling from T to 0; K in bits per datum.

    ``packed`` are the samples' states x⁽ᵗ⁾ ``[F, n, ...]`` as stored, float16 of images, uint8 of bits; ``weights`` the averaged
    network's as float16, or None where they were let go to save memory.
    """

    step: int
    seconds: float  # of training
    bound_bits: float
    bound_standard_error_bits: float
    null_bits: float
    times: np.ndarray
    packed: np.ndarray
    weights: dict[str, Tensor] | None = None
    estimate: BoundEstimate | None = None  # K pair by pair, where it was estimated; in memory only

    @property
    def frames(self) -> np.ndarray:
        """The samples' states x⁽ᵗ⁾, float32 ``[F, n, ...]``, the same noise in every snapshot of a run."""
        return self.packed.astype(np.float32, copy=False)

    def to_bytes(self) -> bytes:
        """One safetensors file."""
        tensors = {"times": torch.from_numpy(self.times), "frames": torch.from_numpy(self.packed)}
        tensors |= {f"weights.{k}": v for k, v in (self.weights or {}).items()}
        names = ("step", "seconds", "bound_bits", "bound_standard_error_bits", "null_bits")
        return save(tensors, {"numbers": json.dumps({name: getattr(self, name) for name in names})})

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Snapshot:
        """Back from a file's contents. Raises KeyError, TypeError or ValueError when it is none."""
        weights = {k.removeprefix("weights."): v for k, v in tensors.items() if k.startswith("weights.")}
        times, packed = tensors["times"].numpy(), tensors["frames"].numpy()
        if len(times) != len(packed):
            raise ValueError
        return cls(**json.loads(metadata["numbers"]), times=times, packed=packed, weights=weights or None)


class Evaluator:
    """Takes snapshots: samples from one fixed noise, K with common random numbers, so that only the weights differ.

    ``n`` samples by ``sample_steps`` steps (at most T). K is that of ``held_out`` ``[N, ...]``: of every time for
    500 points, or of one time each for 256 images or, in the plane, 2,000 pairs when T > 100.
    """

    def __init__(self, diffusion: Chain, held_out: Tensor, n: int, sample_steps: int, seed: int):
        self.diffusion, self.seed = diffusion, seed
        self.steps = min(sample_steps, diffusion.T)
        self.images = held_out.ndim > 2
        self.whole = not self.images and diffusion.T <= LONG
        if self.whole:
            self.held_out = held_out[:POINTS]
        else:
            sequences = isinstance(diffusion, BinomialDiffusion) and not self.images
            wanted = IMAGES if self.images else SEQUENCES if sequences else PAIRS
            self.held_out = held_out[torch.arange(wanted) % len(held_out)]
        self.x_T = diffusion.start((n, *held_out.shape[1:]), torch.Generator().manual_seed(seed))

    def bound(self, model: ReverseModel) -> Bound | BoundEstimate:
        """K on the held-out data, the same noise every time."""
        device = next(model.parameters()).device
        estimate = evaluate_bound if self.whole else estimate_bound
        return estimate(model, self.diffusion, self.held_out.to(device), torch.Generator(device).manual_seed(self.seed))

    def take(self, model: ReverseModel, step: int, seconds: float) -> Snapshot:
        """A snapshot of ``model`` as it is; the caller sees to it that it does not change meanwhile."""
        bound = self.bound(model)
        x_T = self.x_T.to(next(model.parameters()).device)
        run = sample_from_fixed_noise(model, self.diffusion, x_T, self.steps, self.seed)
        times, x = record(run, len(timesteps(self.diffusion.T, self.steps)), FRAMES)
        weights = {k: v.detach().to("cpu", torch.float16, copy=True).contiguous() for k, v in model.network.state_dict().items()}
        bits = isinstance(self.diffusion, BinomialDiffusion)
        packed = x.astype(np.uint8 if bits else np.float16) if bits or self.images else x
        numbers, estimate = (bound.bound_bits, bound.standard_error_bits, bound.null_bits), None if isinstance(bound, Bound) else bound
        return Snapshot(step, seconds, *numbers, times, packed, weights, estimate)


def sample_from_fixed_noise(model: ReverseKernel, diffusion: Chain, x_T: Tensor, steps: int, seed: int) -> Iterator[Step]:
    """Samples that differ only where the models do: by DDIM, or of bits, which have no way back without noise, by the same noise."""
    if isinstance(diffusion, GaussianDiffusion):
        return ddim(model, diffusion, x_T, steps=steps)
    noise = torch.Generator(x_T.device).manual_seed(seed + 1)
    return ancestral(model, diffusion, x_T, steps=steps, generator=noise)


def thin_snapshots(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """At most 40, the first and the last among them. The gaps between them grow with √step: what is new shows early in training.

    When there are more, the one goes whose neighbours are closest to each other in √step; every second one of all
    would, done again and again, leave nothing of the beginning.
    """
    kept = list(snapshots)
    while len(kept) > KEPT:
        root = np.sqrt([snapshot.step for snapshot in kept])
        del kept[1 + int(np.argmin(root[2:] - root[:-2]))]
    total = 0
    for i in reversed(range(len(kept))):
        weights = kept[i].weights
        if weights is None:
            continue
        total += sum(v.nbytes for v in weights.values())
        if total > WEIGHT_BYTES and i < len(kept) - 1:
            kept[i] = replace(kept[i], weights=None)
    return kept


def has_plateaued(bounds: Sequence[tuple[float, float]], estimates: dict[int, BoundEstimate] | None = None) -> bool:
    """Whether K (each with its standard error) of the last 8 snapshots, or last quarter, exceeds the best before by less than its error.

    ``estimates``, by number of snapshot: all are of the same data, times and noise, so that the error of a difference is
    that of the differences pair by pair, which is far smaller. Those that no later call needs are removed from it.
    """
    n = max(PLATEAU, len(bounds) // 4)
    if len(bounds) <= n:
        return False
    first = len(bounds) - n
    before, last = (max(part, key=lambda i: bounds[i][0]) for part in (range(first), range(first, len(bounds))))
    error = bounds[before][1]
    if estimates is not None:
        a, b = estimates.get(before), estimates.get(last)
        paired = 0.0 if a is None or b is None else replace(a, kl_nats=a.kl_nats - b.kl_nats).standard_error_bits
        error = max(paired, NEGLIGIBLE * error)
        for i in [i for i in estimates if i < first and i != before]:
            del estimates[i]
    return bounds[last][0] <= bounds[before][0] + error
