"""Checkpoints: ``name.safetensors`` beside ``name.json``, from which a model is rebuilt. No pickle is ever read."""

from dpm_core.checkpoints.asking import Asked, ask, class_names, classifier_for, label_of
from dpm_core.checkpoints.folders import CLASSIFIERS, SHIPPED, list_checkpoints, list_classifiers, user_folder
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
from dpm_core.checkpoints.reading import classifier_of, load, load_any, load_classifier, load_vae, read_header
from dpm_core.checkpoints.writing import save

__all__ = ["CLASSIFIERS", "FORMAT", "MAX_BYTES", "MAX_HEADER_BYTES", "MAX_T", "SHIPPED", "Checkpoint", "CheckpointError"]
__all__ += ["Asked", "ask", "class_names", "classifier_for", "label_of"]
__all__ += [
    "check_name",
    "check_size",
    "classifier_of",
    "delete",
    "list_checkpoints",
    "list_classifiers",
    "load",
    "load_classifier",
    "load_vae",
]
__all__ += ["load_any", "read_header", "rename", "save", "save_upload", "user_folder"]
