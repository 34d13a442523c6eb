"""Measuring a trained model on held-out data, and writing its checkpoint."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from dpm_core import checkpoints
from dpm_core.cli.common import held_out_bound, plus_minus
from dpm_core.config import RunConfig
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.guidance import Classifier, classifier_quality
from dpm_core.measure.bound import NATS_PER_BIT
from dpm_core.relatives import VAE, evaluate_elbo
from dpm_core.reverse import ReverseModel
from dpm_core.training.trainer import Model

HELD_OUT = 10_000  # data that a classifier is measured on, at most
READ_AT = (1, 0.25, 0.5, 0.75)  # t = 1, and shares of T, at which a classifier is measured


class Trained(NamedTuple):
    """The result of training: the model with the averaged weights, the number of steps taken and the seconds that they took."""

    average: Model
    steps: int
    seconds: float


def save_trained(
    args: argparse.Namespace,
    argv: list[str],
    dataset: Any,
    config: RunConfig,
    trained: Trained,
    processes: int = 1,
    earlier: Sequence[dict[str, Any]] = (),
) -> Path:
    """Measure a trained model on held-out data, write its checkpoint to ``args.out`` and print both; return the path.

    A reverse kernel is measured by K, a VAE by its own bound, a classifier by the share of data that it reads correctly.

    ``argv`` are the arguments of the command that the checkpoint records, which ran as ``processes`` processes; ``earlier`` are the
    commands and steps of the runs that trained the weights it started with, the oldest first.
    """
    kind, average = DATA_KINDS[dataset.kind], trained.average.to(args.device)
    average.precision = torch.float32  # the precision in which it will be loaded
    launcher = "python" if processes == 1 else f"torchrun --nproc-per-node={processes}"
    meta = {
        "steps": trained.steps,
        "seed": config.training.seed,
        "parameters": sum(p.numel() for p in average.network.parameters()),
        "command": f"{launcher} -m dpm_core {shlex.join(_public(argv))}",
    }
    if earlier:
        meta["earlier_runs"] = list(earlier)
    if isinstance(average, Classifier):
        numbers, summary = _reading(average, dataset, config.training.seed, args.device)
    elif isinstance(average, VAE):
        numbers, summary = _elbo(average, dataset, config.training.seed, args.device)
    else:
        numbers, summary = _bound(average, dataset, config, args.device)
    meta |= numbers
    if kind.exact_reverse(dataset, average.diffusion) is None:
        meta["images_per_second"] = round(trained.steps * config.training.batch * processes / trained.seconds, 1)
        meta["trained_on"] = str(args.device) + (f" × {processes}" if processes > 1 else "")
    path = checkpoints.save(checkpoints.Checkpoint(args.name, average.cpu(), config, dataset, meta), args.out, half=args.half)
    print(summary)
    print(path)
    return path


def _bound(model: ReverseModel, dataset: Any, config: RunConfig, device: str) -> tuple[dict[str, Any], str]:
    """K of a model for the header of its checkpoint, and in words."""
    kind, seed = DATA_KINDS[dataset.kind], config.training.seed
    bound = held_out_bound(model, dataset, seed, device=device)
    numbers = {
        "bound_bits": round(bound.bound_bits, 4),
        "bound_standard_error_bits": round(bound.standard_error_bits, 4),
        "null_bits": round(bound.null_bits, 4),
    }
    if (exact := kind.exact_reverse(dataset, model.diffusion)) is None:
        unit = kind.unit(dataset)
        return numbers, f"K = {plus_minus(bound, unit.count)} bits per {unit.name}"
    best = held_out_bound(exact, dataset, seed)
    numbers["best_bound_bits"] = round(best.bound_bits, 4)
    return numbers, f"K = {plus_minus(bound)} bits (best {kind.exact_chain} chain {best.bound_bits:.3f})"


def _elbo(model: VAE, dataset: Any, seed: int, device: str) -> tuple[dict[str, Any], str]:
    """The bound of a VAE for the header of its checkpoint, and in words."""
    kind = DATA_KINDS[dataset.kind]
    x0 = dataset.sample_held_out(kind.held_out(dataset).count, torch.Generator().manual_seed(seed + 1_000_003)).to(device)
    elbo = evaluate_elbo(model, x0, torch.Generator(device).manual_seed(seed))
    numbers = {
        "bound_bits": round(elbo.bound_bits, 4),
        "bound_standard_error_bits": round(elbo.standard_error_bits, 4),
        "null_bits": round(elbo.null_bits, 4),
        "active_latents": elbo.active,
    }
    unit = kind.unit(dataset)
    value, error = elbo.bound_bits / unit.count, elbo.standard_error_bits / unit.count
    return numbers, f"ELBO = {value:.3f} ± {error:.3f} bits per {unit.name}, {elbo.active} of {model.latent} latent dimensions active"


def _reading(model: Classifier, dataset: Any, seed: int, device: str) -> tuple[dict[str, Any], str]:
    """How well a classifier reads held-out data at several times, for the header of its checkpoint, and in words."""
    x0, y = (part.to(device) for part in dataset.labelled(HELD_OUT, torch.Generator().manual_seed(seed + 1_000_003), held_out=True))
    times = [share if isinstance(share, int) else round(share * model.diffusion.T) for share in READ_AT]
    quality = classifier_quality(model, x0, y, times, torch.Generator(device).manual_seed(seed))
    numbers = {
        "accuracy": {str(t): round(float(share), 4) for t, share in zip(times, quality.accuracy)},
        "cross_entropy_bits": {str(t): round(float(nats) / NATS_PER_BIT, 4) for t, nats in zip(times, quality.cross_entropy_nats)},
    }
    read = ", ".join(f"{100 * float(share):.1f} % at t = {t}" for t, share in zip(times, quality.accuracy))
    return numbers, f"read correctly: {read}"


def _public(argv: list[str]) -> list[str]:
    """The arguments without the output folder, which does not affect the model."""
    argv = [argument for argument in argv if not argument.startswith("--out=")]
    if "--out" in argv:
        i = argv.index("--out")
        return argv[:i] + argv[i + 2 :]
    return argv
