"""The command line: ``python -m dpm_core {train,sample,evaluate,inpaint,import,export,lab}``."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from pathlib import Path
from typing import NoReturn

import torch
from torch import distributed

from dpm_core.cli.evaluate import evaluate
from dpm_core.cli.exchange import export, import_
from dpm_core.cli.inpaint import PATCHES, inpaint
from dpm_core.cli.lab import add_topics, lab
from dpm_core.cli.sample import sample
from dpm_core.cli.terminal import Parser
from dpm_core.cli.train import train
from dpm_core.config import OPTIMISERS, SFO_LEAD, VARIANCES
from dpm_core.continuous import SOLVERS
from dpm_core.data.kinds import DATA_KINDS
from dpm_core.files import in_words
from dpm_core.inpainting.model_filling import RULES
from dpm_core.networks import NETWORKS
from dpm_core.samplers import SAMPLERS
from dpm_core.schedules import SCHEDULES
from dpm_core.training import TrainingError
from dpm_core.training.sum_of_functions_trainer import MINIBATCHES

EXAMPLES = """examples:
  python -m dpm_core train --data swiss_roll --network mlp --schedule log_snr -T 40 --steps 4000 --seed 0 --name roll
  python -m dpm_core train --data points.csv --name mine
  python -m dpm_core train --data mnist --seconds 600 --name digits
  python -m dpm_core train --data photo.jpg --data-param size=32 --name photo
  torchrun --nproc-per-node=2 -m dpm_core train --data cifar10 --name cifar
  python -m dpm_core sample roll -n 5000 --steps 20 --seed 1 -o out.npz
  python -m dpm_core evaluate roll --json
  python -m dpm_core inpaint photo.png mask.png -o filled.png -n 4
  python -m dpm_core lab couplings spins.csv -o J.csv
