"""Snapshots of a model during training: samples from the same noise every time, and K on the same held-out data."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor

from dpm_core.measure.bound import Bound, BoundEstimate, estimate_bound, evaluate_bound
from dpm_core.process import Chain, GaussianDiffusion, Step
from dpm_core.reverse import ReverseKernel, ReverseModel
from dpm_core.samplers import ancestral, ddim, record, timesteps

MAX_SNAPSHOTS = 40  # of one run
FRAMES = 11  # of one sample trajectory
WEIGHT_BYTES = 64 << 20  # of the weights of all snapshots together; the oldest are discarded first
PLATEAU = 8  # the minimum number of snapshots without an increase of K
NEGLIGIBLE = 0.05  # of the standard error of K: a smaller increase does not matter in practice
IMAGES, POINTS, PAIRS = 256, 500, 2000  # held-out images; points evaluated at every time; (point, time) pairs
SEQUENCES = 50_000  # (bit sequence, time) pairs
LONG_CHAIN = 100  # for larger T, K is estimated at one time per datum


class Measured(Protocol):
    """K, its standard error and L_null in bits per datum."""

    @property
    def bound_bits(self) -> float: ...

    @property
    def standard_error_bits(self) -> float: ...

    @property
    def null_bits(self) -> float: ...


@dataclass(frozen=True, eq=False)
class Snapshot:
    """The state of training at one step. ``times`` int ``[F]``, decreasing from T to 0; K in bits per datum.

    ``packed`` are the samples' states x⁽ᵗ⁾ ``[F, n, ...]`` as stored: float16 for images, uint8 for bits. ``weights`` are those of the
    averaged network in float16, or None if they were discarded to limit memory.
    """

    step: int
    seconds: float  # of training time
    bound_bits: float
    bound_standard_error_bits: float
    null_bits: float
    times: np.ndarray
    packed: np.ndarray
    weights: dict[str, Tensor] | None = None
    estimate: BoundEstimate | None = None  # the (datum, time) pairs behind K, if K was estimated; not stored on disk

    @property
    def frames(self) -> np.ndarray:
        """The samples' states x⁽ᵗ⁾, float32 ``[F, n, ...]``, from the same noise in every snapshot of a run."""
        return self.packed.astype(np.float32, copy=False)

    def to_bytes(self, estimate: bool = False) -> bytes:
        """Serialise as one safetensors file, on request with the estimate behind K."""
        tensors = {"times": torch.from_numpy(self.times), "frames": torch.from_numpy(self.packed)}
        tensors |= {f"weights.{k}": v for k, v in (self.weights or {}).items()}
        names = ("step", "seconds", "bound_bits", "bound_standard_error_bits", "null_bits")
        metadata = {"numbers": json.dumps({name: getattr(self, name) for name in names})}
        if estimate and self.estimate is not None:
            fields = {name: value for name, value in vars(self.estimate).items() if value is not None}
            tensors |= {f"estimate.{name}": value.contiguous() for name, value in fields.items() if isinstance(value, Tensor)}
            metadata["estimate"] = json.dumps({name: value for name, value in fields.items() if not isinstance(value, Tensor)})
        return save(tensors, metadata)

    @classmethod
    def from_tensors(cls, tensors: dict[str, Tensor], metadata: dict[str, str]) -> Snapshot:
        """Deserialise the contents of a file. Raises KeyError, TypeError or ValueError if they are not a snapshot."""
        weights = {k.removeprefix("weights."): v for k, v in tensors.items() if k.startswith("weights.")}
        times, packed = tensors["times"].numpy(), tensors["frames"].numpy()
        if len(times) != len(packed):
            raise ValueError(f"{len(times)} times for {len(packed)} frames")
        parts: dict[str, Any] = {k.removeprefix("estimate."): v for k, v in tensors.items() if k.startswith("estimate.")}
        estimate = BoundEstimate(**(json.loads(metadata["estimate"]) | parts)) if "estimate" in metadata else None
        return cls(**json.loads(metadata["numbers"]), times=times, packed=packed, weights=weights or None, estimate=estimate)

    @classmethod
    def from_bytes(cls, data: bytes) -> Snapshot:
        """Deserialise what ``to_bytes`` has made."""
        header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
        return cls.from_tensors(load(data), header["__metadata__"])


class SnapshotTaker(Protocol):
    """What takes the snapshots of a run."""

    x_T: Tensor  # of the samples, [n, ...]

    @property
    def uses_all_times(self) -> bool:
        """Whether K is measured at every time, so that there is no estimate behind it."""
        ...

    def bound(self, model: Any) -> Measured:
        """Return K on the held-out data, with the same noise every time."""
        ...

    def take_snapshot(self, model: Any, step: int, seconds: float) -> Snapshot:
        """Return a snapshot of ``model``. The caller ensures that the weights do not change meanwhile."""
        ...


