"""Train the shipped image and bit models on one GPU, in pieces: ``make gpu-checkpoints MINUTES=9``, again until all are done.

Each call trains for at most MINUTES, saves its state and says what is left; the next call continues exactly there, the optimiser
included. Runs and finished models are in artefacts/gpu-checkpoints. When all models are finished they are copied to checkpoints/, each
with the one command that trains it without interruption. ``--device cpu --scale 0.01`` tries everything with a hundredth of the steps.
"""

from __future__ import annotations

import argparse
import os
import shlex
import shutil
import sys
from pathlib import Path
from time import monotonic, sleep
from typing import NamedTuple

import torch

from dpm_core import checkpoints, jobs
from dpm_core.cli.main import make_parser
from dpm_core.cli.saving import Trained, save_trained
from dpm_core.cli.train import make_run
from dpm_core.files import replace_file


class Model(NamedTuple):
    """A row of the plan: a checkpoint, its optimiser steps and batch on the GPU, and its other options of ``dpm_core train``."""

    name: str
    steps: int
    batch: int
    options: str


# All steps together take about an hour on an H200, at the 50 to 90 steps per second that were measured there; adapt them to the rate that
# each call prints. A schedule that starts at noise finer than a grey level needs Fourier features (grey_levels: the scale
# of the data). The paper's networks compute in float32: in bfloat16 their first and last layers would be too coarse for fine noise.
# fmt: off
PLAN = (
    Model("digits_unet",         8_000,  128, "--data digits --network-param width=32 --lr 0.003"),
    Model("binary_digits_unet",  8_000,  128, "--data binary_digits --network-param width=32 --lr 0.003"),
    Model("brick_unet",         10_000,  128, "--data brick --network-param width=32 --lr 0.003"),
    Model("dead_leaves_unet",   15_000,  256, "--data dead_leaves --network-param width=32 --lr 0.003"),
    Model("mnist_multiscale",   20_000,  256, "--data mnist --network multiscale --schedule cosine --loss simple --precision float32"),
    Model("mnist_unet",         40_000,  256, "--data mnist --schedule cosine --loss simple"
                                              " --network-param width=32 --network-param blocks=2 --lr 0.002 --ema 0.9995"),
    Model("mnist_unet_bound",   30_000,  256, "--data mnist --schedule log_snr --schedule-param start=14"
                                              " --network-param width=32 --network-param blocks=2 --network-param grey_levels=78.568"
                                              " --lr 0.002 --ema 0.9995"),
    Model("cifar10_unet",       40_000,  256, "--data cifar10 --schedule log_snr --schedule-param start=14"
                                              " --network-param width=32 --network-param blocks=2 --network-param grey_levels=64.26"
                                              " --lr 0.002 --ema 0.9995"),
    Model("heartbeat_sigmoid",  60_000, 4096, "--data heartbeat --network sigmoid --lr 0.01 --precision float32"),
)
# fmt: on
ROOT = Path(__file__).resolve().parent.parent
WORK = ROOT / "artefacts" / "gpu-checkpoints"
HELD_OUT = 256  # data for the snapshots of a run
POLL, REPORT_EVERY = 0.02, 30.0  # seconds between looks at a run, and between the lines that report on it
START = 60.0  # seconds that a call must have left to start another model, as compiling takes about as long and cannot be interrupted


def words(model: Model, device: str, scale: float, threads: int) -> list[str]:
    """Return the arguments of ``python -m dpm_core`` that train this model with ``scale`` times its steps in one piece."""
    on = ["--device", "cuda", "--compile"] if device == "cuda" else ["--device", device, "--threads", str(threads)]
    size = ["--steps", str(max(1, round(scale * model.steps))), "--batch", str(model.batch)]
    return ["train", *shlex.split(model.options), *size, "--seed", "0", "--half", *on, "--name", model.name]


def is_finished(work: Path, command: list[str], name: str) -> bool:
    """Return whether ``work`` has the checkpoint that ``command`` makes."""
    path = checkpoints.list_checkpoints([work]).get(name)
    return path is not None and checkpoints.read_header(path)["command"] == f"python -m dpm_core {shlex.join(command)}"


