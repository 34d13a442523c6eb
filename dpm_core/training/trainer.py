"""Training: one optimiser step at a time. The caller is responsible for logging, pausing and stopping.

Under ``torchrun`` every process trains on its own batches and gradients are averaged (DistributedDataParallel).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel

from dpm_core.config import TrainConfig
from dpm_core.guidance import Classifier
from dpm_core.process import noise_like
from dpm_core.relatives import VAE
from dpm_core.reverse import ReverseModel
from dpm_core.training.losses import FIRST_TIME, Loss, drop_labels, stratified_times

Draw = Callable[[int, torch.Generator], Tensor]
LabelledDraw = Callable[[int, torch.Generator], tuple[Tensor, Tensor]]
Model = ReverseModel | Classifier | VAE
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
RANK_STRIDE = 1_000_003  # between the seeds of the processes of one distributed run


class TrainingError(RuntimeError):
    """Training cannot continue. ``step`` is the last successful step, whose weights the model and the average still have."""

    def __init__(self, message: str, step: int):
        super().__init__(message)
        self.step = step


class OutOfMemory(TrainingError):
    """The batch does not fit into the device's memory. ``batch`` is a size that does fit, or None."""

    def __init__(self, message: str, step: int, batch: int | None):
        super().__init__(message, step)
        self.batch = batch


