"""The trainers by the name of their optimiser."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

from dpm_core.config import TrainConfig
from dpm_core.training.sum_of_functions_trainer import SumOfFunctionsTrainer
from dpm_core.training.trainer import Draw, LabelledDraw, Model, Trainer, TrainStep

TRAINERS: dict[str, type[Trainer]] = {"adam": Trainer, "sfo": SumOfFunctionsTrainer}


def make_trainer(model: Model, data: Tensor | Draw | LabelledDraw, config: TrainConfig) -> Trainer:
    """Return the trainer of the config's optimiser. Raises ConfigError where it is not for such a model or data."""
    return TRAINERS[config.optimiser](model, data, config)


def train_steps(model: Model, data: Tensor | Draw | LabelledDraw, config: TrainConfig) -> Iterator[TrainStep]:
    """Train ``model`` in place and yield after every optimiser step until ``config.steps``. Raises ConfigError as :func:`make_trainer`."""
    trainer = make_trainer(model, data, config)
    while trainer.step_number < config.steps:
        yield trainer.step()