def advance(command: list[str], work: Path, until: float) -> int | None:
    """Train one model until the time ``until``, by at least one step; return the step reached, or None when its checkpoint is written.

    Ends the program with the job's message if training fails.
    """
    args = make_parser().parse_args(command)
    args.out = work
    dataset, run = make_run(args)
    held_out = dataset.sample_held_out(HELD_OUT, torch.Generator().manual_seed(run.training.seed))
    saved = {info.name: info for info in jobs.runs(work)}.get(args.name)
    if saved is not None and (saved.config.run, saved.config.device) == (run, args.device):
        job = jobs.resume_run(saved.folder, dataset, held_out)
    else:
        stop = jobs.Stop(steps=run.training.steps)
        config = jobs.JobConfig(args.name, run, stop, args.device, compile=args.compile, threads=args.threads)
        job = jobs.start(config, dataset, held_out, work)
    first, reported = job.step, monotonic()
    print(f"{args.name}: step {first:,} of {run.training.steps:,}", flush=True)
    try:
        while not job.ending and (monotonic() < until or job.step == first):
            job.keep_alive()
            sleep(POLL)
            if monotonic() - reported >= REPORT_EVERY:
                reported = monotonic()
                print(_report(job, run.training.steps), flush=True)
    finally:  # also after Ctrl-C: the state is saved before the program ends
        job.stop()
        job.join()
    print(_report(job, run.training.steps), flush=True)
    if job.status == "failed":
        sys.exit(job.message)
    if job.step < run.training.steps:
        return job.step
    save_trained(args, command, dataset, run, Trained(job.weights(), job.step, job.progress.seconds))
    shutil.rmtree(job.folder)
    return None


def _report(job: jobs.Job, steps: int) -> str:
    return f"  step {job.step:,} of {steps:,}, {job.progress.steps_per_second:.1f} steps/s {job.message}".rstrip()


def remaining(left: list[Model], reached: int, scale: float) -> str:
    """Return one sentence that says what is left after the first of the models has ``reached`` a step."""
    current, *others = left
    text = f"Left: {current.name} from step {reached:,} of {max(1, round(scale * current.steps)):,}"
    text += f", then {', '.join(model.name for model in others)}" if others else ""
    return f"{text}; run the same command again to continue."


def publish(work: Path, out: Path) -> None:
    """Copy every model of the plan to ``out``."""
    out.mkdir(parents=True, exist_ok=True)
    for model in PLAN:
        for file in (work / f"{model.name}.safetensors", work / f"{model.name}.json"):
            replace_file(out / file.name, file.read_bytes())
            (out / file.name).chmod(0o644)


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Train the shipped image and bit models on one GPU, in pieces.")
    parser.add_argument("--minutes", type=float, default=9.0, help="time limit of this call (default 9)")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda", help="device to train on (default cuda)")
    parser.add_argument("--scale", type=float, default=1.0, help="fraction of the steps, to try the program (default 1)")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="processor threads for --device cpu (default all)")
    parser.add_argument("--work", type=Path, default=WORK, help="folder of the runs (default artefacts/gpu-checkpoints)")
    parser.add_argument("--out", type=Path, help="folder for the finished models (default checkpoints; with --scale, none)")
    args = parser.parse_args(argv)
    if not (args.minutes > 0 and args.scale > 0 and args.threads > 0):
        parser.error(f"--minutes {args.minutes:g}, --scale {args.scale:g} and --threads {args.threads} must all be positive.")
    until = monotonic() + 60 * args.minutes
    if args.device == "cuda" and not torch.cuda.is_available():
        sys.exit("This machine has no CUDA GPU; add --device cpu to train on the processor.")
    args.work.mkdir(parents=True, exist_ok=True)
    commands = {model: words(model, args.device, args.scale, args.threads) for model in PLAN}
    left = [model for model in PLAN if not is_finished(args.work, commands[model], model.name)]
    while left:
        try:
            reached = advance(commands[left[0]], args.work, until)
        except KeyboardInterrupt:
            sys.exit("Stopped, and the state is saved; run the same command again to continue.")
        if reached is None:
            del left[0]
        if left and until - monotonic() < START:
            print(remaining(left, reached or 0, args.scale))
            return
    out = args.out or (ROOT / "checkpoints" if args.scale == 1 else None)
    if out is not None:
        publish(args.work, out)
    print(f"All {len(PLAN)} models are finished, in {out or args.work}.")


if __name__ == "__main__":
    main()
