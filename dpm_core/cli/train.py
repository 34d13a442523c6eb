"""What ``python -m dpm_core train`` does, as a single process or as one of those that torchrun starts."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import torch
from torch import distributed

from dpm_core import checkpoints
from dpm_core.cli.common import use_threads
from dpm_core.cli.saving import Trained, save_trained
from dpm_core.cli.terminal import progress
from dpm_core.config import DiffusionConfig, NetworkConfig, Params, RunConfig, ScheduleConfig, frozen
from dpm_core.data import sources
from dpm_core.data.kinds import DATA_KINDS, classes_of
from dpm_core.guidance import make_model
from dpm_core.networks import NETWORKS
from dpm_core.process import make_diffusion
from dpm_core.training import Trainer, TrainStep, compile_network, make_trainer, usual_precision


def train(args: argparse.Namespace, argv: list[str]) -> int:
    """Train a model on a data set and save the averaged weights as a checkpoint.

    Under torchrun every process trains on its own batches, and the first one writes the checkpoint.
    """
    checkpoints.check_name(args.name)
    if args.out is None and args.name in checkpoints.list_checkpoints([checkpoints.SHIPPED]):
        raise ValueError(f"{args.name!r} is the name of a shipped checkpoint; choose another name, or another folder with --out.")
    if args.points < 2:
        raise ValueError(f"--points is {args.points}; at least two training points are needed.")
    if args.seconds is not None and not args.seconds > 0:
        raise ValueError(f"--seconds is {args.seconds:g}; the number of seconds must be positive.")
    first = _join_others(args)
    dataset, config = make_run(args, shown=first)
    kind = DATA_KINDS[dataset.kind]
    use_threads(args, len(dataset.shape) > 1)
    model = make_model(config.network, make_diffusion(config), dataset.shape, seed=config.training.seed)
    earlier: list[dict[str, Any]] = []
    if args.resume:
        resumed = checkpoints.load(args.resume)
        before = resumed.meta.get("earlier_runs")  # a header from elsewhere may hold anything
        earlier = [*(before if isinstance(before, list) else []), {key: resumed.meta.get(key) for key in ("command", "steps")}]
        weights, variance = resumed.model.state_dict(), resumed.config.network.variance
        if variance != config.network.variance:
            raise ValueError(f"The checkpoint {args.resume!r} has a {variance} variance; add --variance {variance}.")
        if args.labels and not resumed.config.network.classes:  # the labels' vectors are 0 at first: the same model until it trains
            weights = {**{k: v for k, v in model.state_dict().items() if ".labels." in k}, **weights}
        if {k: v.shape for k, v in weights.items()} != {k: v.shape for k, v in model.state_dict().items()}:
            raise ValueError(
                f"The checkpoint {args.resume!r} has another network, T or data shape; use its --network, --network-param and -T."
            )
        model.load_state_dict(weights)
    checkpoints.check_size(checkpoints.Checkpoint(args.name, model, config, dataset), args.half)
    model = model.to(args.device)
    if args.compile:
        compile_network(model)
    training_data = kind.labelled_training_data if config.network.classes else kind.training_data
    data = training_data(dataset, args.device, args.seed, args.points)
    trained = _train(make_trainer(model, data, config.training), args.seconds, first)
    world = _world()
    _leave_others()
    if first:
        save_trained(args, argv, dataset, config, trained, world, earlier)
    return 0


def make_run(args: argparse.Namespace, shown: bool = True) -> tuple[Any, RunConfig]:
    """Return the data set and the run that the options of ``train`` describe; ``shown``: downloads report their progress.

    Raises DataError, and ValueError for an option that does not fit the data.
    """
    dataset, data_config = sources.make(args.data, args.noise, _pairs(args.data_param), progress=_downloading if shown else None)
    config = _run_config(args, DATA_KINDS[dataset.kind].usual_run(dataset, data_config))
    if not (args.labels or NETWORKS[config.network.name].classifier):
        return dataset, config
    if not classes_of(dataset):
        raise ValueError(f"{dataset.title} has no labels on this machine; choose other data, or leave out --labels.")
    return dataset, replace(config, network=replace(config.network, classes=len(classes_of(dataset))))


def _run_config(args: argparse.Namespace, usual: RunConfig) -> RunConfig:
    """The run that the options ask for; options that are not given have the values of the ``usual`` run for such data."""

    def asked(name: str, otherwise: Any) -> Any:
        value = getattr(args, name)
        return otherwise if value is None else value

    schedule, network = usual.schedule, usual.network
    if args.network and NETWORKS[args.network].classifier:  # uniform log-SNRs would be spent on noise finer than anything it needs
        schedule = ScheduleConfig("cosine", schedule.T)
        usual = replace(usual, training=replace(usual.training, loss="label", batch=128))
    elif args.network and NETWORKS[args.network].autoencoder:
        if args.loss not in (None, "elbo"):
            raise ValueError(f"An autoencoder is trained with the loss 'elbo', not {args.loss!r}; leave out --loss.")
        usual = replace(usual, training=replace(usual.training, loss="elbo", annealing=1000))
    elif args.loss in ("label", "elbo"):
        other = {
            "label": "classifiers; choose --network classifier",
            "elbo": "autoencoders; choose --network autoencoder_mlp or autoencoder_conv",
        }
        raise ValueError(f"The loss {args.loss!r} is for {other[args.loss]}, or --loss bound or simple.")
    training = replace(usual.training, precision="float32" if args.optimiser == "sfo" else usual_precision(args.device))
    name, params = asked("schedule", schedule.name), _pairs(args.schedule_param)
    if name == schedule.name and not params:
        params = schedule.params
    T = asked("T", schedule.T)
    if T > checkpoints.MAX_T:
        raise ValueError(f"-T is {T}; at most {checkpoints.MAX_T} is possible.")
    net, net_params = asked("network", network.name), _pairs(args.network_param)
    if net == network.name and not net_params:
        net_params = network.params
    chosen = {
        field: asked(option, getattr(training, field))
        for field, option in {
            "loss": "loss", "steps": "steps", "batch": "batch", "learning_rate": "lr", "ema": "ema", "clip": "clip",
            "warmup": "warmup", "decay": "decay", "precision": "precision", "label_dropout": "label_dropout",
            "annealing": "annealing", "optimiser": "optimiser",
        }.items()
    }  # fmt: skip
    return RunConfig(
        usual.data,
        ScheduleConfig(name, T, params),
        NetworkConfig(net, net_params, asked("variance", network.variance)),
        replace(training, seed=args.seed, **chosen),
        _diffusion(args, usual.diffusion),
    )


def _diffusion(args: argparse.Namespace, usual: DiffusionConfig) -> DiffusionConfig:
    if args.rate is not None and usual.kind != "binomial":
        raise ValueError(f"--rate is {args.rate:g}, but the mean activity ρ of the noise is for data of bits only; leave it out.")
    return usual if args.rate is None else replace(usual, rate=args.rate)


def _train(trainer: Trainer, seconds: float | None, shown: bool) -> Trained:
    """Train until the last step, or for ``seconds``; with a progress bar if ``shown``."""
    started = time.monotonic()
    steps = _steps(trainer, seconds)
    for _ in progress(steps, None if seconds else trainer.config.steps, "training") if shown else steps:
        pass
    return Trained(trainer.average, trainer.step_number, time.monotonic() - started)


def _steps(trainer: Trainer, seconds: float | None) -> Iterator[TrainStep]:
    started = time.monotonic()
    while trainer.step_number < trainer.config.steps:
        if seconds is not None and not _agreed(time.monotonic() - started < seconds, trainer.device):
            break
        yield trainer.step()


def _agreed(go_on: bool, device: torch.device) -> bool:
    """``go_on`` of the first process: all must take the same number of steps, or some would wait for the others forever."""
    if _world() == 1:
        return go_on
    word = torch.tensor(int(go_on), device=device)
    distributed.broadcast(word, 0)
    return bool(word)


def _world() -> int:
    return distributed.get_world_size() if distributed.is_available() and distributed.is_initialized() else 1


def _join_others(args: argparse.Namespace) -> bool:
    """Join the group of processes if torchrun started this one; whether this is the process that prints and writes."""
    if "TORCHELASTIC_RUN_ID" not in os.environ:
        return True
    on_gpu = args.device == "cuda"
    if on_gpu:
        torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
    distributed.init_process_group("nccl" if on_gpu else "gloo")
    return distributed.get_rank() == 0


def _leave_others() -> None:
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _downloading(file: str, done: int, total: int | None) -> None:
    print(f"\rdownloading {file} {done >> 20}/{'?' if total is None else total >> 20} MB", end="", file=sys.stderr, flush=True)


def _pairs(texts: Iterable[str]) -> Params:
    pairs = []
    for text in texts:
        key, _, value = text.partition("=")
        if key in ("name", "T", "shape", "classes"):
            raise ValueError(f"{key} cannot be given as a parameter; it has an option of its own, see --help.")
        try:
            pairs.append((key, frozen(json.loads(value))))
        except ValueError:
            if not value.isidentifier():
                raise ValueError(f"{text!r} is not a parameter; write NAME=NUMBER or NAME=WORD.") from None
            pairs.append((key, value))
    return tuple(sorted(pairs, key=lambda pair: pair[0]))
