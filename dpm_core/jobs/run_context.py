"""What a job is made of: model, data and evaluator from its config, and the checkpoint that it becomes."""

from __future__ import annotations

import hashlib
import inspect
import json
import math
import shlex
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint, stored_data
from dpm_core.config import DataConfig, Params, to_dict
from dpm_core.data.bits import BitDataset
from dpm_core.data.images import ImageDataset
from dpm_core.data.toy2d import PlaneDataset, make_dataset
from dpm_core.jobs.config import JobConfig, JobError
from dpm_core.jobs.run_folder import RunFolder
from dpm_core.networks import NETWORKS
from dpm_core.process import make_diffusion
from dpm_core.reverse import ReverseModel, build_model
from dpm_core.schedules import SCHEDULES
from dpm_core.training import Draw, Trainer
from dpm_core.training.snapshots import Evaluator

POINTS = 8000  # training points drawn in the plane, as on the command line
OWN = ("own", "image", "textures", "patterns")  # data whose name and constants do not tell what they are


class Measured(Protocol):
    """K as a snapshot or an estimate tells it, in bits per datum."""

    @property
    def bound_bits(self) -> float: ...

    @property
    def null_bits(self) -> float: ...


@dataclass(frozen=True)
class RunContext:
    """What a job is made of. ``data`` is what the trainer draws from, ``dataset`` what it came from, by ``fingerprint`` known again.

    ``resume_from``: {"checkpoint": name} or {"run": name} whose weights it began with; ``created``: when the run was begun.
    """

    config: JobConfig
    trainer: Trainer
    evaluator: Evaluator
    data: Tensor | Draw
    dataset: Any
    fingerprint: dict[str, Any] | None
    resume_from: dict[str, str] | None = None
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))

    def header(self) -> dict[str, Any]:
        """What job.json says of the run that does not change."""
        return {"job": to_dict(self.config), "data": self.fingerprint, "resume_from": self.resume_from, "created": self.created}


def make(config: JobConfig, dataset: Any, held_out: Tensor) -> RunContext:
    """The context for ``dataset``: images with ``.batches(device)``, points with ``.sample``, or a tensor ``[N, ...]``.

    Raises JobError, or ValueError of the network or schedule or (CheckpointError) of a model too large to be kept.
    """
    run, device = config.run, config.device
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not there[device]:
        raise JobError(f"There is no {device} device on this machine; choose another.")
    if held_out.ndim < 2 or len(held_out) < 2 or not bool(held_out.isfinite().all()):
        raise JobError("The held-out data must be at least two, and finite.")
    if not 2 <= run.schedule.T <= checkpoints.MAX_T:
        raise JobError(f"T must lie between 2 and {checkpoints.MAX_T:,}.")
    shape, seed = tuple(held_out.shape[1:]), run.training.seed
    data, size = _training_data(dataset, device, seed)
    probe = data[:1] if isinstance(data, Tensor) else data(1, torch.Generator(device).manual_seed(seed))
    if tuple(probe.shape[1:]) != shape:
        raise JobError(f"The training data have the shape {tuple(probe.shape[1:])} and the held-out data {shape}.")
    if size is not None and run.training.batch > size:
        raise JobError(f"A batch of {run.training.batch:,} is larger than the data set of {size:,}; choose a smaller one.")
    diffusion = make_diffusion(run)
    model = build_model(run.network, diffusion, shape, seed)
    checkpoints.check_size(Checkpoint(config.name, model, run, dataset))
    model = model.to(device)
    evaluator = Evaluator(diffusion, held_out.detach().cpu().float(), config.watch, config.sample_steps, seed)
    return RunContext(config, Trainer(model, data, run.training), evaluator, data, dataset, data_fingerprint(run.data, dataset))


