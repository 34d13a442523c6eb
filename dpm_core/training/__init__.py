"""Training: one optimiser step at a time; loss functions, learned schedules, snapshots and cost estimates."""

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
    train_steps,
    usual_precision,
)

__all__ = ["PRECISIONS", "RANK_STRIDE", "Batch", "Draw", "LabelledDraw", "OutOfMemory", "TrainStep", "Trainer", "TrainingError"]
__all__ += ["compile_network", "train_steps", "usual_precision"]