"""


def main(argv: list[str] | None = None) -> int:
    """Run one command. The exit code: 0, 2 for bad arguments, 1 for training or memory errors (each in one line), 130 when interrupted."""
    args = make_parser().parse_args(argv)
    try:
        args.device = _device(args.device)
        return args.run(args, argv if argv is not None else sys.argv[1:])
    except TrainingError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except (RuntimeError, MemoryError) as error:
        if type(error) is RuntimeError and "allocate memory" not in str(error):  # the message of the CPU allocator
            raise
        print("error: not enough memory on the device; use a smaller -n or --batch, or --device cpu.", file=sys.stderr)
        return 1
    except (ValueError, OSError) as error:
        print(f"error: {in_words(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 130


def _device(name: str) -> str:
    """The device ``name``, or the best available one for "auto". Raises ValueError when it is not available."""
    there = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if name == "auto":
        return next(device for device in ("cuda", "mps", "cpu") if there[device])
    if not there[name]:
        raise ValueError(f"There is no {name} device on this machine; use --device auto.")
    return name


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of all commands; ``run`` of what it parses is the function of the command."""
    parser = Parser(
        prog="python -m dpm_core",
        description="Train, sample and evaluate diffusion probabilistic models, and inpaint pictures with them.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(required=True, metavar="{train,sample,evaluate,inpaint,import,export,lab}")

    def command(run, summary: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            run.__name__.rstrip("_"), help=summary, description=inspect.getdoc(run), epilog=EXAMPLES, formatter_class=parser.formatter_class
        )
        sub.set_defaults(run=run)
        sub.add_argument(
            "--device",
            choices=["auto", "cpu", "cuda", "mps"],
            default="auto",
            help="device to compute on (default auto: the best available)",
        )
        sub.add_argument("--threads", type=int, help="number of processor threads (default: one for points, all for images)")
        sub.add_argument("--seed", type=int, default=0, help="seed of all random numbers (default 0)")
        return sub

    p = command(train, "train a model and save it as a checkpoint")
    p.add_argument("--data", default="swiss_roll", help=_data_help())
    p.add_argument("--noise", type=float, help="for points: standard deviation of their noise, in standardised units")
    p.add_argument("--points", type=int, default=8000, help="for points: number of training points (default 8000)")
    p.add_argument(
        "--data-param", action="append", default=[], metavar="NAME=VALUE", help="parameter of images or bits, for example size=32"
    )
    p.add_argument(
        "--network", choices=list(NETWORKS), help="network (default: mlp for points, unet for pictures, bit_mlp for sequences of bits)"
    )
    p.add_argument(
        "--network-param", action="append", default=[], metavar="NAME=VALUE", help="parameter of the network, for example width=64"
    )
    p.add_argument(
        "--variance", choices=VARIANCES, help="free (default), or capped at 1 − ᾱ_t, as in older checkpoints; without effect for bits"
    )
    p.add_argument("--schedule", choices=list(SCHEDULES), help="noise schedule (default: log_snr; for bits: paper)")
    p.add_argument(
        "--schedule-param", action="append", default=[], metavar="NAME=VALUE", help="parameter of the schedule, for example beta_1=0.001"
    )
    p.add_argument("-T", type=int, help="number of diffusion steps (default 40 for points, 1000 for images, 2000 for bits)")
    p.add_argument(
        "--loss",
        choices=["bound", "simple", "flow", "label", "elbo"],
        help="bound: −K (default); simple: the ε-loss, for bits the cross entropy; flow: flow matching; label: for classifiers; "
        "elbo: for autoencoders",
    )
    p.add_argument("--labels", action="store_true", help="train a class-conditional model, which is also given the label of each datum")
    p.add_argument("--label-dropout", type=float, help="with --labels: how often the label is left out in training (default 0.1)")
    p.add_argument("--steps", type=int, help="optimiser steps (default 4000)")
    p.add_argument("--seconds", type=float, help="stop after this many seconds of training, if not before")
    p.add_argument("--batch", type=int, help="batch size per process (default 512 points or sequences, 64 pictures)")
    p.add_argument(
        "--optimiser",
        choices=OPTIMISERS,
        help=f"sfo: {SFO_LEAD} steps of adam, then the sum-of-functions optimiser on {MINIBATCHES} minibatches that are drawn once, "
        "a fixed sample of the loss, so give a large --batch; without learning rate; for points and bits, small networks (default adam)",
    )
    p.add_argument("--lr", type=float, help="learning rate (default 0.01 for points, 0.004 for images and bits)")
    p.add_argument("--warmup", type=int, help="number of first steps over which the learning rate rises")
    p.add_argument("--decay", choices=["cosine", "none"], help="decay of the learning rate (default cosine)")
    p.add_argument("--annealing", type=int, help="for autoencoders: first steps over which the weight of the KL term rises (default 1000)")
    p.add_argument("--ema", type=float, help="decay of the moving average of the weights (default 0.999)")
    p.add_argument("--clip", type=float, help="largest gradient norm (default 1)")
    p.add_argument(
        "--precision",
        choices=["float32", "bfloat16"],
        help="precision of the network's computations (default: bfloat16 on CUDA, else float32)",
    )
    p.add_argument("--compile", action="store_true", help="compile the network first (takes a minute; useful on a GPU)")
    p.add_argument("--resume", metavar="NAME", help="start from the weights of a checkpoint")
    p.add_argument("--half", action="store_true", help="store the weights as float16")
    p.add_argument("--rate", type=float, metavar="RHO", help="for bits: mean activity ρ of the noise (default: that of the data)")
    p.add_argument("--name", required=True, help="name of the checkpoint")
    p.add_argument("--out", type=Path, help="folder to write to (default: the folder of your own checkpoints)")

    p = command(sample, "draw samples from a checkpoint")
    p.add_argument("name", help="name or path of the checkpoint")
    p.add_argument("-n", type=int, default=64, help="number of samples (default 64)")
    p.add_argument("--sampler", choices=list(SAMPLERS), default="ancestral", help="default ancestral")
    p.add_argument("--steps", type=int, help="number of sampling steps, at most T (default T)")
    p.add_argument("--eta", type=float, default=0.0, help="noise η of the DDIM sampler: 0 deterministic (default), 1 as ancestral sampling")
    p.add_argument("--solver", choices=list(SOLVERS), help="solve the reverse differential equation instead (64 steps unless --steps)")
    p.add_argument(
        "--noise-level", type=float, default=0.0, metavar="KAPPA", help="with --solver: κ, 0 the flow (default), 1 the time reversal"
    )
    p.add_argument("--label", metavar="CLASS", help="number or name of the class to sample, by the model's label input or by a classifier")
    p.add_argument(
        "--guidance",
        type=float,
        metavar="W",
        help="with --label: w of (1+w)·conditional − w·unconditional of a class-conditional model (default 0), or of r(x) = p(y|x)^w of a "
        "classifier (default 1)",
    )
    p.add_argument("-o", "--output", type=Path, default=Path("samples.npz"), help="file to write: .npz, .csv or .png (default samples.npz)")

    p = command(evaluate, "report the lower bound K of a checkpoint and its parts")
    p.add_argument("name", help="name or path of the checkpoint")
    p.add_argument("-n", type=int, help="number of held-out data (default 4000 points, 2000 sequences of bits, 20000 draws of pictures)")
    p.add_argument("--data", help="fail unless the checkpoint was trained on this data set")
    p.add_argument("--json", action="store_true", help="print all numbers, in bits, as JSON")

    p = command(inpaint, "fill the missing parts of pictures")
    p.add_argument("image", type=Path, help="a picture, or a folder of pictures")
    p.add_argument("mask", type=Path, help="mask, white where the picture is missing; or a folder of masks with the names of the pictures")
    p.add_argument("-o", "--output", type=Path, required=True, help="picture to write (with -n 2: NAME-1 and NAME-2), or a folder")
    p.add_argument(
        "--model", default=PATCHES, help="patches (default): patches of the picture itself; or the name of a checkpoint for such pictures"
    )
    p.add_argument("-n", type=int, default=1, help="number of completions (default 1)")
    p.add_argument("--steps", type=int, default=50, help="sampling steps with a checkpoint (default 50)")
    p.add_argument("--rule", choices=list(RULES), default="noised", help="how the known pixels enter, with a checkpoint (default noised)")

    p = command(import_, "import a model that diffusers has saved")
    p.add_argument("folder", type=Path, help="folder of the pipeline, with unet/ and scheduler/")
    p.add_argument("--name", required=True, help="name of the checkpoint")
    p.add_argument("--data", help="image set on which K is measured (default: one of the model's shape, else photographs)")
    p.add_argument("--half", action="store_true", help="store the weights as float16")
    p.add_argument("--out", type=Path, help="folder to write to (default: the folder of your own checkpoints)")

    p = command(export, "export a checkpoint to another program")
    p.add_argument("name", help="name or path of the checkpoint")
    p.add_argument("--to", choices=["diffusers", "torch"], required=True, help="diffusers: a folder (network unet2d); torch: one .pt2 file")
    p.add_argument("output", type=Path, help="folder or file to write")

    add_topics(command(lab, "neighbours of diffusion models: couplings, chains, signals"))
    return parser


def _data_help() -> str:
    kinds = [f"{', '.join(name for name in kind.names() if name not in kind.own)} or {kind.file_help}" for kind in DATA_KINDS.values()]
    return "data set (default swiss_roll): " + "; ".join(kinds)


def leave(code: int) -> NoReturn:
    """End the process with an exit code. A process that torchrun started ends at once, without Python's usual clean-up.

    The communication threads of torch stay alive (DistributedDataParallel holds them), and one that frees a tensor after Python's
    clean-up aborts the process, and with it all the others.
    """
    if distributed.is_available() and distributed.is_torchelastic_launched():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)
