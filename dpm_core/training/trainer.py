"""Training: one optimiser step at a time. The caller owns logging, pausing and stopping.

Under ``torchrun`` every process trains on its own batches and gradients are averaged (DistributedDataParallel).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from dpm_core.config import TrainConfig
from dpm_core.process import noise_like
from dpm_core.reverse import ReverseModel
from dpm_core.training.losses import Loss, stratified_times

Draw = Callable[[int, torch.Generator], Tensor]
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
RANK_STRIDE = 1_000_003  # between the seeds of processes that train together


class TrainingError(RuntimeError):
    """Training cannot go on; ``step`` is the last good step, whose weights the model and the average keep."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class OutOfMemory(TrainingError):
    """The batch does not fit the device; ``batch`` is one that does, or None."""

    def __init__(self, message: str, step: int, batch: int | None):
        super().__init__(message, step)
        self.batch = batch


class Batch(NamedTuple):
    """What one step was trained on: x⁽⁰⁾ and its noise ``[n, ...]``, the times ``[n]``."""

    x0: Tensor
    t: Tensor
    noise: Tensor


class TrainStep(NamedTuple):
    """What one optimiser step gave: its number (from 1), the loss, the gradient's norm before clipping."""

    step: int
    loss: float
    gradient_norm: float
    average: ReverseModel  # the exponential moving average of the weights: what to sample from
    batch: Batch
    losses: Tensor  # of each datum, [n], detached


def compile_network(model: ReverseModel) -> None:
    """Compile the network in place, its names and weights unchanged; on CUDA into CUDA graphs, as launches rule small networks."""
    on_gpu = next(model.parameters()).device.type == "cuda"
    model.network.compile(mode="reduce-overhead" if on_gpu else "default")


def usual_precision(device: str) -> str:
    """bfloat16 on CUDA, whose units for it are several times as fast; float32 elsewhere."""
    return "bfloat16" if device == "cuda" else "float32"


