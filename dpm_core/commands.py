"""What the commands of ``python -m dpm_core`` do."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor, distributed

from dpm_core import checkpoint
from dpm_core.bound import NATS_PER_BIT, Bound, BoundEstimate, estimate_bound, evaluate_bound
from dpm_core.config import NetworkConfig, Params, RunConfig, ScheduleConfig, frozen
from dpm_core.data import sources
from dpm_core.data.images import ImageDataset, ImageSpec
from dpm_core.data.toy2d import PlaneDataset
from dpm_core.diffusion import GaussianDiffusion
from dpm_core.palette import GROUND, MODEL
from dpm_core.pictures import scatter_image, tile
from dpm_core.reverse import ReverseKernel
from dpm_core.samplers import SAMPLERS, timesteps
from dpm_core.schedules import make_schedule
from dpm_core.terminal import progress
from dpm_core.training import Trainer, TrainStep, build_model, compile_network, usual_precision

HELD_OUT = 4000  # fresh draws in the plane on which K is reported
IMAGE_DRAWS = 20_000  # pairs of a held-out image and a time


def train(args: argparse.Namespace, argv: list[str]) -> int:
    """Train on a data set and keep the averaged weights as a checkpoint.

    Under torchrun every process trains on its own batches; the first one writes the checkpoint.
    """
    checkpoint.check_name(args.name)
    if args.out is None and args.name in checkpoint.list_checkpoints([checkpoint.SHIPPED]):
        raise ValueError(f"{args.name!r} is the name of a shipped checkpoint; choose another, or a folder with --out.")
    if args.points < 2:
        raise ValueError("At least two training points are needed.")
    if args.seconds is not None and not args.seconds > 0:
        raise ValueError("The seconds must be positive.")
    first = _join_others(args)
    dataset, data_config = sources.make(args.data, args.noise, _pairs(args.data_param), progress=_downloading if first else None)
    _threads(args, isinstance(dataset, ImageDataset))
    config = _run_config(args, sources.usual_run(dataset, data_config))
    diffusion = GaussianDiffusion(make_schedule(config.schedule.name, config.schedule.T, **dict(config.schedule.params)))
    shape = dataset.shape if isinstance(dataset, ImageDataset) else (2,)
    model = build_model(config.network, diffusion, shape, seed=config.training.seed)
    if args.resume:
        weights = checkpoint.load(args.resume).model.state_dict()
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in model.state_dict().items()}:
            raise ValueError(f"{args.resume!r} has another network, T or image size; give the same --network, its parameters and T.")
        model.load_state_dict(weights)
    checkpoint.check_size(checkpoint.Checkpoint(args.name, model, config, dataset), args.half)
    model = model.to(args.device)
    if args.compile:
        compile_network(model)
    trainer = Trainer(model, _training_data(dataset, args), config.training)
    started = time.monotonic()
    steps = _steps(trainer, args.seconds)
    for _ in progress(steps, None if args.seconds else config.training.steps, "training") if first else steps:
        pass
    seconds, world = time.monotonic() - started, _world()
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()
    if not first:
        return 0
    average = trainer.average
    average.precision = torch.float32  # in which it will be loaded again
    bound = held_out_bound(average, dataset, config.training.seed, device=args.device)
    meta = {
        "steps": trainer.step_number,
        "seed": config.training.seed,
        "parameters": sum(p.numel() for p in average.network.parameters()),
        "bound_bits": round(bound.bound_bits, 4),
        "bound_standard_error_bits": round(bound.standard_error_bits, 4),
        "null_bits": round(bound.null_bits, 4),
        "command": ("python" if world == 1 else f"torchrun --nproc-per-node={world}") + " -m dpm_core " + shlex.join(_public(argv)),
    }
    if isinstance(dataset, PlaneDataset):
        best = held_out_bound(dataset.exact_reverse(diffusion), dataset, config.training.seed)
        meta["best_bound_bits"] = round(best.bound_bits, 4)
        summary = f"K = {_plus_minus(bound)} bits (best diagonal Gaussian chain {best.bound_bits:.3f})"
    else:
        meta["images_per_second"] = round(trainer.step_number * config.training.batch * world / seconds, 1)
        meta["trained_on"] = str(args.device) + (f" × {world}" if world > 1 else "")
        summary = f"K = {_plus_minus(bound, dataset.pixels_count)} bits per pixel"
    path = checkpoint.save(checkpoint.Checkpoint(args.name, average.cpu(), config, dataset, meta), args.out, half=args.half)
    print(summary)
    print(path)
    return 0


def sample(args: argparse.Namespace, argv: list[str]) -> int:
    """Draw samples and write them, in standardised units, as .npz (array "x"), .csv (points) or as a picture, .png."""
    if args.output.suffix not in (".npz", ".csv", ".png"):
        raise ValueError(f"The output must end in .npz, .csv or .png, not {args.output.suffix!r}.")
    if args.n < 1:
        raise ValueError("At least one sample must be drawn.")
    loaded = checkpoint.load(args.name)
    _threads(args, len(loaded.shape) > 1)
    if args.output.suffix == ".csv" and len(loaded.shape) > 1:
        raise ValueError("Images cannot be written as .csv; choose .npz or .png.")
    steps = len(timesteps(loaded.diffusion.T, args.steps)) - 1
    options = {"eta": args.eta} if args.sampler == "ddim" else {}
    generator = torch.Generator().manual_seed(args.seed)
    x_T = torch.randn(args.n, *loaded.shape, generator=generator).to(args.device)
    device_generator = torch.Generator(args.device).manual_seed(args.seed + 1)
    model = loaded.model.to(args.device)
    run = SAMPLERS[args.sampler](model, loaded.diffusion, x_T, steps=args.steps, generator=device_generator, **options)
    for step in progress(run, steps + 1, "sampling"):
        last = step
    x = last.x.cpu()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.suffix == ".npz":
        np.savez_compressed(args.output, x=x.numpy())
    elif args.output.suffix == ".csv":
        np.savetxt(args.output, x.numpy(), delimiter=",", header="x,y", comments="", fmt="%.6g")
    elif isinstance(loaded.dataset, ImageSpec):
        Image.fromarray(tile(loaded.dataset.pixels(x).permute(0, 2, 3, 1).numpy())).save(args.output)
    else:
        Image.fromarray(scatter_image(x.numpy(), 640, MODEL.light, background=GROUND.light)).save(args.output)
    print(args.output)
    return 0


def evaluate(args: argparse.Namespace, argv: list[str]) -> int:
    """Report the bound K of a checkpoint on data it was not trained on."""
    if args.n is not None and args.n < 2:
        raise ValueError("At least two data points are needed for a standard error.")
    loaded = checkpoint.load(args.name)
    _threads(args, len(loaded.shape) > 1)
    if args.data and args.data != loaded.config.data.name:
        raise ValueError(f"The checkpoint {args.name!r} was trained on {loaded.config.data.name!r}, not {args.data!r}.")
    dataset = sources.of_checkpoint(loaded.dataset, loaded.config.data)
    bound = held_out_bound(loaded.model.to(args.device), dataset, args.seed, args.n, args.device)
    kl = bound.kl_nats if isinstance(bound, Bound) else bound.kl_per_time_nats()
    entropies = {name: getattr(bound, name) / NATS_PER_BIT for name in ("h_start", "h_end", "h_prior")}
    limit = dataset.entropy() / NATS_PER_BIT if isinstance(dataset, PlaneDataset) else None
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
    pixels, unit = (dataset.pixels_count, "pixel") if isinstance(dataset, ImageSpec) else (1, "point")
    print(f"K                {bound.bound_bits / pixels:9.4f} ± {bound.standard_error_bits / pixels:.4f} bits per {unit}")
    print(f"K − L_null       {(bound.bound_bits - bound.null_bits) / pixels:9.4f} bits")
    if limit is not None:
        print(f"−h(q), the limit {-limit:9.4f} bits")
    print(f"Σ KL, t = 2..{loaded.diffusion.T:<4}{float(kl.sum()) / NATS_PER_BIT / pixels:9.4f} bits")
    return 0


def held_out_bound(
    model: ReverseKernel, dataset: PlaneDataset | ImageDataset, seed: int, n: int | None = None, device: str = "cpu"
) -> Bound | BoundEstimate:
    """K on n data that were not trained on: every time for each in the plane, one time for each of n draws of images."""
    fresh, noise = torch.Generator().manual_seed(seed + 1_000_003), torch.Generator(device).manual_seed(seed)
    if isinstance(dataset, ImageDataset):
        return estimate_bound(model, model.diffusion, dataset.sample_held_out(n or IMAGE_DRAWS, fresh).to(device), noise)
    return evaluate_bound(model, model.diffusion, dataset.sample(n or HELD_OUT, fresh).to(device), noise)


def _run_config(args: argparse.Namespace, usual: RunConfig) -> RunConfig:
    """What was asked for, and the usual for such data where nothing was."""

    def asked(name: str, otherwise: Any) -> Any:
        value = getattr(args, name)
        return otherwise if value is None else value

    schedule, network = usual.schedule, usual.network
    training = replace(usual.training, precision=usual_precision(args.device))
    name, params = asked("schedule", schedule.name), _pairs(args.schedule_param)
    if name == schedule.name and not params:
        params = schedule.params
    T = asked("T", schedule.T)
    if T > checkpoint.MAX_T:
        raise ValueError(f"T may be at most {checkpoint.MAX_T}.")
    net, net_params = asked("network", network.name), _pairs(args.network_param)
    if net == network.name and not net_params:
        net_params = network.params
    chosen = {
        field: asked(option, getattr(training, field))
        for field, option in {
            "loss": "loss", "steps": "steps", "batch": "batch", "learning_rate": "lr", "ema": "ema", "clip": "clip",
            "warmup": "warmup", "decay": "decay", "precision": "precision",
        }.items()
    }  # fmt: skip
    return RunConfig(
        usual.data, ScheduleConfig(name, T, params), NetworkConfig(net, net_params), replace(training, seed=args.seed, **chosen)
    )


def _training_data(dataset: PlaneDataset | ImageDataset, args: argparse.Namespace) -> Tensor | Callable[[int, torch.Generator], Tensor]:
    if isinstance(dataset, ImageDataset):
        return dataset.batches(args.device)
    return dataset.sample(args.points, torch.Generator().manual_seed(args.seed)).to(args.device)


def _steps(trainer: Trainer, seconds: float | None) -> Iterator[TrainStep]:
    started = time.monotonic()
    while trainer.step_number < trainer.config.steps:
        if seconds is not None and not _agreed(time.monotonic() - started < seconds, trainer.device):
            break
        yield trainer.step()


def _agreed(go_on: bool, device: torch.device) -> bool:
    """What the first process says: all must take the same number of steps, or some would wait for the others forever."""
    if _world() == 1:
        return go_on
    word = torch.tensor(int(go_on), device=device)
    distributed.broadcast(word, 0)
    return bool(word)


def _threads(args: argparse.Namespace, images: bool) -> None:
    """Points are too little work to share: a second thread mostly waits. Images take what there is."""
    if args.threads is not None and args.threads < 1:
        raise ValueError("At least one thread is needed.")
    if args.threads or not images:
        torch.set_num_threads(args.threads or 1)


def _world() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _join_others(args: argparse.Namespace) -> bool:
    """Join the processes that torchrun started, if it did; whether this is the one that speaks and writes."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return True
    on_gpu = args.device == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    return distributed.get_rank() == 0


