"""The command line: ``python -m dpm_core {train,sample,evaluate}``."""

from __future__ import annotations

import argparse
import dataclasses
import json
import shlex
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch

from dpm_core import checkpoint
from dpm_core.bound import NATS_PER_BIT, evaluate_bound
from dpm_core.config import DataConfig, NetworkConfig, RunConfig, ScheduleConfig, TrainConfig, frozen
from dpm_core.data import toy2d, uploads
from dpm_core.diffusion import GaussianDiffusion
from dpm_core.networks import NETWORKS
from dpm_core.samplers import SAMPLERS, timesteps
from dpm_core.schedules import SCHEDULES, make_schedule
from dpm_core.training import TrainingError, build_model, train_steps

EXAMPLES = """examples:
  python -m dpm_core train --data swiss_roll --network mlp --schedule log_snr -T 40 --steps 4000 --seed 0 --name roll
  python -m dpm_core train --data points.csv --name mine
  python -m dpm_core sample roll -n 5000 --steps 20 --seed 1 -o out.npz
  python -m dpm_core evaluate roll --json
"""
HELD_OUT = 4000  # fresh draws on which K is reported
T_co = TypeVar("T_co")


def main(argv: list[str] | None = None) -> int:
    """Run one command; returns the exit code: 0, or 2 with one clear line for bad arguments."""
    args = _parser().parse_args(argv)
    torch.set_num_threads(1)  # work in the plane is too small to share: a second thread mostly waits
    try:
        if getattr(args, "device", None):
            args.device = _device(args.device)
        return args.run(args, argv if argv is not None else sys.argv[1:])
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {str(error).splitlines()[0]}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def train(args: argparse.Namespace, argv: list[str]) -> int:
    """Train on a data set in the plane and keep the averaged weights as a checkpoint."""
    checkpoint.check_name(args.name)
    if args.out is None and args.name in checkpoint.list_checkpoints([checkpoint.SHIPPED]):
        raise ValueError(f"{args.name!r} is the name of a shipped checkpoint; choose another, or a folder with --out.")
    if args.points < 2:
        raise ValueError("At least two training points are needed.")
    if args.T > checkpoint.MAX_T:
        raise ValueError(f"T may be at most {checkpoint.MAX_T}.")
    dataset = _dataset(args.data, args.noise)
    config = RunConfig(
        DataConfig(dataset.name, dataset.noise),
        ScheduleConfig(args.schedule, args.T, _pairs(args.schedule_param)),
        NetworkConfig(args.network, _pairs(args.network_param)),
        TrainConfig(args.loss, args.steps, args.batch, args.lr, args.ema, args.clip, args.seed),
    )
    diffusion = GaussianDiffusion(make_schedule(config.schedule.name, args.T, **dict(config.schedule.params)))
    model = build_model(config.network, diffusion, seed=args.seed).to(args.device)
    data = dataset.sample(args.points, torch.Generator().manual_seed(args.seed)).to(args.device)
    average = model
    for step in _progress(train_steps(model, data, config.training), args.steps, "training"):
        average = step.average
    average = average.cpu()
    bound = _evaluate(average, dataset, HELD_OUT, args.seed)
    best = _evaluate(dataset.exact_reverse(diffusion), dataset, HELD_OUT, args.seed)
    meta = {
        "steps": args.steps,
        "seed": args.seed,
        "parameters": sum(p.numel() for p in average.network.parameters()),
        "bound_bits": round(bound.bound_bits, 4),
        "bound_standard_error_bits": round(bound.standard_error_bits, 4),
        "best_bound_bits": round(best.bound_bits, 4),
        "null_bits": round(bound.null_bits, 4),
        "command": "python -m dpm_core " + shlex.join(_public(argv)),
    }
    path = checkpoint.save(checkpoint.Checkpoint(args.name, average, config, dataset, meta), args.out)
    print(f"K = {bound.bound_bits:.3f} ± {bound.standard_error_bits:.3f} bits (best diagonal Gaussian chain {best.bound_bits:.3f})")
    print(path)
    return 0


