"""What a checkpoint is: a model, the config it was made from, and its data; the limits of its files."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from dpm_core.config import RunConfig
from dpm_core.data.dataset import Spec
from dpm_core.data.kinds import kind_of, kind_of_dataset
from dpm_core.process import Chain

FORMAT = "dpm-checkpoint-1"
MAX_BYTES = 64 << 20
MAX_IMPORTED_BYTES = 2 << 30  # of a model of diffusers; only read from this machine's own folders
MAX_HEADER_BYTES = 1 << 20
MAX_T = 10_000


class CheckpointError(ValueError):
    """A checkpoint that cannot be used. The message is one sentence."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """A model with everything needed to use it. ``meta``: number of steps, K and its standard error in bits per datum, command, …

    ``dataset`` is what its kind stores (:meth:`dpm_core.data.kinds.DataKind.rebuild`): all of a data set in the plane, the spec
    of images, with the pictures only where they are the user's own, and the patterns of bits where they can be listed.
    """

    name: str
    model: Any  # a ReverseModel, the Classifier of `load_classifier`, or the VAE of `load_vae`
    config: RunConfig
    dataset: Any
    meta: dict[str, Any] = field(default_factory=dict)

    @property
    def diffusion(self) -> Chain:
        """The forward process that the model was trained to reverse."""
        return self.model.diffusion

    def given(self, label: int, guidance: float = 0.0) -> Checkpoint:
        """The same with the model of p(x⁽⁰⁾|y) (:meth:`ReverseModel.given`) and, where the checkpoint stores all data, those of the class.

        Raises ValueError for a model without classes or a label out of range.
        """
        model = self.model.given(label, guidance)
        return replace(self, model=model, dataset=kind_of(self.config.data.name).given_class(self.dataset, label))

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one datum: ``(2,)`` for points, ``(C, H, W)`` for images, ``(L,)`` or ``(1, H, W)`` for bits."""
        spec: Spec = self.dataset
        return spec.shape


def largest(config: RunConfig) -> int:
    """The largest file that the weights of such a model may have, in bytes."""
    return MAX_IMPORTED_BYTES if config.network.name == "unet2d" else MAX_BYTES


def check_name(name: str) -> None:
    """Raise CheckpointError for a name that is not a plain file name."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}", name):
        raise CheckpointError(f"{name[:80]!r} cannot be a checkpoint's name: a name may hold up to 64 letters, digits, '-' and '_'.")


def check_size(checkpoint: Checkpoint, half: bool = False) -> dict[str, torch.Tensor]:
    """The tensors that ``save`` would write, the weights as float16 if ``half``.

    Raises CheckpointError when ``load`` would refuse them for their size; call it before training.
    """
    weights = checkpoint.model.network.state_dict()
    tensors = {f"network.{k}": (v.half() if half and v.is_floating_point() else v).contiguous() for k, v in weights.items()}
    if kind := kind_of_dataset(checkpoint.dataset):  # a run on a bare tensor is asked too, before it has a data set
        tensors |= kind.tensors(checkpoint.config.data, checkpoint.dataset)
    total, most = sum(tensor.nbytes for tensor in tensors.values()), largest(checkpoint.config)
    if total > most - MAX_HEADER_BYTES:
        size = f"{total / (1 << 20):.1f} MB, more than the {most >> 20} MB that a checkpoint may have"
        raise CheckpointError(f"This model and its data take {size}; choose a smaller network or picture.")
    return tensors
