"""Estimate the cost of a training run before it starts: parameters, memory, seconds per step."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from time import perf_counter, thread_time
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks

from dpm_core.config import NetworkConfig, TrainConfig
from dpm_core.process import BinomialDiffusion, GaussianDiffusion
from dpm_core.reverse import build_model
from dpm_core.schedules import make_schedule
from dpm_core.training.losses import LOSSES
from dpm_core.training.optimisers import make_trainer
from dpm_core.training.trainer import Trainer

TIME_BUDGET = 0.5  # seconds that the measurement may take, approximately
COPIES = 5  # per parameter: the weight, its gradient, Adam's two moments, the average


@dataclass(frozen=True)
class Cost:
    """The cost of one run: trainable parameters, bytes at the end of a forward pass, seconds per optimiser step."""

    parameters: int
    memory_bytes: int
    seconds_per_step: float


def estimate(
    config: NetworkConfig,
    shape: tuple[int, ...],
    training: TrainConfig,
    T: int,
    device: str = "cpu",
    threads: int | None = None,
    bits: bool = False,
) -> Cost:
    """Return the cost of training this network on data of one shape (``(2,)``, ``(C, H, W)`` or ``(L,)``), in about a second.

    ``bits``: whether the data are bits. Parameters are exact. Memory counts the weights, gradients, Adam's moments, the average and
    all tensors that the forward pass saves for the backward pass. Seconds are measured on real steps of a temporary model with growing
    batches until TIME_BUDGET is spent, and extrapolated linearly from there. ``threads``: the number of processor threads to measure
    with; the caller's setting is restored. The global random generator is not used.

    Raises ValueError, in one sentence, as :func:`dpm_core.reverse.build_model` and :func:`make_trainer`.
    """
    schedule = make_schedule("paper", T)
    diffusion = BinomialDiffusion(schedule) if bits else GaussianDiffusion(schedule)
    model = build_model(config, diffusion, shape).to(device)

    def data(n: int, generator: torch.Generator) -> Any:  # any will do: π, and any labels
        x = diffusion.start((n, *shape), generator)
        return (x, torch.zeros(n, dtype=torch.int64, device=x.device)) if config.classes else x

    trainer = make_trainer(model, data, training)
    trainer.step_number = trainer.lead  # the steps that most of the run consists of

    def step(n: int) -> None:
        trainer.config = replace(training, batch=n)
        trainer.step()
        if trainer.device.type == "cuda":
            torch.cuda.synchronize()

    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        seconds = _seconds(step, training.batch)
    finally:
        torch.set_num_threads(before)
    return Cost(sum(p.numel() for p in model.parameters()), _memory_bytes(model, trainer, training), seconds)


def _seconds(step: Callable[[int], object], batch: int) -> float:
    """Seconds of ``step(batch)``: measured if the time budget allows, else extrapolated from the two largest batches measured.

    A noisy reading must not distort the extrapolation: the time grows at most in proportion to the batch, and where it decreases it is
    replaced by that proportion.
    """
    n = min(batch, 4)
    step(n)  # the first step also sets up the optimiser and the kernels
    spent, sizes, times = 0.0, [], []
    while True:
        readings = [_timed(step, n)]
        if spent + 2 * readings[0] < TIME_BUDGET:
            readings.append(_timed(step, n))  # the first reading at a new size includes memory allocation
        spent += sum(readings)
        sizes.append(n)
        times.append(min(readings))
        if n == batch or spent + 4 * times[-1] > TIME_BUDGET:
            break
        n = min(2 * n, batch)
    slope = proportion = times[-1] / sizes[-1]
    if len(sizes) > 1 and times[-1] > times[-2]:
        slope = min(proportion, (times[-1] - times[-2]) / (sizes[-1] - sizes[-2]))
    return times[-1] + slope * (batch - sizes[-1])


def _timed(step: Callable[[int], object], n: int) -> float:
    # the CPU time of a single thread does not depend on other programs; several threads also wait for each other
    clock = thread_time if torch.get_num_threads() == 1 and not torch.cuda.is_available() else perf_counter
    start = clock()
    step(n)
    return clock() - start


def _memory_bytes(model: nn.Module, trainer: Trainer, training: TrainConfig) -> int:
    """Bytes of weights, gradients, optimiser and average, and of the tensors saved by the forward pass at the full batch.

    The saved tensors are a constant (for example weights cast to bfloat16) plus a part proportional to the batch: two small batches
    determine both.
    """
    parameters = sum(p.numel() * p.element_size() for p in model.parameters())
    buffers = sum(b.numel() * b.element_size() for b in model.buffers())
    small, large = (_saved_bytes(model, trainer, training, n) for n in (2, 4))
    return trainer.own_bytes + COPIES * parameters + 2 * buffers + small + (large - small) * (training.batch - 2) // 2


def _saved_bytes(model: nn.Module, trainer: Trainer, training: TrainConfig, n: int) -> int:
    """Bytes saved for the backward pass of one batch of n; each storage is counted once, the model's own are excluded."""
    own_storages = {tensor.untyped_storage().data_ptr() for tensor in (*model.parameters(), *model.buffers())}
    saved: dict[int, int] = {}

    def note(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own_storages:
            saved[storage.data_ptr()] = storage.nbytes()
        return tensor

    batch = trainer.draw(n)
    with saved_tensors_hooks(note, lambda tensor: tensor):
        loss = LOSSES[training.loss](model, *batch.inputs).mean()  # type: ignore[arg-type]
    del loss  # the graph stays alive until here, so that no storage address is reused
    return sum(saved.values())