class Trainer:
    """One run: the model, its average, the optimiser and the random generators; everything that a pause must keep.

    Trains ``model`` in place on ``data``: a tensor ``[N, ...]`` whose rows are drawn with replacement, or a
    function ``(n, generator) -> [n, ...]``. Batches, times and noise come from generators seeded by the
    config: the same config, the same weights. ``learning_rate`` may be changed at any time.
    """

    def __init__(self, model: ReverseModel, data: Tensor | Draw, config: TrainConfig):
        self.model, self.config, self.step_number = model, config, 0
        self.learning_rate = config.learning_rate
        self.device = next(model.parameters()).device
        self._draw = _rows(data) if isinstance(data, Tensor) else data
        self.average = copy.deepcopy(model).requires_grad_(False)  # it stays in float32: what is sampled, measured and kept
        model.precision = PRECISIONS[config.precision]
        self._parameters = list(model.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, lr=config.learning_rate, fused=True)
        self._loss: nn.Module = Loss(model, config.loss)
        rank = 0
        if distributed.is_available() and distributed.is_initialized():
            rank = distributed.get_rank()
            self._loss = DistributedDataParallel(self._loss, forward_sync_buffers=False)  # they are constants
        self._generator = torch.Generator(self.device).manual_seed(config.seed + RANK_STRIDE * rank)
        self._cpu_generator = torch.Generator().manual_seed(config.seed + RANK_STRIDE * rank)

    def step(self) -> TrainStep:
        """One optimiser step.

        Raises TrainingError at a non-finite loss or gradient, before it touches the weights, and OutOfMemory
        when the batch does not fit the device.
        """
        step, config = self.step_number + 1, self.config
        try:
            batch = self.draw(config.batch)
            losses = self._backward(batch)
            fits = True
        except torch.OutOfMemoryError:
            fits = False
        if not fits:  # only here, as the exception holds on to what did not fit
            raise self._out_of_memory()
        loss, norm = losses.mean().item(), nn.utils.clip_grad_norm_(self._parameters, config.clip).item()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise TrainingError(
                f"The loss stopped being finite at step {step}; the weights of step {step - 1} are kept. "
                "A smaller learning rate usually helps.",
                step - 1,
            )
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate * self._pace()
        try:
            self._optimiser.step()
            fits = True
        except torch.OutOfMemoryError:  # Adam's moments, made before it touches any weight in the first step
            fits = False
        if not fits:
            raise self._out_of_memory()
        _average(self.average, self.model, min(config.ema, (1 + step) / (10 + step)))
        self.step_number = step
        return TrainStep(step, loss, norm, self.average, batch, losses)

    def draw(self, n: int) -> Batch:
        """n data with their times and noise, from the run's own generators."""
        x0 = self._draw(n, self._generator)
        t = stratified_times(self.model.diffusion.T, n, self._cpu_generator)
        return Batch(x0, t, noise_like(self.model.diffusion.q_marginal(x0, t), self._generator))

    def state(self) -> dict[str, Tensor]:
        """Everything that the next step depends on, as named tensors: exact copies, safe to write while training goes on."""
        kept = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        kept |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, parameter in enumerate(self._parameters):
            kept |= {f"adam.{i}.{k}": v for k, v in self._optimiser.state[parameter].items()}
        kept |= {"generator": self._generator.get_state(), "cpu_generator": self._cpu_generator.get_state()}
        kept |= {"step": torch.tensor(self.step_number), "learning_rate": torch.tensor(self.learning_rate, dtype=torch.float64)}
        return {k: v.detach().to("cpu", copy=True).contiguous() for k, v in kept.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Go on exactly from a :meth:`state` of the same configuration. Raises ValueError, and changes nothing, when it is not one."""
        try:
            wanted = {k: v.shape for k, v in self.model.state_dict().items()}
            weights = [{k.removeprefix(part): v for k, v in state.items() if k.startswith(part)} for part in ("model.", "average.")]
            fits = all({k: v.shape for k, v in given.items()} == wanted for given in weights)
            adam: dict[int, dict[str, Tensor]] = {}
            for i, parameter in enumerate(self._parameters):
                own = {k.removeprefix(f"adam.{i}."): v for k, v in state.items() if k.startswith(f"adam.{i}.")}
                if own:
                    fits &= own["exp_avg"].shape == own["exp_avg_sq"].shape == parameter.shape
                    # copies, as the optimiser writes to them, laid out as the weights, as it takes all of them in the order of memory
                    moments = {k: torch.empty_like(parameter).copy_(own[k]) for k in ("exp_avg", "exp_avg_sq")}
                    adam[i] = {"step": own["step"].clone(), **moments}
            for generator, name in ((self._generator, "generator"), (self._cpu_generator, "cpu_generator")):
                torch.Generator(generator.device).set_state(state[name])
            step, learning_rate = int(state["step"]), float(state["learning_rate"])
            if not fits:
                raise ValueError
        except (ValueError, KeyError, RuntimeError, TypeError):
            raise ValueError("This saved state does not belong to this configuration.") from None
        self.model.load_state_dict(weights[0])
        self.average.load_state_dict(weights[1])
        self._optimiser.load_state_dict({"state": adam, "param_groups": self._optimiser.state_dict()["param_groups"]})
        self._generator.set_state(state["generator"])
        self._cpu_generator.set_state(state["cpu_generator"])
        self.step_number, self.learning_rate = step, learning_rate

    def _backward(self, batch: Batch) -> Tensor:
        self._optimiser.zero_grad()
        losses = self._loss(*batch)
        losses.mean().backward()
        return losses.detach()

    def _pace(self) -> float:
        """The share of the learning rate for the step about to be taken."""
        warm = min(1.0, (self.step_number + 1) / self.config.warmup) if self.config.warmup else 1.0
        if self.config.decay == "none":
            return warm
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, self.step_number / self.config.steps)))

    def _out_of_memory(self) -> OutOfMemory:
        """Find by trying a batch that fits, so that it can be offered."""
        step, batch = self.step_number, self.config.batch
        if isinstance(self._loss, DistributedDataParallel):  # the other processes would take no part in a trial
            return OutOfMemory(f"A batch of {batch} does not fit this device's memory; choose a smaller one.", step, None)
        fits = None
        while fits is None and batch > 1:
            batch //= 2
            self._optimiser.zero_grad()
            if self.device.type == "cuda":
                torch.cuda.empty_cache()
            try:
                self._backward(self.draw(batch))
                fits = batch
            except torch.OutOfMemoryError:
                continue
        self._optimiser.zero_grad()
        advice = f"a batch of {fits} fits." if fits else "not even a batch of 1 fits: choose a smaller network."
        return OutOfMemory(f"A batch of {self.config.batch} does not fit this device's memory; {advice}", step, fits)


def train_steps(model: ReverseModel, data: Tensor | Draw, config: TrainConfig) -> Iterator[TrainStep]:
    """Train ``model`` in place, yielding after every optimiser step until ``config.steps``; as :class:`Trainer`."""
    trainer = Trainer(model, data, config)
    while trainer.step_number < config.steps:
        yield trainer.step()


def _rows(data: Tensor) -> Draw:
    def draw(n: int, generator: torch.Generator) -> Tensor:
        return data[torch.randint(len(data), (n,), generator=generator, device=data.device)]

    return draw


@torch.no_grad()
def _average(average: nn.Module, model: nn.Module, decay: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