def _downloading(file: str, done: int, total: int | None) -> None:
    print(f"\rdownloading {file} {done >> 20}/{'?' if total is None else total >> 20} MB", end="", file=sys.stderr, flush=True)


def _plus_minus(bound: Bound | BoundEstimate, pixels: int = 1) -> str:
    return f"{bound.bound_bits / pixels:.3f} ± {bound.standard_error_bits / pixels:.3f}"


def _pairs(texts: Iterable[str]) -> Params:
    pairs = []
    for text in texts:
        key, _, value = text.partition("=")
        if key in ("name", "T", "shape"):
            raise ValueError(f"{key} is no parameter of its own here; see --help.")
        try:
            pairs.append((key, frozen(json.loads(value))))
        except ValueError:
            if not value.isidentifier():
                raise ValueError(f"Parameters are written NAME=NUMBER or NAME=WORD, not {text!r}.") from None
            pairs.append((key, value))
    return tuple(sorted(pairs, key=lambda pair: pair[0]))


def _public(argv: list[str]) -> list[str]:
    """The arguments without the output folder, which says where and not what."""
    argv = [argument for argument in argv if not argument.startswith("--out=")]
    if "--out" in argv:
        i = argv.index("--out")
        return argv[:i] + argv[i + 2 :]
    return argv
