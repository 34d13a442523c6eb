"""What a worker has trained, brought to the program."""

from __future__ import annotations

import tempfile
from pathlib import Path

from dpm_core import checkpoints
from dpm_core.checkpoints import Checkpoint
from dpm_core.config import RunConfig
from dpm_core.guidance import make_model
from dpm_core.jobs.remote.messages import UNNAMED, Line
from dpm_core.process import make_diffusion
from dpm_core.training.trainer import Model


def fetch_weights(line: Line, run: RunConfig) -> Model:
    """The model with the averaged weights. Raises JobError."""
    about, weights = line.ask("weights")
    model = make_model(run.network, make_diffusion(run), tuple(about["shape"]), run.training.seed)
    model.load_state_dict(weights)
    return model.eval()


def fetch_checkpoint(line: Line) -> Checkpoint:
    """The checkpoint, without a name of its own. Raises JobError, CheckpointError, DataError or OSError."""
    _, files = line.ask("checkpoint")
    with tempfile.TemporaryDirectory() as folder:
        for name, data in files.items():
            (Path(folder) / Path(name).name).write_bytes(data.numpy().tobytes())
        return checkpoints.load_any(Path(folder) / f"{UNNAMED}.safetensors")
