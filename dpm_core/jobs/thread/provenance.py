"""Provenance of a trained model: the checkpoint of a job, and the command line that reproduces it."""

from __future__ import annotations

import inspect
import json
import shlex
from collections.abc import Callable
from dataclasses import replace
from typing import Any, Protocol

from dpm_core.checkpoints import Checkpoint
from dpm_core.config import Params
from dpm_core.data.kinds import DATA_KINDS, kind_of, kind_of_dataset
from dpm_core.jobs.config import JobConfig
from dpm_core.jobs.thread.run_context import RunContext
from dpm_core.networks import NETWORKS
from dpm_core.schedules import SCHEDULES
from dpm_core.training.trainer import Model


class Measured(Protocol):
    """K and L_null in bits per datum, as a snapshot or a bound has them."""

    @property
    def bound_bits(self) -> float: ...

    @property
    def null_bits(self) -> float: ...


def to_checkpoint(
    context: RunContext,
    name: str,
    model: Model,
    step: int,
    seconds: float,
    rates: list[float],
    bound: Measured,
    error_bits: float,
) -> Checkpoint:
    """Return a trained model as a checkpoint with its metadata. Raises DataError when the data set of a tensor has no name."""
    run, dataset = context.config.run, context.dataset
    if kind_of_dataset(dataset) is None:
        dataset, _ = kind_of(run.data.name).make(run.data.name, run.data.noise, run.data.params)
    measured = "label_log_prob_bits" if NETWORKS[run.network.name].classifier else "bound_bits"
    meta = {
        "steps": step,
        "seed": run.training.seed,
        "parameters": sum(p.numel() for p in model.network.parameters()),
        measured: round(bound.bound_bits, 4),
        f"{measured.removesuffix('_bits')}_standard_error_bits": round(error_bits, 4),
        "null_bits": round(bound.null_bits, 4),
        "seconds": round(seconds, 1),
        "command": command_line(context.config, name, step, context.resume_from),
    }
    if note := reproducibility_note(context, step, rates):
        meta["note"] = note
    return Checkpoint(name, model, run, dataset, meta)


def renamed(checkpoint: Checkpoint, name: str) -> Checkpoint:
    """Return a checkpoint of ``to_checkpoint`` under another name."""
    before = shlex.split(checkpoint.meta["command"])[3:-1]  # after "python -m dpm_core", up to the name
    return replace(checkpoint, name=name, meta=checkpoint.meta | {"command": "python -m dpm_core " + shlex.join([*before, name])})


def reproducibility_note(context: RunContext, step: int, rates: list[float]) -> str:
    """Return, in one sentence, why the command line does not reproduce this model exactly; empty if it does.

    ``rates``: the learning rates of the run in order.
    """
    training, differences = context.config.run.training, []
    if len(rates) > 1:
        differences.append("the learning rate was changed by hand (" + " → ".join(f"{rate:g}" for rate in rates) + ")")
    if training.decay == "cosine" and step < training.steps:
        differences.append(f"it was saved at step {step:,} of {training.steps:,}")
    if context.resume_from and "checkpoint" not in context.resume_from:
        differences.append("it started with the weights of another run")
    return f"The command does not reproduce this model exactly: {', and '.join(differences)}." if differences else ""


def command_line(config: JobConfig, name: str, step: int, resume_from: dict[str, str] | None = None) -> str:
    """Return the command line that trains the same model.

    It does not include learning rates changed by hand, the weights of another run, or a cosine decay that was cut short.
    """
    run = config.run
    training = run.training
    files = {name: file for kind in DATA_KINDS.values() for name, file in kind.own.items()}  # placeholders: only the user knows the path
    words = ["train", "--data", files.get(run.data.name, run.data.name)]
    words += ["--noise", str(run.data.noise)] if run.data.noise is not None else []
    words += ["--rate", str(run.diffusion.rate)] if run.diffusion.kind == "binomial" else []
    network = with_defaults(NETWORKS[run.network.name], run.network.params)
    schedule = with_defaults(SCHEDULES[run.schedule.name], run.schedule.params)
    for kind, params in (("data", run.data.params), ("network", network), ("schedule", schedule)):
        for key, value in params:
            if value is not None:
                words += [f"--{kind}-param", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    words += ["--variance", run.network.variance] if run.network.variance != "free" else []
    if run.network.classes and not NETWORKS[run.network.name].classifier:
        words += ["--labels", "--label-dropout", str(training.label_dropout)]
    words += ["--network", run.network.name, "--schedule", run.schedule.name, "-T", str(run.schedule.T)]
    words += ["--steps", str(training.steps if training.decay == "cosine" else max(step, 1)), "--batch", str(training.batch)]
    words += ["--lr", str(training.learning_rate), "--seed", str(training.seed), "--loss", training.loss, "--decay", training.decay]
    for option in ("ema", "clip", "warmup", "precision"):
        words += [f"--{option}", str(getattr(training, option))]
    words += ["--optimiser", training.optimiser] if training.optimiser != "adam" else []
    words += ["--annealing", str(training.annealing)] if training.loss == "elbo" else []
    words += ["--resume", resume_from["checkpoint"]] if resume_from and "checkpoint" in resume_from else []
    return "python -m dpm_core " + shlex.join([*words, "--name", name])


def with_defaults(make: Callable[..., Any], params: Params) -> Params:
    """Return all parameters of a network or schedule, with the defaults of those not given.

    The command line has different defaults when no parameters are given.
    """
    parameters = inspect.signature(make).parameters.values()
    defaults = {p.name: p.default for p in parameters if p.default is not p.empty and p.name not in ("shape", "T", "classes")}
    return tuple(sorted((defaults | dict(params)).items()))
