"""What ``python -m dpm_core sample`` does."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.checkpoints import Asked, Checkpoint
from dpm_core.cli.common import use_threads
from dpm_core.cli.terminal import progress
from dpm_core.continuous import fine_grid, integrate, time_grid
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.files import written_whole
from dpm_core.guidance import Classifier
from dpm_core.process import GaussianDiffusion, Step
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import SAMPLERS, timesteps

DEFAULT_SOLVER_STEPS = 64
FORMATS = (".npz", ".csv", ".png")


def sample(args: argparse.Namespace, argv: list[str]) -> int:
    """Draw samples and write them as .npz (array "x" in standardised units, bits as 0 and 1), .csv (points, sequences of bits) or .png."""
    if args.output.suffix not in FORMATS:
        raise ValueError(f"The output must end in .npz, .csv or .png, not {args.output.suffix!r}.")
    if args.n < 1:
        raise ValueError(f"-n is {args.n}; at least one sample must be drawn.")
    loaded = checkpoints.load(args.name)
    use_threads(args, len(loaded.shape) > 1)
    kind = DATA_KINDS[loaded.dataset.kind]
    formats = kind.formats(loaded.dataset)
    if args.output.suffix not in formats:
        raise ValueError(f"{kind.title} of this shape cannot be written as {args.output.suffix}; choose {' or '.join(formats)}.")
    steps = len(timesteps(loaded.diffusion.T, args.steps)) - 1 if args.solver is None else _solver_steps(loaded, args)
    options: dict[str, Any] = {"eta": args.eta} if "eta" in SAMPLERS[args.sampler].options else {}
    generator = torch.Generator().manual_seed(args.seed)
    x_T = loaded.diffusion.start((args.n, *loaded.shape), generator).to(args.device)
    device_generator = torch.Generator(args.device).manual_seed(args.seed + 1)
    loaded.model.to(args.device)
    kernel, factor = _asked(loaded, args)
    if factor is not None:
        options["factor"] = factor
    if args.solver is None:
        run = SAMPLERS[args.sampler](kernel, loaded.diffusion, x_T, steps=args.steps, generator=device_generator, **options)
    else:
        run = _solved(kernel, loaded, x_T, args, device_generator)
    for step in progress(run, steps + 1, "sampling"):
        last = step
    x = last.x.cpu()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(args.output) as output:
        if output.suffix == ".npz":
            np.savez_compressed(output, x=x.numpy())
        else:
            write = {".csv": kind.write_csv, ".png": kind.write_png}[output.suffix]
            write(loaded.dataset, x, output)
    print(args.output)
    return 0


def _solver_steps(loaded: Checkpoint, args: argparse.Namespace) -> int:
    """The number of steps of a solver. Raises ValueError for bits, and with a classifier, whose factor the equations do not have."""
    if not isinstance(loaded.diffusion, GaussianDiffusion):
        raise ValueError("--solver is for models of points and images; sample bits with --sampler ancestral.")
    if args.label is not None and not loaded.model.classes:
        raise ValueError("--solver takes no classifier; choose a class-conditional model, or leave --solver out.")
    most = len(fine_grid(loaded.diffusion)) - 1
    return min(most, DEFAULT_SOLVER_STEPS) if args.steps is None else args.steps


@torch.inference_mode()
def _solved(kernel: ReverseKernel, loaded: Checkpoint, x: Tensor, args: argparse.Namespace, generator: torch.Generator) -> Iterator[Step]:
    """The reverse equation of noise level κ, and at its end the mean of x⁽⁰⁾ given x⁽¹⁾."""
    diffusion = cast(GaussianDiffusion, loaded.diffusion)  # as _solver_steps has checked
    times = time_grid(diffusion, _solver_steps(loaded, args))
    for t, state in integrate(kernel, diffusion, x, times, args.solver, noise_level=args.noise_level, generator=generator):
        yield Step(t, state if t > 1 else kernel.x0_posterior(state, 1)[0])


def _asked(loaded: Checkpoint, args: argparse.Namespace) -> Asked:
    """What to sample from: the model, or the model asked for the class of ``--label``."""
    if args.label is None:
        if args.guidance is not None:
            raise ValueError("--guidance needs a class; add --label.")
        return Asked(loaded.model, None)
    asked = checkpoints.ask(loaded, checkpoints.label_of(args.label, loaded), args.guidance)
    if asked.factor is not None and isinstance(asked.factor.classifier, Classifier):
        asked.factor.classifier.to(args.device)
    return asked