class Batch(NamedTuple):
    """The inputs of one step: x⁽⁰⁾ and its noise ``[n, ...]``, the times ``[n]``, and for models of labelled data the labels ``[n]``."""

    x0: Tensor
    t: Tensor
    noise: Tensor
    label: Tensor | None = None

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a loss function is called with beside the model: all that there is."""
        return tuple(part for part in self if part is not None)


class TrainStep(NamedTuple):
    """The result of one optimiser step: its number (from 1), the loss, the gradient norm before clipping."""

    step: int
    loss: float
    gradient_norm: float
    average: Any  # the model with the exponential moving average of the weights, used for sampling and evaluation
    batch: Batch
    losses: Tensor  # of each datum, [n], detached


def compile_network(model: Model) -> None:
    """Compile the network in place; names and weights are unchanged. On CUDA, CUDA graphs avoid the launch overhead of small networks."""
    on_gpu = next(model.parameters()).device.type == "cuda"
    model.network.compile(mode="reduce-overhead" if on_gpu else "default")


def usual_precision(device: str) -> str:
    """Return the default precision: bfloat16 on CUDA, where it is several times as fast as float32; float32 elsewhere."""
    return "bfloat16" if device == "cuda" else "float32"


class Trainer:
    """One training run: the model, the average of its weights, the optimiser and the random generators.

    Trains ``model`` in place on ``data``: a tensor ``[N, ...]`` whose rows are drawn with replacement, or a function
    ``(n, generator) -> [n, ...]``. For a model with classes it must be a function ``(n, generator) -> ([n, ...], labels [n])``.

    Batches, times and noise come from generators seeded by the config, so equal configs give equal weights. ``learning_rate`` may be
    changed at any time.
    """

    lead = own_bytes = 0  # number of first steps that are unlike the others; memory of an optimiser beside Adam's

    def __init__(self, model: Model, data: Tensor | Draw | LabelledDraw, config: TrainConfig):
        self.model, self.config, self.step_number = model, config, 0
        self.learning_rate = config.learning_rate
        self.device = next(model.parameters()).device
        self._draw: Any = _rows(data) if isinstance(data, Tensor) else data
        self.average = copy.deepcopy(model).requires_grad_(False)  # in float32, as it is evaluated and saved
        model.precision = PRECISIONS[config.precision]
        self._parameters = list(model.parameters())
        self._optimiser = torch.optim.Adam(self._parameters, lr=config.learning_rate, fused=True)
        self._loss: nn.Module = Loss(model, config.loss)
        rank = 0
        if distributed.is_available() and distributed.is_initialized():
            rank = distributed.get_rank()
            self._loss = DistributedDataParallel(self._loss, forward_sync_buffers=False)  # buffers are constants
        self._generator = torch.Generator(self.device).manual_seed(config.seed + RANK_STRIDE * rank)
        self._cpu_generator = torch.Generator().manual_seed(config.seed + RANK_STRIDE * rank)

    def step(self) -> TrainStep:
        """Take one optimiser step and return its result.

        Raises TrainingError for a non-finite loss or gradient, before the weights change, and OutOfMemory when the batch does not fit
        into the device's memory.
        """
        step, config = self.step_number + 1, self.config
        if isinstance(self.model, VAE):
            self.model.divergence_weight = min(1.0, step / config.annealing) if config.annealing else 1.0
        try:
            batch = self.draw(config.batch)
            losses = self._backward(batch)
            fits = True
        except torch.OutOfMemoryError:
            fits = False
        if not fits:  # outside the except block, because the exception keeps the tensors that did not fit alive
            raise self._out_of_memory()
        loss, norm = losses.mean().item(), nn.utils.clip_grad_norm_(self._parameters, config.clip).item()
        if not math.isfinite(loss) or not math.isfinite(norm):
            raise TrainingError(
                f"The loss or its gradient is not finite at step {step}; the weights of step {step - 1} are unchanged. "
                "A smaller learning rate usually helps.",
                step - 1,
            )
        for group in self._optimiser.param_groups:
            group["lr"] = self.learning_rate * self._pace()
        try:
            self._optimiser.step()
            fits = True
        except torch.OutOfMemoryError:  # allocating Adam's moments in the first step, before any weight changes
            fits = False
        if not fits:
            raise self._out_of_memory()
        average_into(self.average, self.model, min(config.ema, (1 + step) / (10 + step)))
        self.step_number = step
        return TrainStep(step, loss, norm, self.average, batch, losses)

    def draw(self, n: int) -> Batch:
        """Return n data with their times and noise, drawn with the run's own generators."""
        x0, label = self._draw(n, self._generator) if self.model.classes else (self._draw(n, self._generator), None)
        t = stratified_times(self.model.diffusion.T, n, self._cpu_generator, FIRST_TIME[self.config.loss])
        noise = noise_like(self.model.diffusion.q_marginal(x0, t), self._generator)
        if label is not None and self.config.loss != "label":
            label = drop_labels(label, self.model.classes, self.config.label_dropout, self._generator)
        return Batch(x0, t, noise, label)

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on as named tensors: copies that may be written to disk while training continues."""
        state = {f"model.{k}": v for k, v in self.model.state_dict().items()}
        state |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        for i, parameter in enumerate(self._parameters):
            state |= {f"adam.{i}.{k}": v for k, v in self._optimiser.state[parameter].items()}
        state |= {"generator": self._generator.get_state(), "cpu_generator": self._cpu_generator.get_state()}
        state |= {"step": torch.tensor(self.step_number), "learning_rate": torch.tensor(self.learning_rate, dtype=torch.float64)}
        return {k: v.detach().to("cpu", copy=True).contiguous() for k, v in state.items()}

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore a :meth:`state` of the same configuration, so that training continues exactly.

        Raises ValueError, and changes nothing, if the state belongs to another configuration.
        """
        try:
            wanted = {k: v.shape for k, v in self.model.state_dict().items()}
            weights = [{k.removeprefix(part): v for k, v in state.items() if k.startswith(part)} for part in ("model.", "average.")]
            fits = all({k: v.shape for k, v in given.items()} == wanted for given in weights)
            adam: dict[int, dict[str, Tensor]] = {}
            for i, parameter in enumerate(self._parameters):
                saved = {k.removeprefix(f"adam.{i}."): v for k, v in state.items() if k.startswith(f"adam.{i}.")}
                if saved:
                    fits &= saved["exp_avg"].shape == saved["exp_avg_sq"].shape == parameter.shape
                    # copies, because the optimiser writes to them, in the memory layout of the weights, as the fused optimiser requires
                    moments = {k: torch.empty_like(parameter).copy_(saved[k]) for k in ("exp_avg", "exp_avg_sq")}
                    adam[i] = {"step": saved["step"].clone(), **moments}
            for generator, name in ((self._generator, "generator"), (self._cpu_generator, "cpu_generator")):
                torch.Generator(generator.device).set_state(state[name])
            step, learning_rate = int(state["step"]), float(state["learning_rate"])
            if not fits:
                raise ValueError
        except (ValueError, KeyError, RuntimeError, TypeError):
            raise ValueError("The saved state does not match this configuration; resume with the configuration of the run.") from None
        self.model.load_state_dict(weights[0])
        self.average.load_state_dict(weights[1])
        self._optimiser.load_state_dict({"state": adam, "param_groups": self._optimiser.state_dict()["param_groups"]})
        self._generator.set_state(state["generator"])
        self._cpu_generator.set_state(state["cpu_generator"])
        self.step_number, self.learning_rate = step, learning_rate

    def _backward(self, batch: Batch) -> Tensor:
        self._optimiser.zero_grad()
        losses = self._loss(*batch.inputs)
        losses.mean().backward()
        return losses.detach()

    def _pace(self) -> float:
        """The factor of warm-up and decay that multiplies the learning rate in the next step."""
        warm = min(1.0, (self.step_number + 1) / self.config.warmup) if self.config.warmup else 1.0
        if self.config.decay == "none":
            return warm
        return warm * 0.5 * (1 + math.cos(math.pi * min(1.0, self.step_number / self.config.steps)))

    def _out_of_memory(self) -> OutOfMemory:
        """Find by trial a batch size that fits, to suggest it in the error."""
        step, batch = self.step_number, self.config.batch
        if isinstance(self._loss, DistributedDataParallel):  # a trial would have to run in all processes
            return OutOfMemory(f"A batch of {batch} does not fit into this device's memory; choose a smaller one.", step, None)
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
        advice = f"a batch of {fits} fits." if fits else "a batch of 1 does not fit either: choose a smaller network."
        return OutOfMemory(f"A batch of {self.config.batch} does not fit into this device's memory; {advice}", step, fits)


def _rows(data: Tensor) -> Draw:
    def draw(n: int, generator: torch.Generator) -> Tensor:
        return data[torch.randint(len(data), (n,), generator=generator, device=data.device)]

    return draw


@torch.no_grad()
def average_into(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move an exponential moving average of weights towards those of the model."""
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - decay)