def sample(args: argparse.Namespace, argv: list[str]) -> int:
    """Draw samples and write them, in standardised units, as .npz (array "x"), .csv or .png."""
    if args.output.suffix not in (".npz", ".csv", ".png"):
        raise ValueError(f"The output must end in .npz, .csv or .png, not {args.output.suffix!r}.")
    if args.n < 1:
        raise ValueError("At least one sample must be drawn.")
    loaded = checkpoint.load(args.name)
    steps = len(timesteps(loaded.diffusion.T, args.steps)) - 1
    options = {"eta": args.eta} if args.sampler == "ddim" else {}
    generator = torch.Generator().manual_seed(args.seed)
    x_T = torch.randn(args.n, 2, generator=generator).to(args.device)
    device_generator = torch.Generator(args.device).manual_seed(args.seed + 1)
    model = loaded.model.to(args.device)
    run = SAMPLERS[args.sampler](model, loaded.diffusion, x_T, steps=args.steps, generator=device_generator, **options)
    for step in _progress(run, steps + 1, "sampling"):
        last = step
    array = last.x.cpu().numpy()
    args.output.parent.mkdir(parents=True, exist_ok=True)
    if args.output.suffix == ".npz":
        np.savez_compressed(args.output, x=array)
    elif args.output.suffix == ".csv":
        np.savetxt(args.output, array, delimiter=",", header="x,y", comments="", fmt="%.6g")
    else:
        from PIL import Image

        from dpm_core.palette import GROUND, MODEL
        from dpm_core.pictures import scatter_image

        Image.fromarray(scatter_image(array, 640, MODEL.light, background=GROUND.light)).save(args.output)
    print(args.output)
    return 0


def evaluate(args: argparse.Namespace, argv: list[str]) -> int:
    """Report the bound K and its parts on fresh draws of the checkpoint's data."""
    if args.n < 2:
        raise ValueError("At least two data points are needed for a standard error.")
    loaded = checkpoint.load(args.name)
    if args.data and args.data != loaded.dataset.name:
        raise ValueError(f"The checkpoint {args.name!r} was trained on {loaded.dataset.name!r}, not {args.data!r}.")
    bound = _evaluate(loaded.model.to(args.device), loaded.dataset, args.n, args.seed, args.device)
    report = {
        "bound_bits": bound.bound_bits,
        "bound_standard_error_bits": bound.standard_error_bits,
        "null_bits": bound.null_bits,
        "h_start": bound.h_start / NATS_PER_BIT,
        "h_end": bound.h_end / NATS_PER_BIT,
        "h_prior": bound.h_prior / NATS_PER_BIT,
        "kl_bits": (bound.kl_nats / NATS_PER_BIT).tolist(),
        "data_entropy_bits": loaded.dataset.entropy() / NATS_PER_BIT,
    }
    if args.json:
        print(json.dumps(report, indent=2))
        return 0
    print(f"K                {bound.bound_bits:9.4f} ± {bound.standard_error_bits:.4f} bits per point")
    print(f"K − L_null       {bound.bound_bits - bound.null_bits:9.4f} bits")
    print(f"−h(q), the limit {-report['data_entropy_bits']:9.4f} bits")
    print(f"Σ KL, t = 2..{loaded.diffusion.T:<4}{float(bound.kl_nats.sum()) / NATS_PER_BIT:9.4f} bits")
    return 0


def _evaluate(model: Any, dataset: toy2d.PlaneDataset, n: int, seed: int, device: str = "cpu"):
    x0 = dataset.sample(n, torch.Generator().manual_seed(seed + 1_000_003)).to(device)
    return evaluate_bound(model, model.diffusion, x0, torch.Generator(device).manual_seed(seed))


def _dataset(name: str, noise: float | None) -> toy2d.PlaneDataset:
    path = Path(name)
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        if not path.is_file():
            raise ValueError(f"There is no file {name}.")
        if path.stat().st_size > uploads.MAX_BYTES:
            raise ValueError(f"{name} is larger than {uploads.MAX_BYTES >> 20} MB; keep at most {uploads.MAX_ROWS:,} rows.")
        points = uploads.read_csv(path.read_bytes())
        return toy2d.from_points(points, title=path.stem[:40], noise=toy2d.OWN_NOISE if noise is None else noise)
    return toy2d.make_dataset(name, noise)


