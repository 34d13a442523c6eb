"""What the commands of ``python -m dpm_core`` do."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dpm_core import checkpoints
from dpm_core.cli.terminal import progress
from dpm_core.data import sources
from dpm_core.data.bits import BitDataset, BitSpec
from dpm_core.data.images import ImageDataset, ImageSpec
from dpm_core.data.toy2d import PlaneDataset
from dpm_core.figures.palette import GROUND, MODEL
from dpm_core.figures.rasters import scatter_image, tile
from dpm_core.measure.bound import NATS_PER_BIT, Bound, BoundEstimate, estimate_bound, evaluate_bound
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import SAMPLERS, timesteps

HELD_OUT = 4000  # fresh draws in the plane on which K is reported
SEQUENCES = 2000  # of bits
BIT_PIXELS = 8  # of a bit in a picture
IMAGE_DRAWS = 20_000  # pairs of a held-out image and a time


def sample(args: argparse.Namespace, argv: list[str]) -> int:
    """Draw samples and write them as .npz (array "x", in standardised units, bits as 0 and 1), as .csv (points, bits) or .png."""
    if args.output.suffix not in (".npz", ".csv", ".png"):
        raise ValueError(f"The output must end in .npz, .csv or .png, not {args.output.suffix!r}.")
    if args.n < 1:
        raise ValueError("At least one sample must be drawn.")
    loaded = checkpoints.load(args.name)
    use_threads(args, len(loaded.shape) > 1)
    if args.output.suffix == ".csv" and len(loaded.shape) > 1:
        raise ValueError("Images cannot be written as .csv; choose .npz or .png.")
    steps = len(timesteps(loaded.diffusion.T, args.steps)) - 1
    options = {"eta": args.eta} if args.sampler == "ddim" else {}
    generator = torch.Generator().manual_seed(args.seed)
    x_T = loaded.diffusion.start((args.n, *loaded.shape), generator).to(args.device)
    device_generator = torch.Generator(args.device).manual_seed(args.seed + 1)
    model = loaded.model.to(args.device)
    run = SAMPLERS[args.sampler](model, loaded.diffusion, x_T, steps=args.steps, generator=device_generator, **options)
    for step in progress(run, steps + 1, "sampling"):
        last = step
    x = last.x.cpu()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.suffix == ".npz":
        np.savez_compressed(args.output, x=x.numpy())
    elif isinstance(loaded.dataset, BitSpec):
        _write_bits(x, args.output)
    elif args.output.suffix == ".csv":
        np.savetxt(args.output, x.numpy(), delimiter=",", header="x,y", comments="", fmt="%.6g")
    elif isinstance(loaded.dataset, ImageSpec):
        Image.fromarray(tile(loaded.dataset.pixels(x).permute(0, 2, 3, 1).numpy())).save(args.output)
    else:
        Image.fromarray(scatter_image(x.numpy(), 640, MODEL.light, background=GROUND.light)).save(args.output)
    print(args.output)
    return 0


def _write_bits(x: Tensor, path: Path) -> None:
    """Rows of 0 and 1, or black and white squares: each sequence a row, lattices and digits side by side."""
    if path.suffix == ".csv":
        np.savetxt(path, x.numpy(), delimiter=",", fmt="%d")
        return
    large = (255 * x).to(torch.uint8).numpy().repeat(BIT_PIXELS, -1).repeat(BIT_PIXELS, -2)
    Image.fromarray(large if large.ndim == 2 else tile(np.repeat(large.transpose(0, 2, 3, 1), 3, 3))).save(path)


def evaluate(args: argparse.Namespace, argv: list[str]) -> int:
    """Report the bound K of a checkpoint on data it was not trained on."""
    if args.n is not None and args.n < 2:
        raise ValueError("At least two data points are needed for a standard error.")
    loaded = checkpoints.load(args.name)
    use_threads(args, len(loaded.shape) > 1)
    if args.data and args.data != loaded.config.data.name:
        raise ValueError(f"The checkpoint {args.name!r} was trained on {loaded.config.data.name!r}, not {args.data!r}.")
    dataset = sources.of_checkpoint(loaded.dataset, loaded.config.data)
    bound = held_out_bound(loaded.model.to(args.device), dataset, args.seed, args.n, args.device)
    kl = bound.kl_nats if isinstance(bound, Bound) else bound.kl_per_time_nats()
    entropies = {name: getattr(bound, name) / NATS_PER_BIT for name in ("h_start", "h_end", "h_prior")}
    known = isinstance(dataset, PlaneDataset) or (isinstance(dataset, BitDataset) and dataset.listed)
    limit = dataset.entropy() / NATS_PER_BIT if known else None  # type: ignore[union-attr]
    report = {
        "bound_bits": bound.bound_bits,
        "bound_standard_error_bits": bound.standard_error_bits,
        "null_bits": bound.null_bits,
        **entropies,
        "kl_bits": (kl / NATS_PER_BIT).tolist(),
        "data_entropy_bits": limit,
    }
    if isinstance(dataset, ImageSpec):
        report["pixels"] = dataset.pixels_count
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    pixels, unit = (
        (dataset.pixels_count, "pixel") if isinstance(dataset, ImageSpec) else (1, "datum" if isinstance(dataset, BitSpec) else "point")
    )
    print(f"K                {bound.bound_bits / pixels:9.4f} ± {bound.standard_error_bits / pixels:.4f} bits per {unit}")
    print(f"K − L_null       {(bound.bound_bits - bound.null_bits) / pixels:9.4f} bits")
    if limit is not None:
        print(f"−h(q), the limit {-limit:9.4f} bits")
    print(f"Σ KL, t = 2..{loaded.diffusion.T:<4}{float(kl.sum()) / NATS_PER_BIT / pixels:9.4f} bits")
    return 0


def held_out_bound(
    model: ReverseKernel, dataset: sources.Dataset, seed: int, n: int | None = None, device: str = "cpu"
) -> Bound | BoundEstimate:
    """K on n data that were not trained on: every time for each point or sequence, one time for each of n draws of images."""
    fresh, noise = torch.Generator().manual_seed(seed + 1_000_003), torch.Generator(device).manual_seed(seed)
    if isinstance(dataset, ImageDataset):
        return estimate_bound(model, model.diffusion, dataset.sample_held_out(n or IMAGE_DRAWS, fresh).to(device), noise)
    if isinstance(dataset, BitDataset):
        sequences = len(dataset.shape) == 1
        x0 = dataset.sample_held_out(n or (SEQUENCES if sequences else IMAGE_DRAWS), fresh).to(device)
        return (evaluate_bound if sequences else estimate_bound)(model, model.diffusion, x0, noise)
    return evaluate_bound(model, model.diffusion, dataset.sample(n or HELD_OUT, fresh).to(device), noise)


def use_threads(args: argparse.Namespace, images: bool) -> None:
    """Points are too little work to share: a second thread mostly waits. Images take what there is."""
    if args.threads is not None and args.threads < 1:
        raise ValueError("At least one thread is needed.")
    if args.threads or not images:
        torch.set_num_threads(args.threads or 1)


def plus_minus(bound: Bound | BoundEstimate, pixels: int = 1) -> str:
    """K and its standard error in bits, of a datum or of each of its pixels."""
    return f"{bound.bound_bits / pixels:.3f} ± {bound.standard_error_bits / pixels:.3f}"
