"""What ``python -m dpm_core sample`` does."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch

from dpm_core import checkpoints
from dpm_core.checkpoints import Asked, Checkpoint
from dpm_core.cli.common import use_threads
from dpm_core.cli.terminal import progress
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.files import written_whole
from dpm_core.guidance import Classifier
from dpm_core.samplers import SAMPLERS, timesteps

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
    steps = len(timesteps(loaded.diffusion.T, args.steps)) - 1
    options: dict[str, Any] = {"eta": args.eta} if "eta" in SAMPLERS[args.sampler].options else {}
    generator = torch.Generator().manual_seed(args.seed)
    x_T = loaded.diffusion.start((args.n, *loaded.shape), generator).to(args.device)
    device_generator = torch.Generator(args.device).manual_seed(args.seed + 1)
    loaded.model.to(args.device)
    kernel, factor = _asked(loaded, args)
    if factor is not None:
        options["factor"] = factor
    run = SAMPLERS[args.sampler](kernel, loaded.diffusion, x_T, steps=args.steps, generator=device_generator, **options)
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
