"""Checkpoints: ``name.safetensors`` beside ``name.json``, from which a model is rebuilt. No pickle is ever read."""

from dpm_core.checkpoints.files import (
    FORMAT,
    MAX_BYTES,
    MAX_HEADER_BYTES,
    MAX_T,
    SHIPPED,
    Checkpoint,
    CheckpointError,
    check_name,
    check_size,
    delete,
    list_checkpoints,
    load,
    read_header,
    rename,
    save,
    save_upload,
    user_folder,
)

__all__ = ["FORMAT", "MAX_BYTES", "MAX_HEADER_BYTES", "MAX_T", "SHIPPED", "Checkpoint", "CheckpointError", "check_name"]
__all__ += ["check_size", "delete", "list_checkpoints", "load", "read_header", "rename", "save", "save_upload", "user_folder"]
