"""Training: one optimiser step at a time; losses, learned schedules, snapshots and what a run will cost."""

from dpm_core.training.trainer import (
    PRECISIONS,
    RANK_STRIDE,
    Batch,
    Draw,
    OutOfMemory,
    Trainer,
    TrainingError,
    TrainStep,
    compile_network,
    train_steps,
    usual_precision,
)

__all__ = ["PRECISIONS", "RANK_STRIDE", "Batch", "Draw", "OutOfMemory", "TrainStep", "Trainer", "TrainingError"]
__all__ += ["compile_network", "train_steps", "usual_precision"]