def _device(name: str) -> str:
    """The device asked for, or the best there is; ValueError when the one asked for is not there."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there[name]:
        raise ValueError(f"There is no {name} device on this machine; use --device auto.")
    return name


def _pairs(texts: list[str]) -> tuple[tuple[str, Any], ...]:
    pairs = []
    for text in texts:
        key, _, value = text.partition("=")
        if key in ("name", "T", "dims"):
            raise ValueError(f"{key} is no parameter of its own here; see --help.")
        try:
            pairs.append((key, frozen(json.loads(value))))
        except ValueError:
            raise ValueError(f"Parameters are written NAME=NUMBER, not {text!r}.") from None
    return tuple(sorted(pairs))


def _public(argv: list[str]) -> list[str]:
    """The arguments without the output folder, which says where and not what."""
    argv = [argument for argument in argv if not argument.startswith("--out=")]
    if "--out" in argv:
        i = argv.index("--out")
        return argv[:i] + argv[i + 2 :]
    return argv


def _progress(items: Iterable[T_co], total: int, label: str) -> Iterator[T_co]:
    """Pass items on; draw a bar on standard error once a second has gone by."""
    started = shown = time.monotonic()
    drawn = False
    for done, item in enumerate(items, 1):
        now = time.monotonic()
        if now - started > 1 and (now - shown > 0.2 or done == total):
            left = (now - started) / done * (total - done)
            bar = "█" * (30 * done // total)
            print(f"\r{label} {bar:<30} {done}/{total}  {left:4.0f} s left", end="", file=sys.stderr, flush=True)
            shown, drawn = now, True
        yield item
    if drawn:
        print(file=sys.stderr)


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, without the usage that would bury it."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"error: {message} ({self.prog} --help shows examples)\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="python -m dpm_core",
        description="Train, sample and evaluate diffusion probabilistic models.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="{train,sample,evaluate}")

    def command(run, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            run.__name__, help=summary, description=run.__doc__, epilog=EXAMPLES, formatter_class=parser.formatter_class
        )
        sub.set_defaults(run=run)
        sub.add_argument("--device", choices=["auto", "cpu", "cuda", "mps"], default="auto", help="default: auto")
        sub.add_argument("--seed", type=int, default=0)
        return sub

    default = {f.name: f.default for f in dataclasses.fields(TrainConfig)}
    p = command(train, "train a model and keep it as a checkpoint")
    p.add_argument("--data", default="swiss_roll", help=f"{', '.join(toy2d.SHAPES)}, or a CSV file of two columns")
    p.add_argument("--noise", type=float, help="standard deviation of the data's noise, in standardised units")
    p.add_argument("--points", type=int, default=8000, help="training points drawn (default 8000)")
    p.add_argument("--network", choices=list(NETWORKS), default="mlp")
    p.add_argument("--network-param", action="append", default=[], metavar="NAME=NUMBER", help="for example width=64")
    p.add_argument("--schedule", choices=list(SCHEDULES), default="log_snr")
    p.add_argument("--schedule-param", action="append", default=[], metavar="NAME=NUMBER", help="for example beta_1=0.001")
    p.add_argument("-T", type=int, default=40, help="number of diffusion steps (default 40)")
    p.add_argument("--loss", choices=["bound", "simple"], default=default["loss"], help="bound: −K; simple: the ε-loss")
    p.add_argument("--steps", type=int, default=default["steps"], help="optimiser steps")
    p.add_argument("--batch", type=int, default=default["batch"])
    p.add_argument("--lr", type=float, default=default["learning_rate"], help="learning rate at the start")
    p.add_argument("--ema", type=float, default=default["ema"], help="decay of the weights' moving average")
    p.add_argument("--clip", type=float, default=default["clip"], help="largest gradient norm")
    p.add_argument("--name", required=True, help="name of the checkpoint")
    p.add_argument("--out", type=Path, help="folder to write to (default: your own checkpoints)")

    p = command(sample, "draw samples from a checkpoint")
    p.add_argument("name")
    p.add_argument("-n", type=int, default=64, help="number of samples")
    p.add_argument("--sampler", choices=list(SAMPLERS), default="ancestral")
    p.add_argument("--steps", type=int, help="number of steps, at most T (default T)")
    p.add_argument("--eta", type=float, default=0.0, help="DDIM's noise: 0 deterministic, 1 ancestral")
    p.add_argument("-o", "--output", type=Path, default=Path("samples.npz"))

    p = command(evaluate, "report the bound K of a checkpoint and its parts")
    p.add_argument("name")
    p.add_argument("-n", type=int, default=HELD_OUT, help="number of fresh data points")
    p.add_argument("--data", help="fail unless the checkpoint was trained on this data set")
    p.add_argument("--json", action="store_true", help="all numbers, in bits, as JSON")
    return parser


if __name__ == "__main__":
    sys.exit(main())
