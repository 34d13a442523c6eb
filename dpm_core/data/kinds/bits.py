"""Bits: sequences, or black and white pictures."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from dpm_core.config import BIT_RUN, IMAGE_RUN, DataConfig, DiffusionConfig, Params, RunConfig
from dpm_core.data import uploads
from dpm_core.data.bits import BIT_SETS, BitDataset, BitSpec, from_patterns, is_listed, make_bits, shape_of
from dpm_core.data.dataset import Batches, LabelledBatches
from dpm_core.data.errors import DataError
from dpm_core.data.fetch import Progress
from dpm_core.data.kinds.base import DataKind, HeldOut, class_names, no_noise, read_file, register
from dpm_core.figures.rasters import tile
from dpm_core.process import BinomialDiffusion, Chain
from dpm_core.reverse import EmpiricalBits

MAX_BITS = 1 << 16  # of a datum of a checkpoint
SMALLEST_PICTURE = 8  # bits along a side from which on a U-Net is used
BIT_PIXELS = 8  # pixels along a side of one bit in a .png
NO_NOISE = "noise is for points, and bits have none"


class Bits(DataKind[BitSpec, BitDataset]):
    """Bits, whose distribution is known where the patterns can be listed."""

    name = "bits"
    title = "Bits"
    diffusion = "binomial"
    exact_chain = "independent-bit"
    file_help = "a file with rows of 0 and 1"
    own = {"patterns": "patterns.csv"}  # noqa: RUF012 - ClassVar in the base class

    def names(self) -> Iterable[str]:
        """The sets of bits, "patterns" for the user's own among them."""
        return BIT_SETS

    def make(
        self, name: str, noise: float | None = None, params: Params = (), progress: Progress | None = None
    ) -> tuple[BitDataset, DataConfig]:
        """The set of bits ``name``, downloaded where it is missing and that is possible. Raises DataError."""
        no_noise(noise, NO_NOISE)
        return make_bits(name, params, progress=progress), DataConfig(name, params=params)

    def reads(self, path: Path) -> bool:
        """Tables whose first row holds only digits and has not two columns."""
        return path.suffix.lower() in uploads.TABLES and uploads.looks_like_bits(read_file(path, uploads.MAX_BYTES))

    def from_file(self, path: Path, noise: float | None = None, params: Params = ()) -> tuple[BitDataset, DataConfig]:
        """The patterns of a table, one per row."""
        no_noise(noise, NO_NOISE)
        found = make_bits("patterns", params, uploads.read_bits(read_file(path, uploads.MAX_BYTES)))
        return replace(found, title=path.stem[:40]), DataConfig("patterns")

    def usual_run(self, spec: BitSpec, config: DataConfig) -> RunConfig:
        """BIT_RUN with the mean activity of these data; pictures take the network and the batch of images."""
        run = replace(BIT_RUN, data=config, diffusion=DiffusionConfig("binomial", spec.rate))
        if min(spec.shape[1:], default=0) < SMALLEST_PICTURE:
            return run
        return replace(run, network=IMAGE_RUN.network, training=replace(run.training, batch=IMAGE_RUN.training.batch))

    def training_data(self, dataset: BitDataset, device: str, seed: int, count: int) -> Batches:
        """Batches of independent draws."""
        return dataset.batches(device)

    def labelled_training_data(self, dataset: BitDataset, device: str, seed: int, count: int) -> LabelledBatches:
        """The same with labels. Raises DataError without labels."""
        return dataset.labelled_batches(device)

    def constants(self, dataset: BitSpec) -> dict[str, Any]:
        """The fields of the spec."""
        return {field.name: getattr(dataset, field.name) for field in dataclasses.fields(BitSpec) if field.name != "name"}

    def tensors(self, config: DataConfig, dataset: BitSpec) -> dict[str, Tensor]:
        """The user's own patterns."""
        if config.name != "patterns" or not isinstance(dataset, BitDataset):
            return {}
        return {"data.patterns": dataset.patterns.contiguous(), "data.weights": dataset.weights.contiguous()}

    def described_shape(self, config: DataConfig, constants: Any) -> tuple[int, ...]:
        """``(L,)`` or ``(1, H, W)``."""
        return _spec(config, constants).shape

    def rebuild(self, config: DataConfig, constants: Any, tensors: dict[str, Tensor]) -> BitSpec:
        """The patterns where they can be listed or are the user's own; the spec of a pool."""
        spec = _spec(config, constants)
        if config.name == "patterns":
            rows, weights = tensors["data.patterns"], tensors["data.weights"].double()
            if rows.dtype != torch.uint8 or rows.shape[1:] != spec.shape or weights.shape != rows.shape[:1]:
                raise DataError(f"its patterns of shape {tuple(rows.shape)} and their weights do not fit data of shape {spec.shape}.")
            if not bool((weights > 0).all() and weights.sum().isfinite()):
                raise DataError("the weights of its patterns are not positive and finite.")
            found = from_patterns("patterns", spec.title, rows.numpy(), weights.numpy())
        elif is_listed(config.name, config.params):
            found = make_bits(config.name, config.params)
        else:
            return spec
        return replace(found, title=spec.title, rate=spec.rate)

    def of_checkpoint(self, dataset: BitSpec, config: DataConfig) -> BitDataset:
        """The patterns, made by name where the checkpoint has only the spec."""
        return dataset if isinstance(dataset, BitDataset) else make_bits(config.name, config.params)

    def stored(self, config: DataConfig, dataset: BitSpec) -> BitSpec:
        """The patterns where they are the distribution; the spec of a pool."""
        return dataset if isinstance(dataset, BitDataset) and dataset.listed else dataset.spec

    def held_out(self, spec: BitSpec) -> HeldOut:
        """2,000 sequences at every t; 20,000 pairs of a black and white picture and a t."""
        return HeldOut(2000, every_time=True) if len(spec.shape) == 1 else HeldOut(20_000, every_time=False)

    def exact_reverse(self, dataset: BitDataset, diffusion: Chain) -> EmpiricalBits | None:
        """The exact kernel under a binomial diffusion, where the patterns are listed."""
        return dataset.exact_reverse(diffusion) if dataset.listed and isinstance(diffusion, BinomialDiffusion) else None

    def entropy(self, dataset: BitDataset) -> float | None:
        """Entropy in nats, where the patterns are listed."""
        return dataset.entropy() if dataset.listed else None

    def formats(self, spec: BitSpec) -> tuple[str, ...]:
        """A table only of sequences."""
        return (".npz", ".csv", ".png") if len(spec.shape) == 1 else (".npz", ".png")

    def write_csv(self, spec: BitSpec, x: Tensor, path: Path) -> None:
        """Rows of 0 and 1."""
        np.savetxt(path, x.numpy(), delimiter=",", fmt="%d")

    def write_png(self, spec: BitSpec, x: Tensor, path: Path) -> None:
        """Black and white squares: sequences one per row, pictures side by side."""
        large = (255 * x).to(torch.uint8).numpy().repeat(BIT_PIXELS, -1).repeat(BIT_PIXELS, -2)
        Image.fromarray(large if large.ndim == 2 else tile(np.repeat(large.transpose(0, 2, 3, 1), 3, 3))).save(path)


def _spec(config: DataConfig, constants: Any) -> BitSpec:
    shape, rate = tuple(constants["shape"]), float(constants["rate"])
    whole = all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in shape)
    if not whole or not 1 <= math.prod(shape) <= MAX_BITS or not 0 < rate < 1:
        raise DataError(f"its data constants are out of range (shape {shape}, mean activity {rate:g}).")
    if shape != (shape_of(config.name, config.params) or shape[:1]):
        raise DataError(f"its header says data of the shape {shape}, which the data set {config.name!r} does not have.")
    return BitSpec(config.name, str(constants["title"])[:80], shape, rate, class_names(constants.get("classes", ())))


BITS = register(Bits())
