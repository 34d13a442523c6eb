"""What a job is made of: model, data and watcher from its config, and the checkpoint that it becomes."""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from dpm_core import checkpoint
from dpm_core.checkpoint import Checkpoint
from dpm_core.config import TrainConfig
from dpm_core.data.images import ImageSpec
from dpm_core.data.toy2d import PlaneDataset, make_dataset
from dpm_core.diffusion import GaussianDiffusion
from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.jobs.disk import RunFolder
from dpm_core.reverse import ReverseModel
from dpm_core.schedules import make_schedule
from dpm_core.snapshots import Watcher
from dpm_core.training import Draw, Trainer, build_model

POINTS = 8000  # training points drawn in the plane, as on the command line


class Measured(Protocol):
    """K as a snapshot or an estimate tells it, in bits per datum."""

    @property
    def bound_bits(self) -> float: ...

    @property
    def null_bits(self) -> float: ...


@dataclass(frozen=True)
class Parts:
    """What a job is made of. ``data`` is what the trainer draws from, ``dataset`` what it came from."""

    config: JobConfig
    trainer: Trainer
    watcher: Watcher
    data: Tensor | Draw
    dataset: Any


def make(config: JobConfig, dataset: Any, held_out: Tensor) -> Parts:
    """The parts for ``dataset``: images with ``.batches(device)``, points with ``.sample``, or a tensor ``[N, ...]``.

    Raises JobError, or ValueError of the network or schedule.
    """
    run, device = config.run, config.device
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise JobError(f"There is no {device} device on this machine; choose another.")
    if held_out.ndim < 2 or len(held_out) < 2 or not bool(held_out.isfinite().all()):
        raise JobError("The held-out data must be at least two, and finite.")
    if not 2 <= run.schedule.T <= checkpoint.MAX_T:
        raise JobError(f"T must lie between 2 and {checkpoint.MAX_T:,}.")
    shape, seed = tuple(held_out.shape[1:]), run.training.seed
    data, size = _training_data(dataset, device, seed)
    probe = data[:1] if isinstance(data, Tensor) else data(1, torch.Generator(device).manual_seed(seed))
    if tuple(probe.shape[1:]) != shape:
        raise JobError(f"The training data have the shape {tuple(probe.shape[1:])} and the held-out data {shape}.")
    if size is not None and run.training.batch > size:
        raise JobError(f"A batch of {run.training.batch:,} is larger than the data set of {size:,}; choose a smaller one.")
    diffusion = GaussianDiffusion(make_schedule(run.schedule.name, run.schedule.T, **dict(run.schedule.params)))
    model = build_model(run.network, diffusion, shape, seed).to(device)
    watcher = Watcher(diffusion, held_out.detach().cpu().float(), config.watch, config.sample_steps, seed)
    return Parts(config, Trainer(model, data, run.training), watcher, data, dataset)


def begin_with(trainer: Trainer, source: Path | Checkpoint) -> None:
    """Copy the weights of a checkpoint, or the averaged ones of a run's folder, into model and average.

    Raises CheckpointError, or JobError when they do not fit.
    """
    if not isinstance(source, Checkpoint) and Path(source).is_dir():
        state = RunFolder(Path(source)).read_state() or {}
        name, weights = Path(source).name, {k.removeprefix("average."): v for k, v in state.items() if k.startswith("average.")}
    else:
        found = source if isinstance(source, Checkpoint) else checkpoint.load(source)
        name, weights = found.name, found.model.state_dict()
    wanted = trainer.model.state_dict()
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in wanted.items()}:
        raise JobError(f"{name!r} has another network or another size of data; it cannot be trained on with this configuration.")
    for module in (trainer.model, trainer.average):
        module.load_state_dict(weights)


def as_checkpoint(
    parts: Parts, name: str, model: ReverseModel, step: int, seconds: float, bound: Measured, error_bits: float
) -> Checkpoint:
    """A trained model with all that is to be said of it. Raises DataError when a bare tensor's data set has no name."""
    run, dataset = parts.config.run, parts.dataset
    if not isinstance(dataset, PlaneDataset | ImageSpec):
        dataset = make_dataset(run.data.name, run.data.noise)
    meta = {
        "steps": step,
        "seed": run.training.seed,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "bound_bits": round(bound.bound_bits, 4),
        "bound_standard_error_bits": round(error_bits, 4),
        "null_bits": round(bound.null_bits, 4),
        "seconds": round(seconds, 1),
        "command": command(parts.config, name, step),
    }
    return Checkpoint(name, model, run, dataset, meta)


def command(config: JobConfig, name: str, step: int) -> str:
    """The command line that trains the same (of a cosine that was cut short, the whole; a rate changed by hand is not in it)."""
    run, default = config.run, TrainConfig()
    training = run.training
    own = {"own": "points.csv", "image": "picture.png"}  # only the person knows where it is
    words = ["train", "--data", own.get(run.data.name, run.data.name)]
    words += ["--noise", str(run.data.noise)] if run.data.noise is not None else []
    for kind, params in (("data", run.data.params), ("network", run.network.params), ("schedule", run.schedule.params)):
        for key, value in params:
            if value is not None:
                words += [f"--{kind}-param", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    words += ["--network", run.network.name, "--schedule", run.schedule.name, "-T", str(run.schedule.T)]
    words += ["--steps", str(training.steps if training.decay == "cosine" else max(step, 1)), "--batch", str(training.batch)]
    words += ["--lr", str(training.learning_rate), "--seed", str(training.seed), "--loss", training.loss, "--decay", training.decay]
    for option in ("ema", "clip", "warmup", "precision"):
        if getattr(training, option) != getattr(default, option):
            words += [f"--{option}", str(getattr(training, option))]
    return "python -m dpm_core " + shlex.join([*words, "--name", name])


def _training_data(dataset: Any, device: str, seed: int) -> tuple[Tensor | Draw, int | None]:
    """What a Trainer draws from, and how many data there are, where that is known."""
    if hasattr(dataset, "batches"):
        return dataset.batches(device), getattr(dataset, "size", None)
    if not isinstance(dataset, Tensor):
        dataset = dataset.sample(POINTS, torch.Generator().manual_seed(seed))
    if dataset.ndim < 2 or len(dataset) == 0:
        raise JobError("The training data must be a list of data.")
    return dataset.to(device, torch.float32), len(dataset)
