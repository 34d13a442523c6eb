"""The context of a job: model, data and evaluator, made from its config; and what identifies its data."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import torch
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint
from dpm_core.config import DataConfig, to_dict
from dpm_core.data.kinds import classes_of, kind_of_dataset
from dpm_core.guidance import Classifier, make_model
from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.jobs.order import InitialWeights, own_devices
from dpm_core.process import make_diffusion
from dpm_core.relatives import VAE
from dpm_core.training import Draw, LabelledDraw, Trainer, make_trainer
from dpm_core.training.classifier_snapshots import ClassifierEvaluator
from dpm_core.training.snapshots import Evaluator, SnapshotTaker
from dpm_core.training.trainer import Model
from dpm_core.training.vae_snapshots import VAEEvaluator

TRAINING_POINTS = 8000  # drawn in the plane, as on the command line


@dataclass(frozen=True)
class RunContext:
    """Everything a job works with. ``data``: what the trainer draws from; ``dataset``: where it came from; ``fingerprint``: identifies it.

    ``resume_from``: {"checkpoint": name} or {"run": name} whose weights the run started with; ``created``: when the run was started.
    """

    config: JobConfig
    trainer: Trainer
    evaluator: SnapshotTaker
    data: Tensor | Draw | LabelledDraw
    dataset: Any
    fingerprint: dict[str, Any] | None
    resume_from: dict[str, str] | None = None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def header(self) -> dict[str, Any]:
        """Return the constant part of job.json."""
        return {"job": to_dict(self.config), "data": self.fingerprint, "resume_from": self.resume_from, "created": self.created}


def make_run_context(config: JobConfig, dataset: Any, held_out: Tensor, groups: Tensor | None = None) -> RunContext:
    """Return the context for ``dataset``: images with ``.batches(device)``, points with ``.sample``, or a tensor ``[N, ...]``.

    ``groups``: see Evaluator.

    Raises JobError, ValueError from the network or schedule, or CheckpointError for a model that is too large to be saved.
    """
    run, device = config.run, config.device
    if device not in own_devices():
        raise JobError(f"This machine has no {device} device; choose another one.")
    if held_out.ndim < 2 or len(held_out) < 2 or not bool(held_out.isfinite().all()):
        raise JobError("The held-out data must be at least two finite data.")
    if not 2 <= run.schedule.T <= checkpoints.MAX_T:
        raise JobError(f"T must lie between 2 and {checkpoints.MAX_T:,}, not {run.schedule.T:,}.")
    shape, seed = tuple(held_out.shape[1:]), run.training.seed
    data, size = _training_data(dataset, device, seed, labelled=run.network.classes > 0)
    probe: Any = data[:1] if isinstance(data, Tensor) else data(1, torch.Generator(device).manual_seed(seed))
    if run.network.classes:
        probe, _ = probe
        if len(classes_of(dataset)) != run.network.classes:
            raise JobError(f"The network is for {run.network.classes} classes, but {dataset.title} has {len(classes_of(dataset))}.")
    if tuple(probe.shape[1:]) != shape:
        raise JobError(f"The training data have the shape {tuple(probe.shape[1:])} and the held-out data {shape}.")
    if size is not None and run.training.batch > size:
        raise JobError(f"A batch of {run.training.batch:,} is larger than the data set of {size:,}; choose a smaller one.")
    diffusion = make_diffusion(run)
    model = make_model(run.network, diffusion, shape, seed)
    checkpoints.check_size(Checkpoint(config.name, model, run, dataset))
    model = model.to(device)
    evaluator = _snapshot_taker(model, config, dataset, held_out.detach().cpu().float(), groups)
    return RunContext(config, make_trainer(model, data, run.training), evaluator, data, dataset, data_fingerprint(run.data, dataset))


def _snapshot_taker(model: Model, config: JobConfig, dataset: Any, held_out: Tensor, groups: Tensor | None) -> SnapshotTaker:
    """What takes the snapshots of such a model."""
    n, seed = config.snapshot_samples, config.run.training.seed
    if isinstance(model, Classifier):
        x0, y = dataset.labelled(len(held_out), torch.Generator().manual_seed(seed), held_out=True)
        return ClassifierEvaluator(model.diffusion, x0, y, n, seed)
    if isinstance(model, VAE):
        return VAEEvaluator(model.diffusion, held_out, n, seed)
    return Evaluator(model.diffusion, held_out, n, config.sample_steps, seed, groups)


def data_fingerprint(config: DataConfig, dataset: Any) -> dict[str, Any] | None:
    """Return what distinguishes these data from others of the same name, ready for JSON; None if nothing does.

    These are the constants and, where they do not determine the data (the user's own data, a tensor), a digest.
    """
    kind = kind_of_dataset(dataset)
    if kind is None and not isinstance(dataset, Tensor):
        return None
    constants = {k: v for k, v in kind.constants(dataset).items() if k not in ("title", "classes")} if kind else {}
    pools = kind.content(config, dataset) if kind else [dataset]
    if pools:
        digest = hashlib.blake2b(digest_size=16)
        for pool in pools:
            digest.update(f"{tuple(pool.shape)} {pool.dtype}".encode())
            digest.update(pool.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        constants["digest"] = digest.hexdigest()
    found: dict[str, Any] = json.loads(json.dumps(constants))
    return found


def with_saved_header(context: RunContext, header: dict[str, Any]) -> RunContext:
    """Return the context with what job.json says of the run. Raises JobError if its data differ; older runs did not store a fingerprint."""
    before, now = header.get("data"), context.fingerprint
    if isinstance(before, dict) and now is not None and not _same(before, now):
        raise JobError(f"The run {context.config.name!r} was trained on different data; choose the data that it was started with.")
    created, source = header.get("created"), header.get("resume_from")
    return replace(context, created=str(created or context.created), resume_from=source if isinstance(source, dict) else None)


def _same(a: Any, b: Any) -> bool:
    """Whether two fingerprints are equal up to rounding, which may differ between machines."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return bool(a == b)


def release_memory(context: RunContext) -> RunContext:
    """Return what can still be asked of an ended run, on the CPU: the average, and the part of its data that a checkpoint stores."""
    before, dataset = context.trainer, context.dataset
    # Adam allocates its moments in the first step, so this trainer holds nothing but its model
    trainer = Trainer(before.average.cpu(), _no_data, replace(before.config, precision="float32"))
    trainer.average = trainer.model
    trainer.step_number, trainer.learning_rate = before.step_number, before.learning_rate
    kind = kind_of_dataset(dataset)
    dataset = kind.stored(context.config.run.data, dataset) if kind else None
    return replace(context, trainer=trainer, data=_no_data, dataset=dataset)


def _no_data(n: int, generator: torch.Generator) -> Tensor:
    raise JobError("This run has ended; resume it from its folder to continue.")


def use_initial_weights(trainer: Trainer, initial: InitialWeights) -> None:
    """Copy weights into model and average. Raises JobError when they do not fit."""
    wanted = trainer.model.state_dict()
    if {k: v.shape for k, v in initial.tensors.items()} != {k: v.shape for k, v in wanted.items()}:
        (name,) = initial.source.values()
        raise JobError(f"{name!r} has a different network or data shape; training cannot start from it with this configuration.")
    for module in (trainer.model, trainer.average):
        module.load_state_dict(initial.tensors)


def _training_data(dataset: Any, device: str, seed: int, labelled: bool) -> tuple[Tensor | Draw | LabelledDraw, int | None]:
    """What a Trainer draws from, with labels if asked, and the number of data, if it is finite."""
    if labelled:
        if (kind := kind_of_dataset(dataset)) is None:
            raise JobError("A class-conditional model needs data with labels; choose a data set that has classes.")
        return kind.labelled_training_data(dataset, device, seed, TRAINING_POINTS), getattr(dataset, "size", None)
    if hasattr(dataset, "batches"):
        return dataset.batches(device), getattr(dataset, "size", None)
    if not isinstance(dataset, Tensor):
        dataset = dataset.sample(TRAINING_POINTS, torch.Generator().manual_seed(seed))
    if dataset.ndim < 2 or len(dataset) == 0:
        raise JobError(f"The training data must have the shape [N, ...] with N ≥ 1, not {list(dataset.shape)}.")
    return dataset.to(device, torch.float32), len(dataset)