class Evaluator:
    """Takes snapshots: samples from fixed noise and K with common random numbers, so that differences come from the weights alone.

    ``n`` samples with ``sample_steps`` steps (at most T). K is that of ``held_out`` ``[N, ...]``: for 500 points, at every time; for 256
    images, 50,000 (bit sequence, time) pairs, or (T > 100) 2,000 (point, time) pairs, at one time each. ``groups`` ``[N]`` numbers what
    is independent among the held-out data, as cuts of one picture are not; by default each datum is. A datum that is used at several
    times is one group, and the standard error counts it once. A class-conditional model draws sample i of class i mod K; its K, the
    bound, is that of the unconditional kernel.
    """

    def __init__(self, diffusion: Chain, held_out: Tensor, n: int, sample_steps: int, seed: int, groups: Tensor | None = None):
        self.diffusion, self.seed = diffusion, seed
        self.steps = min(sample_steps, diffusion.T)
        self.images = held_out.ndim > 2
        self.uses_all_times = not self.images and diffusion.T <= LONG_CHAIN
        wanted = POINTS if self.uses_all_times else IMAGES if self.images else SEQUENCES if diffusion.binary else PAIRS
        rows = torch.arange(min(wanted, len(held_out)) if self.uses_all_times else wanted) % len(held_out)
        self.held_out, self.groups = held_out[rows], rows if groups is None else groups.cpu()[rows]
        self.x_T = diffusion.start((n, *held_out.shape[1:]), torch.Generator().manual_seed(seed))

    def bound(self, model: ReverseModel) -> Bound | BoundEstimate:
        """Return K on the held-out data, with the same noise every time."""
        device = next(model.parameters()).device
        x0, noise = self.held_out.to(device), torch.Generator(device).manual_seed(self.seed)
        if self.uses_all_times:
            return evaluate_bound(model, self.diffusion, x0, noise)
        return estimate_bound(model, self.diffusion, x0, noise, groups=self.groups)

    def take_snapshot(self, model: ReverseModel, step: int, seconds: float) -> Snapshot:
        """Return a snapshot of ``model``. The caller ensures that the weights do not change meanwhile."""
        bound = self.bound(model)
        x_T = self.x_T.to(next(model.parameters()).device)
        sampled = model.given(torch.arange(len(x_T)) % model.classes) if model.classes else model
        run = sample_from_fixed_noise(sampled, self.diffusion, x_T, self.steps, self.seed)
        times, x = record(run, len(timesteps(self.diffusion.T, self.steps)), FRAMES)
        weights = {k: v.detach().to("cpu", torch.float16, copy=True).contiguous() for k, v in model.network.state_dict().items()}
        dtype = np.uint8 if self.diffusion.binary else np.float16 if self.images else np.float32
        estimate = bound if isinstance(bound, BoundEstimate) else None
        numbers = (bound.bound_bits, bound.standard_error_bits, bound.null_bits)
        return Snapshot(step, seconds, *numbers, times, x.astype(dtype, copy=False), weights, estimate)


def sample_from_fixed_noise(model: ReverseKernel, diffusion: Chain, x_T: Tensor, steps: int, seed: int) -> Iterator[Step]:
    """Sample so that results differ only where the models do: by DDIM, which is deterministic.

    For bits no deterministic sampler exists; ancestral sampling with fixed noise is used instead.
    """
    if isinstance(diffusion, GaussianDiffusion):
        return ddim(model, diffusion, x_T, steps=steps)
    noise = torch.Generator(x_T.device).manual_seed(seed + 1)
    return ancestral(model, diffusion, x_T, steps=steps, generator=noise)


def without_weights(snapshot: Snapshot) -> Snapshot:
    """The snapshot without its weights."""
    return snapshot if snapshot.weights is None else replace(snapshot, weights=None)


def thin_snapshots(snapshots: Sequence[Snapshot]) -> list[Snapshot]:
    """Return at most 40 of the snapshots, including the first and the last, with gaps that grow as √step.

    Early training changes the model most. While there are too many, the snapshot is removed whose neighbours are closest in √step;
    removing every second one repeatedly would leave none of the beginning. The weights of the oldest are discarded beyond WEIGHT_BYTES.
    """
    remaining = list(snapshots)
    while len(remaining) > MAX_SNAPSHOTS:
        root = np.sqrt([snapshot.step for snapshot in remaining])
        del remaining[1 + int(np.argmin(root[2:] - root[:-2]))]
    total = 0
    for i in reversed(range(len(remaining))):
        weights = remaining[i].weights
        if weights is None:
            continue
        total += sum(v.nbytes for v in weights.values())
        if total > WEIGHT_BYTES and i < len(remaining) - 1:
            remaining[i] = replace(remaining[i], weights=None)
    return remaining


def has_plateaued(bounds: Sequence[tuple[float, float]], estimates: dict[int, BoundEstimate] | None = None) -> bool:
    """Return whether the best K of the last 8 snapshots (or the last quarter) exceeds the best before by less than its standard error.

    ``bounds``: K and its standard error per snapshot. ``estimates``, by number of snapshot: they use the same data, times and noise, so
    the error of a difference of two K is that of the paired differences, which is much smaller; the other terms of K cancel. Estimates
    that no later call needs are removed from the dictionary.
    """
    n = max(PLATEAU, len(bounds) // 4)
    if len(bounds) <= n:
        return False
    first = len(bounds) - n
    before, last = (max(part, key=lambda i: bounds[i][0]) for part in (range(first), range(first, len(bounds))))
    error = bounds[before][1]
    if estimates is not None:
        a, b = estimates.get(before), estimates.get(last)
        paired = 0.0 if a is None or b is None else replace(a, kl_nats=a.kl_nats - b.kl_nats, ends=None).standard_error_bits
        error = max(paired, NEGLIGIBLE * error)
        for i in [i for i in estimates if i < first and i != before]:
            del estimates[i]
    return bounds[last][0] <= bounds[before][0] + error
