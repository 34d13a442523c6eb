"""What ``python -m dpm_core evaluate`` does."""

from __future__ import annotations

import argparse
import json
import math
import sys
from dataclasses import asdict
from typing import Any

import torch

from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint
from dpm_core.cli.common import held_out_bound, use_threads
from dpm_core.data import sources
from dpm_core.data.dataset import Dataset
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.measure.bound import NATS_PER_BIT, Bound
from dpm_core.measure.class_bound import class_bound


def evaluate(args: argparse.Namespace, argv: list[str]) -> int:
    """Report the lower bound K on the log-likelihood of a checkpoint, measured on data it was not trained on."""
    if args.n is not None and args.n < 2:
        raise ValueError(f"-n is {args.n}; at least two data points are needed for a standard error.")
    loaded = checkpoints.load(args.name)
    use_threads(args, len(loaded.shape) > 1)
    if args.data and args.data != loaded.config.data.name:
        raise ValueError(f"The checkpoint {args.name!r} was trained on {loaded.config.data.name!r}, not {args.data!r}.")
    dataset = sources.of_checkpoint(loaded.dataset, loaded.config.data)
    bound = held_out_bound(loaded.model.to(args.device), dataset, args.seed, args.n, args.device)
    kl = bound.kl_nats if isinstance(bound, Bound) else bound.kl_per_time_nats()
    kind = DATA_KINDS[dataset.kind]
    unit, entropy = kind.unit(dataset), kind.entropy(dataset)
    limit = None if entropy is None else entropy / NATS_PER_BIT
    report = {
        "bound_bits": bound.bound_bits,
        "bound_standard_error_bits": bound.standard_error_bits,
        "null_bits": bound.null_bits,
        **{name: getattr(bound, name) / NATS_PER_BIT for name in ("h_start", "h_end", "h_prior")},
        "kl_bits": (kl / NATS_PER_BIT).tolist(),
        "data_entropy_bits": limit,
    }
    if loaded.model.classes:
        report |= _given_classes(loaded, dataset, args)
    if unit.count > 1:
        report[f"{unit.name}s"] = unit.count
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    print(f"K                {bound.bound_bits / unit.count:9.4f} ± {bound.standard_error_bits / unit.count:.4f} bits per {unit.name}")
    print(f"K − L_null       {(bound.bound_bits - bound.null_bits) / unit.count:9.4f} bits")
    if limit is not None:
        print(f"−h(q), the limit {-limit / unit.count:9.4f} bits")
    if report.get("given_y_bits") is not None:
        given, information, error = (report[name] for name in ("given_y_bits", "information_bits", "information_standard_error_bits"))
        print(f"K given y        {given / unit.count:9.4f} bits per {unit.name}")
        print(f"I(x; y)          {information:9.4f} ± {error:.4f} bits (K given y − K on the same data)")
    print(f"Σ KL, t = 2..{loaded.diffusion.T:<4}{float(kl.sum()) / NATS_PER_BIT / unit.count:9.4f} bits")
    return 0


def _given_classes(loaded: Checkpoint, dataset: Dataset, args: argparse.Namespace) -> dict[str, Any]:
    """K given the class, and the information that it shares with the data, of a class-conditional model."""
    usual = DATA_KINDS[dataset.kind].held_out(dataset)
    fresh = torch.Generator().manual_seed(args.seed + 1_000_003)
    try:
        x0, y = (part.to(args.device) for part in dataset.labelled(args.n or usual.count, fresh, held_out=True))
        given, classes = loaded.model.given, loaded.model.classes
        found = class_bound(given, loaded.model, loaded.diffusion, x0, y, classes, args.seed, every_time=usual.every_time)
    except ValueError as error:  # without labels, or with too few data of every class
        print(f"K given the class is not measured: {error}", file=sys.stderr)
        return {"given_y_bits": None, "information_bits": None}
    by_class = [None if math.isnan(bits) else bits for bits in found.per_class_bits]
    return {**asdict(found), "per_class_bits": by_class}
