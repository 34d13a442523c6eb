"""The trainers by the name of their optimiser."""

from __future__ import annotations

from torch import Tensor

from dpm_core.config import TrainConfig
from dpm_core.training.sum_of_functions_trainer import SumOfFunctionsTrainer
from dpm_core.training.trainer import Draw, LabelledDraw, Model, Trainer

TRAINERS: dict[str, type[Trainer]] = {"adam": Trainer, "sfo": SumOfFunctionsTrainer}


def make_trainer(model: Model, data: Tensor | Draw | LabelledDraw, config: TrainConfig) -> Trainer:
    """Return the trainer of the config's optimiser. Raises ConfigError where it is not for such a model or data."""
    return TRAINERS[config.optimiser](model, data, config)