def data_fingerprint(config: DataConfig, dataset: Any) -> dict[str, Any] | None:
    """What tells data from other data of the same name, ready for JSON; None where nothing does.

    The constants, and where these do not determine the data (a person's own, a bare tensor) a digest of them.
    """
    known = isinstance(dataset, stored_data.Kept)
    if not known and not isinstance(dataset, Tensor):
        return None
    constants = {k: v for k, v in stored_data.constants(dataset).items() if k != "title"} if known else {}
    pools: list[Tensor] = []
    if isinstance(dataset, Tensor):
        pools = [dataset]
    elif isinstance(dataset, ImageDataset) and config.name in OWN:
        pools = [dataset.train, dataset.held_out]
    elif isinstance(dataset, PlaneDataset) and config.name in OWN:
        pools = [dataset.points, dataset.weights]
    elif isinstance(dataset, BitDataset) and config.name in OWN:
        pools = [dataset.patterns, dataset.weights]
    if pools:
        digest = hashlib.blake2b(digest_size=16)
        for pool in pools:
            digest.update(f"{tuple(pool.shape)} {pool.dtype}".encode())
            digest.update(pool.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
        constants["digest"] = digest.hexdigest()
    found: dict[str, Any] = json.loads(json.dumps(constants))
    return found


def again(made: RunContext, header: dict[str, Any]) -> RunContext:
    """The context of a run that its job.json tells of. Raises JobError when its data were others; an older run did not say."""
    before, now = header.get("data"), made.fingerprint
    if isinstance(before, dict) and now is not None and not _same(before, now):
        raise JobError(f"The run {made.config.name!r} was trained on other data than these; choose those it was begun with.")
    created, source = header.get("created"), header.get("resume_from")
    return replace(made, created=str(created or made.created), resume_from=source if isinstance(source, dict) else None)


def _same(a: Any, b: Any) -> bool:
    """Equal but for rounding, which can differ from one machine to another."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_same(a[k], b[k]) for k in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=1e-6, abs_tol=1e-9)
    return bool(a == b)


def ended(context: RunContext) -> RunContext:
    """What is still asked for of a run that is over, on the CPU: the average, and of its data what a checkpoint keeps."""
    before, dataset = context.trainer, context.dataset
    # Adam makes its moments in the first step, so this trainer is no more than its one model
    trainer = Trainer(before.average.cpu(), _nothing, replace(before.config, precision="float32"))
    trainer.average = trainer.model
    trainer.step_number, trainer.learning_rate = before.step_number, before.learning_rate
    pool = isinstance(dataset, BitDataset) and not dataset.listed
    if pool or (isinstance(dataset, ImageDataset) and context.config.run.data.name != "image"):
        dataset = dataset.spec
    elif not isinstance(dataset, stored_data.Kept):
        dataset = None
    return replace(context, trainer=trainer, data=_nothing, dataset=dataset)


def _nothing(n: int, generator: torch.Generator) -> Tensor:
    raise JobError("This run is over; resume it from its folder to go on.")


def begin_with(trainer: Trainer, source: Path | Checkpoint) -> dict[str, str]:
    """Copy the weights of a checkpoint, or the averaged ones of a run's folder, into model and average; which it was.

    Raises CheckpointError, or JobError when they do not fit.
    """
    if not isinstance(source, Checkpoint) and Path(source).is_dir():
        state = RunFolder(Path(source)).read_state() or {}
        kind, name = "run", Path(source).name
        weights = {k.removeprefix("average."): v for k, v in state.items() if k.startswith("average.")}
    else:
        found = source if isinstance(source, Checkpoint) else checkpoints.load(source)
        kind, name, weights = "checkpoint", found.name, found.model.state_dict()
    wanted = trainer.model.state_dict()
    if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in wanted.items()}:
        raise JobError(f"{name!r} has another network or another size of data; it cannot be trained on with this configuration.")
    for module in (trainer.model, trainer.average):
        module.load_state_dict(weights)
    return {kind: name}


def as_checkpoint(
    context: RunContext, name: str, model: ReverseModel, step: int, seconds: float, rates: list[float], bound: Measured, error_bits: float
) -> Checkpoint:
    """A trained model with all that is to be said of it. Raises DataError when a bare tensor's data set has no name."""
    run, dataset = context.config.run, context.dataset
    if not isinstance(dataset, stored_data.Kept):
        dataset = make_dataset(run.data.name, run.data.noise)
    meta = {
        "steps": step,
        "seed": run.training.seed,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        "bound_bits": round(bound.bound_bits, 4),
        "bound_standard_error_bits": round(error_bits, 4),
        "null_bits": round(bound.null_bits, 4),
        "seconds": round(seconds, 1),
        "command": command(context.config, name, step, context.resume_from),
    }
    if note := departures(context, step, rates):
        meta["note"] = note
    return Checkpoint(name, model, run, dataset, meta)


def departures(context: RunContext, step: int, rates: list[float]) -> str:
    """In what the command line does not make this very model, in a sentence; empty when it does. ``rates``: as they followed each other."""
    training, said = context.config.run.training, []
    if len(rates) > 1:
        said.append("the learning rate was changed by hand (" + " → ".join(f"{rate:g}" for rate in rates) + ")")
    if training.decay == "cosine" and step < training.steps:
        said.append(f"it was kept at step {step:,} of {training.steps:,}")
    if context.resume_from and "checkpoint" not in context.resume_from:
        said.append("it began with the weights of another run")
    return f"The command makes the same start, not this model: {', and '.join(said)}." if said else ""


def command(config: JobConfig, name: str, step: int, resume_from: dict[str, str] | None = None) -> str:
    """The command line that trains the same (of a cosine that was cut short, the whole; neither a rate changed by hand
    nor the weights of another run are in it)."""
    run = config.run
    training = run.training
    own = {"own": "points.csv", "image": "picture.png", "patterns": "patterns.csv"}  # only the person knows where it is
    words = ["train", "--data", own.get(run.data.name, run.data.name)]
    words += ["--noise", str(run.data.noise)] if run.data.noise is not None else []
    words += ["--rate", str(run.diffusion.rate)] if run.diffusion.kind == "binomial" else []
    network = explicit(NETWORKS[run.network.name], run.network.params)
    schedule = explicit(SCHEDULES[run.schedule.name], run.schedule.params)
    for kind, params in (("data", run.data.params), ("network", network), ("schedule", schedule)):
        for key, value in params:
            if value is not None:
                words += [f"--{kind}-param", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    words += ["--network", run.network.name, "--schedule", run.schedule.name, "-T", str(run.schedule.T)]
    words += ["--steps", str(training.steps if training.decay == "cosine" else max(step, 1)), "--batch", str(training.batch)]
    words += ["--lr", str(training.learning_rate), "--seed", str(training.seed), "--loss", training.loss, "--decay", training.decay]
    for option in ("ema", "clip", "warmup", "precision"):
        words += [f"--{option}", str(getattr(training, option))]
    words += ["--resume", resume_from["checkpoint"]] if resume_from and "checkpoint" in resume_from else []
    return "python -m dpm_core " + shlex.join([*words, "--name", name])


def explicit(make: Callable[..., Any], params: Params) -> Params:
    """All parameters of a network or schedule, those not given by their defaults: without any, the command line takes its own."""
    known = inspect.signature(make).parameters.values()
    defaults = {p.name: p.default for p in known if p.default is not p.empty and p.name not in ("shape", "T")}
    return tuple(sorted((defaults | dict(params)).items()))


def _training_data(dataset: Any, device: str, seed: int) -> tuple[Tensor | Draw, int | None]:
    """What a Trainer draws from, and how many data there are, where that is known."""
    if hasattr(dataset, "batches"):
        return dataset.batches(device), getattr(dataset, "size", None)
    if not isinstance(dataset, Tensor):
        dataset = dataset.sample(POINTS, torch.Generator().manual_seed(seed))
    if dataset.ndim < 2 or len(dataset) == 0:
        raise JobError("The training data must be a list of data.")
    return dataset.to(device, torch.float32), len(dataset)
