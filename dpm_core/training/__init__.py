"""Training: one optimiser step at a time; loss functions, learned schedules, snapshots and cost estimates."""

from dpm_core.training.optimisers import make_trainer, train_steps
from dpm_core.training.sum_of_functions_trainer import SumOfFunctionsTrainer
from dpm_core.training.trainer import (
    PRECISIONS,
    RANK_STRIDE,
    Batch,
    Draw,
    LabelledDraw,
    OutOfMemory,
    Trainer,
    TrainingError,
    TrainStep,
    compile_network,
    usual_precision,
)

__all__ = ["PRECISIONS", "RANK_STRIDE", "Batch", "Draw", "LabelledDraw", "OutOfMemory", "TrainStep", "Trainer", "TrainingError"]
__all__ += ["SumOfFunctionsTrainer", "compile_network", "make_trainer", "train_steps", "usual_precision"]
