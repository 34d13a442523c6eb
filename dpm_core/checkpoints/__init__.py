"""Checkpoints: ``name.safetensors`` beside ``name.json``, from which a model is rebuilt. No pickle is ever read."""

from dpm_core.checkpoints.folders import SHIPPED, list_checkpoints, user_folder
from dpm_core.checkpoints.format import (
    FORMAT,
    MAX_BYTES,
    MAX_HEADER_BYTES,
    MAX_T,
    Checkpoint,
    CheckpointError,
    check_name,
    check_size,
)
from dpm_core.checkpoints.managing import delete, rename, save_upload
from dpm_core.checkpoints.reading import load, read_header
from dpm_core.checkpoints.writing import save

__all__ = ["FORMAT", "MAX_BYTES", "MAX_HEADER_BYTES", "MAX_T", "SHIPPED", "Checkpoint", "CheckpointError", "check_name"]
__all__ += ["check_size", "delete", "list_checkpoints", "load", "read_header", "rename", "save", "save_upload", "user_folder"]
