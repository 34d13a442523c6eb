"""Training by the sum-of-functions optimiser, on a fixed sample of the loss, after a start by Adam."""

from __future__ import annotations

import math

import torch
from torch import Tensor, distributed

from dpm_core.config import SFO_LEAD, ConfigError, TrainConfig
from dpm_core.lab.sum_of_functions import SFO
from dpm_core.training.trainer import Batch, Draw, LabelledDraw, Model, Trainer, TrainingError, TrainStep, average_into

MINIBATCHES = 32  # subfunctions: minibatches that are drawn once, with their times and noise
MOST_PARAMETERS = 50_000  # for which a state of K numbers for each of them is not too large
MOST_SEED = 2**63  # of a generator
SEED_OFFSET = 500_009  # of the generators of the fixed minibatches


class SumOfFunctionsTrainer(Trainer):
    """A :class:`Trainer` that takes SFO_LEAD steps of Adam and then steps of :class:`dpm_core.lab.sum_of_functions.SFO`.

    SFO needs the same subfunctions all the time: MINIBATCHES minibatches of ``config.batch`` data, each with its times and noise, are drawn
    once. Their mean loss is a fixed sample of the training loss, and a small sample is overfitted: prefer large batches. The start by
    Adam is needed because a new network's last layer is 0, a saddle point of the loss that quasi-Newton steps leave very slowly. Learning
    rate, warm-up, decay and clipping belong to Adam's steps only. A step of SFO evaluates one minibatch, or a few after a failure.

    Raises ConfigError for images, for networks of more than MOST_PARAMETERS, and under torchrun.
    """

    lead = SFO_LEAD

    def __init__(self, model: Model, data: Tensor | Draw | LabelledDraw, config: TrainConfig):
        count = sum(p.numel() for p in model.parameters())
        if count > MOST_PARAMETERS:
            raise ConfigError(
                f"SFO is for networks of at most {MOST_PARAMETERS:,} parameters, not of {count:,}; choose Adam or a smaller network."
            )
        if distributed.is_available() and distributed.is_initialized():
            raise ConfigError("SFO trains in a single process; choose Adam, or start without torchrun.")
        super().__init__(model, data, config)
        if self._minibatch(0, 1).x0.ndim > 2:
            raise ConfigError("SFO is for points and rows of bits, not for images; choose Adam.")
        self._sfo: SFO | None = None
        self._start: list[Tensor] = []  # the weights where SFO began
        self._size = config.batch  # of the minibatches
        self._batches: dict[int, Batch] = {}  # that have been drawn, by number
        self._evaluated: list[tuple[int, Tensor]] = []  # minibatch and losses of each evaluation in a step

    def step(self) -> TrainStep:
        """Take one step of Adam or, after SFO_LEAD of them, of SFO. Raises TrainingError as :meth:`Trainer.step`."""
        if self.step_number < SFO_LEAD:
            return super().step()
        step = self.step_number + 1
        if self._sfo is None or self.config.batch != self._size:
            if self._start:  # where it began before, because the present weights may be those of a failed step
                torch._foreach_copy_([parameter.data for parameter in self._parameters], self._start)
            self._start = [parameter.detach().clone() for parameter in self._parameters]
            self._sfo = self._begin()
        self._evaluated = []
        try:
            loss = MINIBATCHES * self._sfo.step()
        except torch.OutOfMemoryError:
            raise self._out_of_memory() from None
        except (ValueError, RuntimeError) as error:
            raise TrainingError(f"SFO cannot continue at step {step}: {error}", step - 1) from None
        if not math.isfinite(loss):
            raise TrainingError(f"The loss is not finite at step {step}.", step - 1)
        average_into(self.average, self.model, min(self.config.ema, (1 + step) / (10 + step)))
        self.step_number = step
        i, losses = self._evaluated[0]
        return TrainStep(step, loss, MINIBATCHES * self._sfo.gradient_norm, self.average, self._batches[i], losses)

    @property
    def own_bytes(self) -> int:  # type: ignore[override]
        """Memory of SFO."""
        return 0 if self._sfo is None else sum(tensor.nbytes for tensor in self._sfo.state_dict().values())

    def state(self) -> dict[str, Tensor]:
        """Return everything that the next step depends on as named tensors: copies that may be written to disk while training continues."""
        state = super().state()
        if self._sfo is not None:
            state |= {f"sfo.{name}": tensor for name, tensor in self._sfo.state_dict().items()}
        return state

    def restore(self, state: dict[str, Tensor]) -> None:
        """Restore a :meth:`state` of the same configuration, so that training continues exactly.

        Raises ValueError, and changes nothing, if the state belongs to another configuration.
        """
        own = {name.removeprefix("sfo."): tensor for name, tensor in state.items() if name.startswith("sfo.")}
        begun = self._begin() if own else None
        if begun is not None and not begun.accepts(own):
            raise ValueError("The saved state does not match this configuration; resume with the configuration of the run.")
        super().restore(state)
        self._sfo = begun
        if begun is not None:
            begun.load_state_dict(own)

    def _begin(self) -> SFO:
        """SFO at the present weights, on the fixed minibatches of the run's seed."""
        self._batches, self._size = {}, self.config.batch

        def closure(i: int) -> Tensor:
            batch = self._batches[i] = self._batches.get(i) or self._minibatch(i, self._size)
            losses: Tensor = self._loss(*batch.inputs)
            self._evaluated.append((i, losses.detach()))
            return losses.mean() / MINIBATCHES

        return SFO(self._parameters, [lambda i=i: closure(i) for i in range(MINIBATCHES)], self.config.seed % MOST_SEED)  # type: ignore[misc]

    def _minibatch(self, i: int, size: int) -> Batch:
        """Fixed minibatch i, which depends on the run's seed alone, drawn without use of the run's own generators."""
        own, seed = (self._generator, self._cpu_generator), (self.config.seed + SEED_OFFSET * (i + 1)) % MOST_SEED
        self._generator, self._cpu_generator = torch.Generator(self.device).manual_seed(seed), torch.Generator().manual_seed(seed)
        try:
            return self.draw(size)
        finally:
            self._generator, self._cpu_generator = own
