"""What several commands share: the number of threads, K on held-out data and how it is printed."""

from __future__ import annotations

import argparse

import torch

from dpm_core.data.dataset import Dataset
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.measure.bound import Bound, BoundEstimate, estimate_bound, evaluate_bound
from dpm_core.reverse import ReverseKernel


def use_threads(args: argparse.Namespace, images: bool) -> None:
    """Set the number of processor threads to ``--threads``; unless given, one for points and all for images.

    Points are too little work for two threads, which would mostly wait for each other. Raises ValueError.
    """
    if args.threads is not None and args.threads < 1:
        raise ValueError(f"--threads is {args.threads}; at least one thread is needed.")
    if args.threads or not images:
        torch.set_num_threads(args.threads or 1)


def held_out_bound(model: ReverseKernel, dataset: Dataset, seed: int, n: int | None = None, device: str = "cpu") -> Bound | BoundEstimate:
    """K on n held-out data (the usual number of their kind unless given): at every t, or at one random t for each datum."""
    fresh, noise = torch.Generator().manual_seed(seed + 1_000_003), torch.Generator(device).manual_seed(seed)
    usual = DATA_KINDS[dataset.kind].held_out(dataset)
    count, kind = n or usual.count, DATA_KINDS[dataset.kind]
    x0 = dataset.sample_held_out(count, fresh).to(device)
    if usual.every_time:
        return evaluate_bound(model, model.diffusion, x0, noise)
    return estimate_bound(model, model.diffusion, x0, noise, groups=kind.held_out_groups(dataset, count, seed + 1_000_003))


def plus_minus(bound: Bound | BoundEstimate, divisor: int = 1) -> str:
    """K and its standard error in bits, divided by ``divisor``, such as the number of pixels."""
    return f"{bound.bound_bits / divisor:.3f} ± {bound.standard_error_bits / divisor:.3f}"
