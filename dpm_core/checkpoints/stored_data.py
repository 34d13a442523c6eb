"""What a checkpoint keeps of its data: constants in its header and, of a person's own data, the data itself."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import torch
from torch import Tensor

from dpm_core.config import DataConfig, RunConfig
from dpm_core.data import ising
from dpm_core.data.bits import BIT_SETS, BitDataset, BitSpec, from_patterns, make_bits, shape_of
from dpm_core.data.images import IMAGE_SETS, ImageDataset, ImageSpec
from dpm_core.data.toy2d import NOISE_RANGE, DataError, PlaneDataset, make_dataset

Kept = PlaneDataset | ImageSpec | BitSpec  # what a checkpoint holds of its data
MAX_BITS = 1 << 16  # of a datum
MAX_SIDE = 256  # of the images a model may be for


def shape(dataset: Kept) -> tuple[int, ...]:
    """Shape of one datum."""
    return (2,) if isinstance(dataset, PlaneDataset) else dataset.shape


def check_kind(run: RunConfig) -> None:
    """Raises DataError unless the data and the diffusion of a run go together."""
    if (run.data.name in BIT_SETS) != (run.diffusion.kind == "binomial"):
        raise DataError("its data and its diffusion do not go together: bits take the binomial one, all others the Gaussian.")


def constants(dataset: Kept) -> dict[str, Any]:
    """What stands in the header."""
    if not isinstance(dataset, PlaneDataset):
        spec = ImageSpec if isinstance(dataset, ImageSpec) else BitSpec
        names = [field.name for field in dataclasses.fields(spec) if field.name != "name"]
    else:
        names = ["title", "noise", "mean", "scale"]
    return {name: getattr(dataset, name) for name in names}


def tensors(config: DataConfig, dataset: Kept) -> dict[str, Tensor]:
    """What stands beside the weights: nothing unless the data is the person's own."""
    if config.name == "own" and isinstance(dataset, PlaneDataset):
        return {"data.points": dataset.points, "data.weights": dataset.weights}
    if config.name == "image" and isinstance(dataset, ImageDataset):
        # a small picture is both pools at once, and safetensors takes no memory twice
        return {"data.train": dataset.train.contiguous(), "data.held_out": dataset.held_out.clone().contiguous()}
    if config.name == "patterns" and isinstance(dataset, BitDataset):
        return {"data.patterns": dataset.patterns.contiguous(), "data.weights": dataset.weights.contiguous()}
    return {}


def described_shape(config: DataConfig, constants: Any) -> tuple[int, ...]:
    """Shape of one datum as the header says. Raises DataError when it makes no sense."""
    if config.name in BIT_SETS:
        return _bit_spec(config, constants).shape
    return _spec(config, constants).shape if config.name in IMAGE_SETS else (2,)


def rebuild(config: DataConfig, constants: Any, tensors: dict[str, Tensor]) -> Kept:
    """The data set of a checkpoint, from its header and tensors. Raises DataError, KeyError, TypeError or ValueError."""
    if config.name in BIT_SETS:
        return _bits(config, constants, tensors)
    if config.name not in IMAGE_SETS:
        return _plane(config, constants, tensors)
    spec = _spec(config, constants)
    if config.name != "image" or "data.train" not in tensors:
        return spec
    pools = {name: tensors[f"data.{name}"] for name in ("train", "held_out")}
    for pool in pools.values():
        fits = pool.ndim == 4 and len(pool) > 0 and pool.shape[1] == spec.shape[0]
        if pool.dtype != torch.uint8 or not fits or pool.shape[2] < spec.shape[1] or pool.shape[3] < spec.shape[2]:
            raise DataError("its picture does not fit its description.")
    return ImageDataset(spec.name, spec.title, spec.shape, spec.mean, spec.scale, spec.levels, **pools)


def _spec(config: DataConfig, constants: Any) -> ImageSpec:
    channels, height, width = constants["shape"]
    levels, mean, scale = constants["levels"], float(constants["mean"]), float(constants["scale"])
    whole = all(isinstance(v, int) and not isinstance(v, bool) for v in (channels, height, width, levels))
    if not whole or channels not in (1, 3) or not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
        raise DataError(f"its images must have 1 or 3 channels and sides up to {MAX_SIDE}.")
    if not (2 <= levels <= 256 and math.isfinite(mean) and math.isfinite(scale) and scale > 0):
        raise DataError("its data constants are out of range.")
    return ImageSpec(config.name, str(constants["title"])[:80], (channels, height, width), mean, scale, levels)


def _bit_spec(config: DataConfig, constants: Any) -> BitSpec:
    shape, rate = tuple(constants["shape"]), float(constants["rate"])
    whole = all(isinstance(v, int) and not isinstance(v, bool) and v >= 1 for v in shape)
    if not whole or not 1 <= math.prod(shape) <= MAX_BITS or not 0 < rate < 1:
        raise DataError("its data constants are out of range.")
    if shape != (shape_of(config.name, config.params) or shape[:1]):
        raise DataError(f"data of the shape {shape} are not what its data set makes.")
    return BitSpec(config.name, str(constants["title"])[:80], shape, rate)


def _bits(config: DataConfig, constants: Any, tensors: dict[str, Tensor]) -> BitSpec:
    """The patterns themselves where they can be listed, or are the person's own; of a pool what a model must know."""
    spec = _bit_spec(config, constants)
    if config.name == "patterns":
        rows, weights = tensors["data.patterns"], tensors["data.weights"].double()
        if rows.dtype != torch.uint8 or rows.shape[1:] != spec.shape or weights.shape != rows.shape[:1]:
            raise DataError("its patterns do not fit their description.")
        if not bool((weights > 0).all() and weights.sum().isfinite()):
            raise DataError("the weights of its patterns are not positive.")
        found = from_patterns("patterns", spec.title, rows.numpy(), weights.numpy())
    elif config.name == "heartbeat" or (config.name == "ising" and math.prod(spec.shape) <= ising.LISTED**2):
        found = make_bits(config.name, config.params)
    else:
        return spec
    return dataclasses.replace(found, title=spec.title, rate=spec.rate)


def _plane(config: DataConfig, constants: Any, tensors: dict[str, Tensor]) -> PlaneDataset:
    if config.name != "own":
        return make_dataset(config.name, config.noise)
    noise, mean, scale = float(constants["noise"]), constants["mean"], constants["scale"]
    points, weights = tensors["data.points"].double(), tensors["data.weights"].double()
    if points.ndim != 2 or points.shape[1] != 2 or weights.shape != points.shape[:1] or len(points) == 0:
        raise DataError("its data points are not a list of pairs with weights.")
    if not bool(points.isfinite().all() and (weights > 0).all() and weights.isfinite().all()):
        raise DataError("its data points are not finite.")
    if not NOISE_RANGE[0] <= noise <= NOISE_RANGE[1]:
        raise DataError("its data noise is out of range.")
    if min(_pair(scale)) <= 0:
        raise DataError("its data scale is not positive.")
    title = str(constants["title"])[:80]
    return PlaneDataset("own", title, points, weights / weights.sum(), noise, _pair(mean), _pair(scale))


def _pair(values: Any) -> tuple[float, float]:
    first, second = values
    pair = float(first), float(second)
    if not all(map(math.isfinite, pair)):
        raise DataError("its data constants are not finite.")
    return pair
